"""The registry over real TLS: reading without a certificate, enrolling, publishing, stopping."""

import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256

import grpc
import pytest
from msgspec import structs

from edoccore.directory import loading
from edoccore.directory.collecting import collect
from edoccore.directory.layout import RevocationKind
from edoccore.directory.packing import FileWanted, Unpacking
from edoccore.errors import (
    AddressInUseError,
    FolderInUseError,
    RegistryUnreachableError,
    RequestInvalidError,
    TokenRefusedError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import LogHolder, time_text
from edoccore.wire.sealed import sealed_to_message
from edoccore.wire.status import raise_for
from edockit import certificates, grpc_client
from edocnet.directory.v1 import directory_service_pb2, directory_service_pb2_grpc
from edocnet.enrolment.v1 import enrolment_service_pb2, enrolment_service_pb2_grpc
from edocregistry.app.registry import Registry
from edocregistry.app.serving import Serving
from edocregistry.storage.folder import DataFolder
from tests.support.registry import NETWORK, enrol_node, found_registry, new_token, node_of

TIMEOUT_S = 60


def free_address() -> str:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{trial.getsockname()[1]}"


class Running:
    """A registry that serves in a thread."""

    def __init__(self, registry: Registry, patience: timedelta = timedelta(minutes=5)) -> None:
        self.registry = registry
        interval = timedelta(milliseconds=50)
        self.serving = Serving(registry, interval=interval, patience=patience)
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self.serving.run, args=(self._announced,))
        self.thread.start()
        assert self._ready.wait(TIMEOUT_S)

    def _announced(self, address: str) -> None:
        self.address = address
        self._ready.set()

    def stop(self) -> None:
        self.serving.stop()
        self.thread.join()


@pytest.fixture
def running(tmp_path, clock):
    served = Running(found_registry(tmp_path / "registry", clock, listen=free_address()))
    yield served
    served.stop()


@pytest.fixture
def channel(running):
    """A channel pinned to the certificate of the verified directory, as a node opens it."""
    directory = read_directory(running)
    endpoint = directory.endpoint("REGISTRY", running.registry._clock())
    with grpc_client.peer_channel_sync(
        endpoint.addresses[0],
        own_chain=None,
        own_key=None,
        pins=[certificates.certificate_pem(pin.certificate) for pin in endpoint.pins],
        server_name=endpoint.server_name,
    ) as opened:
        yield opened


def read_directory(running, known=None):
    """Reads the directory as a newcomer does: from whoever answers, verified from the root."""
    anchor = sha256(running.registry.folder.directory.roots()[1]).hexdigest()
    with grpc_client.unverified_channel(running.address) as channel:
        stub = directory_service_pb2_grpc.DirectoryServiceStub(channel)
        steps = collect(known or {}, anchor)
        wanted = next(steps)
        while True:
            try:
                wanted = steps.send(read_files(stub, wanted))
            except StopIteration as finished:
                return loading.load(finished.value, anchor)


def read_files(stub, wanted):
    request = directory_service_pb2.GetFilesRequest(paths=[item.name for item in wanted])
    unpacking = Unpacking(wanted)
    try:
        for answer in stub.GetFiles(request, timeout=TIMEOUT_S):
            unpacking.take(answer.index, answer.size, answer.chunk)
    except grpc.RpcError as error:
        raise raise_for(error) from error
    return unpacking.files()


def enrol(channel, token, key):
    stub = enrolment_service_pb2_grpc.EnrolmentServiceStub(channel)
    request = enrolment_service_pb2.EnrolRequest(
        token=token, seal_request=certificates.seal_request(key, "edocnode")
    )
    try:
        return stub.Enrol(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        raise raise_for(error, unreachable=RegistryUnreachableError) from error


def test_newcomer_reads_verifies_enrols_and_publishes_its_endpoint(running, channel, clock):
    key = certificates.new_private_key()
    answer = enrol(channel, new_token(running.registry, "H29"), key)
    assert (answer.agency_code, answer.network) == ("H29", NETWORK)
    directory = read_directory(running)
    assert directory.mark.version == answer.directory_version
    assert directory.seals.current("H29", clock.now)[0].chain[0] == answer.certificate
    node = node_of("H29", key, answer.certificate, answer.chain[0], clock)
    sealed = node.endpoint("10.0.0.29:7443", time=clock.now)
    stub = enrolment_service_pb2_grpc.EnrolmentServiceStub(channel)
    published = stub.PublishEndpoint(
        enrolment_service_pb2.PublishEndpointRequest(endpoint=sealed_to_message(sealed)),
        timeout=TIMEOUT_S,
    )
    directory = read_directory(running, known=directory.files)
    assert directory.mark.version == published.directory_version
    assert directory.endpoint("H29", clock.now).addresses == ("10.0.0.29:7443",)


def test_t39_one_token_used_twice_in_parallel_over_the_network_gives_one_certificate(
    running, channel
):
    token = new_token(running.registry, "H29")

    def attempt(_number):
        try:
            return enrol(channel, token, certificates.new_private_key()).certificate
        except TokenRefusedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    assert len([answer for answer in answers if answer]) == 1
    assert len(read_directory(running).identities["H29"].seals) == 1


def test_lost_answer_costs_nothing(running, channel):
    key, token = certificates.new_private_key(), new_token(running.registry, "H29")
    first = enrol(channel, token, key)
    assert enrol(channel, token, key).certificate == first.certificate


def test_mark_names_the_directory_that_is_served(running, channel):
    stub = directory_service_pb2_grpc.DirectoryServiceStub(channel)
    mark = stub.GetMark(directory_service_pb2.GetMarkRequest(), timeout=TIMEOUT_S)
    directory = read_directory(running)
    assert (mark.version, mark.hash.hex()) == (directory.mark.version, directory.mark.hash)


@pytest.mark.parametrize(
    "name", ["../edocregistry.toml", "/etc/passwd", "", "x" * 200, ".turn.lock", "1.root.json\0"]
)
def test_nothing_but_directory_files_is_served(channel, name):
    stub = directory_service_pb2_grpc.DirectoryServiceStub(channel)
    with pytest.raises(RequestInvalidError):
        read_files(stub, [FileWanted(name, 1)])


def test_change_by_a_command_is_served_at_once(running, clock):
    before = read_directory(running)
    command = Registry(DataFolder(running.registry.folder.path), running.registry.settings, clock)
    command.add_agency("officer", "H77", "x", aliases=(), owner=None)
    after = read_directory(running, known=before.files)
    assert "H77" in after.identities
    assert after.mark.version > before.mark.version


def shown_by(running):
    return grpc_client.read_server_leaf(running.address).certificate


def test_server_shows_its_next_certificate_when_the_current_one_was_revoked(running, clock):
    command = Registry(DataFolder(running.registry.folder.path), running.registry.settings, clock)
    following = command.tls_certificates()[1]
    command.revoke("officer", "REGISTRY", kinds=[RevocationKind.TLS], compromised_since=None)
    command.keep_own_entry()
    until = time.monotonic() + TIMEOUT_S
    while shown_by(running) != certificates.certificate_pem(following):
        assert time.monotonic() < until
    assert read_directory(running).endpoint("REGISTRY", clock.now) is not None


def test_second_server_on_one_folder_is_refused(running):
    with pytest.raises(FolderInUseError, match=r"process \d+ already works"):
        Serving(running.registry).run(lambda _address: None)


def test_port_in_use_is_told(running, tmp_path, clock):
    other = found_registry(tmp_path / "other", clock, listen=running.address)
    with pytest.raises(AddressInUseError, match=running.address):
        Serving(other).run(lambda _address: None)


class Copied:
    """A copy of a registry that serves, and the node of an agency that it knows."""

    def __init__(self, folder, clock, patience) -> None:
        self.clock = clock
        first = found_registry(folder / "registry", clock, listen=free_address())
        self.node = enrol_node(first, "H29", clock)
        self.checkpoint = first.folder.log.checkpoint()
        shutil.copytree(first.folder.path, folder / "copy")
        clock.move(timedelta(hours=7))  # the timestamp is due
        self.registry = Registry(DataFolder(folder / "copy"), first.settings, clock)
        self.before = self.registry.folder.directory.mark()
        self.served = Running(self.registry, patience)

    def holder(self, *, time=None, checkpoint=None):
        """The word of the agency that it shows a checkpoint."""
        said = LogHolder(
            network=NETWORK,
            agency="H29",
            checkpoint=sha256(checkpoint or self.checkpoint).hexdigest(),
            created=time_text(time or self.clock.now),
        )
        return self.node.seal(canonical.encode(said), time=self.clock.now)[0]

    def show(self, holder=None) -> bool:
        """Shows what the copy has, as a node does; returns whether the copy asked for it."""
        with grpc_client.unverified_channel(self.served.address) as channel:
            log = directory_service_pb2_grpc.DirectoryServiceStub(channel)
            asks = log.GetLog(directory_service_pb2.GetLogRequest(), timeout=TIMEOUT_S).asks
            stub = directory_service_pb2_grpc.WitnessServiceStub(channel)
            word = None if holder is None else sealed_to_message(holder)
            request = directory_service_pb2.ShowCheckpointRequest(
                checkpoint=self.checkpoint, holder=word
            )
            assert not stub.ShowCheckpoint(request, timeout=TIMEOUT_S).wanted
        return asks

    def is_taken_for_the_newest(self, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and not self.registry.folder.log.is_in_place():
            time.sleep(0.02)
        return self.registry.folder.log.is_in_place()


@pytest.fixture
def copied(tmp_path, clock, request):
    made = Copied(tmp_path, clock, getattr(request, "param", timedelta(0)))
    yield made
    made.served.stop()


def test_copied_folder_is_published_from_once_an_agency_showed_that_it_holds_no_more(copied):
    assert copied.show(copied.holder())
    assert copied.is_taken_for_the_newest(TIMEOUT_S)
    assert not copied.show()  # it asks nobody any more


@pytest.mark.parametrize("copied", [timedelta(minutes=5)], indirect=True)
def test_copied_folder_waits_however_many_agencies_hold_no_more(copied):
    assert copied.show(copied.holder())
    assert not copied.is_taken_for_the_newest(0.5)
    assert copied.registry.folder.directory.mark() == copied.before


def test_t48_strangers_do_not_end_the_wait_for_nodes(copied, clock):
    good = copied.holder()
    forged = SignedSeal(good.seal.data, copied.holder().seal.signature)
    for holder in (
        None,
        structs.replace(good, seal=forged),
        copied.holder(time=clock.now - timedelta(minutes=11)),  # heard long ago
        copied.holder(checkpoint=b"another"),
    ):
        assert copied.show(holder)
    assert not copied.is_taken_for_the_newest(0.5)
    assert copied.registry.folder.directory.mark() == copied.before
    copied.show(copied.holder())
    assert copied.is_taken_for_the_newest(TIMEOUT_S)
