"""What the services answer, by grpcio-testing: bytes, limits, status and reason."""

import contextlib
import random
from datetime import UTC, datetime

import grpc
import grpc_testing
import pytest
from google.rpc import error_details_pb2, status_pb2

from edoccore.directory.packing import CHUNK_BYTES, FileWanted, Unpacking
from edoccore.directory.transparency import LogAnswer
from edoccore.errors import EdocError, FileUnknownError, TokenRefusedError
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.wire.sealed import sealed_to_message
from edoccore.wire.status import abort_status
from edocnet.directory.v1 import directory_service_pb2 as directory_messages
from edocnet.enrolment.v1 import enrolment_service_pb2 as enrolment_messages
from edocregistry.domain.enrolment import Enrolled
from edocregistry.domain.model import SealCertificate
from edocregistry.rpc.directory import DirectoryServicer
from edocregistry.rpc.enrolment import EnrolmentServicer

DIRECTORY = directory_messages.DESCRIPTOR.services_by_name["DirectoryService"]
ENROLMENT = enrolment_messages.DESCRIPTOR.services_by_name["EnrolmentService"]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
BIG = random.Random(1).randbytes(2 * 1024 * 1024)
PIECES = 4  # of one file that is not there and of BIG


class Files:
    def read(self, name: str) -> bytes:
        if name == "12.root.json":
            return BIG
        raise FileUnknownError(f"The directory has no file {name}.", path=name)

    def mark(self) -> tuple[int, bytes]:
        return 12, b"h" * 32


class Enrolments:
    """Remembers what it was asked; token ``bad`` is refused."""

    def __init__(self) -> None:
        self.asked = []

    def enrol(self, caller, *, token, request, agency_code):
        self.asked.append((caller, token, request, agency_code))
        if token.startswith(b"bad"):
            raise TokenRefusedError
        certificate = SealCertificate(
            sha256="a" * 64, agency="H29", key_sha256=b"k", certificate=b"der", issued_at=NOW
        )
        return Enrolled(certificate, (b"ca",), 7)

    def publish_endpoint(self, caller, sealed):
        self.asked.append((caller, sealed))
        return 8


class FullContext:
    """The context of grpcio-testing with the methods it leaves out."""

    def __init__(self, context) -> None:
        self._context = context

    def __getattr__(self, name):
        return getattr(self._context, name)

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    def auth_context(self):
        return {"transport_security_type": [b"ssl"], "ssl_tls_version": [b"TLSv1.3"]}

    def abort_with_status(self, status):
        self._context.set_trailing_metadata(status.trailing_metadata)
        self._context.set_code(status.code)
        self._context.set_details(status.details)
        raise AbortedError


class AbortedError(Exception):
    """Ends a handler; its status is set (``abort`` of grpcio-testing would drop the metadata)."""


class Answering:
    """A servicer whose errors end calls as behind the real server."""

    def __init__(self, servicer, service):
        for method in service.methods:
            behaviour = getattr(servicer, method.name)
            wrapped = streaming(behaviour) if method.server_streaming else answering(behaviour)
            setattr(self, method.name, wrapped)


@contextlib.contextmanager
def telling(context):
    try:
        yield FullContext(context)
    except EdocError as error:
        with contextlib.suppress(AbortedError):
            FullContext(context).abort_with_status(abort_status(error))


def answering(behaviour):
    def answer(request, context):
        with telling(context) as full:
            return behaviour(request, full)

    return answer


def streaming(behaviour):
    def answers(request, context):
        with telling(context) as full:
            yield from behaviour(request, full)

    return answers


class Log:
    """A log that has not begun."""

    def answer(self, size, digest):
        return LogAnswer()


@pytest.fixture
def enrolments() -> Enrolments:
    return Enrolments()


@pytest.fixture
def server(enrolments):
    servicers = {
        DIRECTORY: Answering(DirectoryServicer(Files(), Log()), DIRECTORY),
        ENROLMENT: Answering(EnrolmentServicer(enrolments, "vn-test"), ENROLMENT),
    }
    return grpc_testing.server_from_dictionary(servicers, grpc_testing.strict_real_time())


def ask(server, service, name, request):
    method = service.methods_by_name[name]
    call = server.invoke_unary_unary(method, (), request, 5)
    answer, trailing, code, _ = call.termination()
    return answer, code, reason_in(trailing)


def reason_in(trailing) -> str:
    for key, value in trailing or ():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.ErrorInfo()
            status_pb2.Status.FromString(value).details[0].Unpack(info)
            return info.reason
    return ""


def read_files(server, *paths):
    method = DIRECTORY.methods_by_name["GetFiles"]
    request = directory_messages.GetFilesRequest(paths=paths)
    call = server.invoke_unary_stream(method, (), request, 5)
    answers = [call.take_response() for _ in range(PIECES if "12.root.json" in paths else 0)]
    trailing, code, _ = call.termination()
    return answers, code, reason_in(trailing)


def test_files_come_packed_in_chunks_of_at_most_960_kib_and_are_the_same_bytes(server):
    answers, code, _ = read_files(server, "13.root.json", "12.root.json")
    assert code is grpc.StatusCode.OK
    assert [(item.index, item.size) for item in answers] == [(0, 0), *[(1, len(BIG))] * 3]
    assert max(len(item.chunk) for item in answers) == CHUNK_BYTES == 983040
    unpacking = Unpacking([FileWanted("13.root.json", 1), FileWanted("12.root.json", len(BIG))])
    for item in answers:
        unpacking.take(item.index, item.size, item.chunk)
    assert unpacking.files() == [None, BIG]


def test_no_files_and_too_many_are_refused(server):
    for paths in ([], ["13.root.json"] * 65):
        _, code, reason = read_files(server, *paths)
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")


def test_mark_is_version_and_hash_of_the_snapshot(server):
    answer, code, _ = ask(server, DIRECTORY, "GetMark", directory_messages.GetMarkRequest())
    assert code is grpc.StatusCode.OK
    assert (answer.version, answer.hash) == (12, b"h" * 32)


def test_enrolment_hands_over_certificate_chain_network_and_version(server):
    request = enrolment_messages.EnrolRequest(token=b"t" * 16, seal_request=b"csr")
    answer, code, _ = ask(server, ENROLMENT, "Enrol", request)
    assert code is grpc.StatusCode.OK
    assert answer.agency_code == "H29"
    assert answer.network == "vn-test"
    assert (answer.certificate, list(answer.chain)) == (b"der", [b"ca"])
    assert answer.directory_version == 7


def test_refused_token_is_permission_denied_with_its_reason(server):
    request = enrolment_messages.EnrolRequest(token=b"bad" + bytes(13), seal_request=b"csr")
    _, code, reason = ask(server, ENROLMENT, "Enrol", request)
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "TOKEN_REFUSED")


@pytest.mark.parametrize(
    "request_",
    [
        enrolment_messages.EnrolRequest(token=b"t" * 15, seal_request=b"csr"),
        enrolment_messages.EnrolRequest(token=b"", seal_request=b"csr"),
        enrolment_messages.EnrolRequest(token=b"t" * 17, seal_request=b"csr"),
        enrolment_messages.EnrolRequest(token=b"t" * 16, agency_code="H" * 36),
    ],
)
def test_token_or_code_of_impossible_size_is_refused_before_anything_else(
    server, enrolments, request_
):
    _, code, reason = ask(server, ENROLMENT, "Enrol", request_)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert enrolments.asked == []


def test_endpoint_is_handed_on_as_exact_bytes(server, enrolments):
    sealed = SealedStatement(b"statement", 1, (b"p" * 32,), SignedSeal(b"seal", b"signature"))
    request = enrolment_messages.PublishEndpointRequest(endpoint=sealed_to_message(sealed))
    answer, code, _ = ask(server, ENROLMENT, "PublishEndpoint", request)
    assert code is grpc.StatusCode.OK
    assert answer.directory_version == 8
    assert enrolments.asked == [("ipv4:127.0.0.1", sealed)]


def test_endpoint_with_a_proof_that_is_no_proof_is_refused(server, enrolments):
    sealed = SealedStatement(b"statement", 1, (b"p" * 31,), SignedSeal(b"seal", b"signature"))
    request = enrolment_messages.PublishEndpointRequest(endpoint=sealed_to_message(sealed))
    _, code, reason = ask(server, ENROLMENT, "PublishEndpoint", request)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SEAL_INVALID")
    assert enrolments.asked == []
