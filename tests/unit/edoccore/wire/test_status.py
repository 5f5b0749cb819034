"""Errors over gRPC: what was raised on one side is raised on the other."""

from collections.abc import Iterator
from urllib.parse import quote

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from edoccore import errors
from edoccore.errors import EdocError
from edoccore.wire import status


def tree(kind: type[EdocError] = EdocError) -> Iterator[type[EdocError]]:
    if kind.__module__ == errors.__name__:  # kinds made elsewhere share their parent's reason
        yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


class Call(grpc.RpcError):
    """A failed call as the libraries give it."""

    def __init__(
        self, code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        self._answer = (code, details, metadata)

    def code(self) -> grpc.StatusCode:
        return self._answer[0]

    def details(self) -> str:
        return self._answer[1]

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._answer[2]


def over_the_wire(error: EdocError) -> EdocError:
    sent = status.abort_status(error)
    return status.raise_for(Call(sent.code, sent.details, sent.trailing_metadata))


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_its_own_class(kind: type[EdocError]) -> None:
    error = kind("what happened to G01", hint="do this", agency="G01", document_id="7")
    received = over_the_wire(error)
    assert type(received) is kind
    assert (received.message, received.hint) == (error.message, error.hint)
    assert received.fields == error.fields
    assert status.abort_status(error).code.name == kind.status


@pytest.mark.parametrize("kind", [errors.StorageFailedError, errors.StorageDamagedError])
def test_a_fault_of_another_machines_disk_is_none_of_this_one(kind: type[EdocError]) -> None:
    sent = status.abort_status(kind("the disk of G01 failed"))
    call = Call(sent.code, sent.details, sent.trailing_metadata)
    received = status.raise_for_other(call, unreachable=errors.RegistryUnreachableError)
    assert type(received) is errors.RegistryUnreachableError
    assert "the disk of G01 failed" in received.fields["cause"]
    full = status.abort_status(errors.DiskFullError())
    call = Call(full.code, full.details, full.trailing_metadata)
    assert type(status.raise_for_other(call)) is errors.DiskFullError


def test_every_reason_names_one_class() -> None:
    reasons = [kind.reason for kind in tree()]
    assert len(reasons) == len(set(reasons))


def test_there_is_exactly_one_error_info_of_our_domain() -> None:
    sent = status.to_status(errors.DiskFullError())
    assert len(sent.details) == 1
    info = error_details_pb2.ErrorInfo()
    assert sent.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("DISK_FULL", "edocnet")


@given(st.text(max_size=5000), st.text(max_size=5000), st.text(max_size=5000))
def test_trailers_stay_under_the_limit_whatever_the_text(text: str, hint: str, name: str) -> None:
    fields = {f"field_{number}": name for number in range(20)}
    sent = status.abort_status(EdocError(text, hint=hint, **fields))
    encoded = len(sent.trailing_metadata[0][1]) * 4 // 3 + len(quote(sent.details))
    assert encoded <= status.MAX_STATUS_BYTES
    assert over_the_wire(EdocError(text, hint=hint, **fields)).reason == "INTERNAL"


def test_a_file_name_that_is_no_text_does_not_break_the_error() -> None:
    received = over_the_wire(errors.DocumentUnknownError("no \udcff", path="\udcff"))
    assert (received.message, received.fields) == ("no ?", {"path": "?"})


def test_a_reason_of_a_newer_version_is_kept_as_a_field() -> None:
    info = error_details_pb2.ErrorInfo(reason="NEW_THING", domain="edocnet")
    detail = any_pb2.Any()
    detail.Pack(info)
    received = status.from_status(status_pb2.Status(code=9, message="new", details=[detail]))
    assert type(received) is EdocError
    assert received.fields == {"reason": "NEW_THING"}


@pytest.mark.parametrize(
    "trailers",
    [
        (),
        (("grpc-status-details-bin", b"\xff\xff\xff"),),
        (("grpc-status-details-bin", b"\x0a" + bytes(status.MAX_STATUS_BYTES)),),
        (("grpc-status-details-bin", status_pb2.Status(code=5).SerializeToString()),),
    ],
    ids=["none", "damaged", "too large", "no details"],
)
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.RegistryUnreachableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.RegistryUnreachableError),
        (grpc.StatusCode.UNAUTHENTICATED, errors.PeerNotTrustedError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.LimitExceededError),
        (grpc.StatusCode.UNKNOWN, EdocError),
    ],
)
def test_a_call_without_our_details_is_judged_by_its_code(
    code: grpc.StatusCode, kind: type[EdocError], trailers: tuple[tuple[str, bytes], ...]
) -> None:
    call = Call(code, "text of the library", trailers)
    received = status.raise_for(call, unreachable=errors.RegistryUnreachableError)
    assert type(received) is kind


def test_a_peer_cannot_plant_parameters_of_the_constructor() -> None:
    metadata = {"message": "planted", "hint": "do", "not an identifier": "x", "self": "y"}
    info = error_details_pb2.ErrorInfo(reason="DISK_FULL", domain="edocnet", metadata=metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    received = status.from_status(status_pb2.Status(code=8, message="true", details=[detail]))
    assert isinstance(received, errors.DiskFullError)
    assert received.message == "true"
    assert received.hint == "do"
    assert received.fields == {}
