"""Strangers who open calls and say little keep no node from the registry. Real sockets."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import grpc
import pytest

from edoccore.errors import RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.statements import LogHolder, time_text
from edoccore.wire.sealed import sealed_to_message
from edoccore.wire.status import raise_for
from edockit import grpc_client
from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services
from edocnet.exchange.v1.exchange_service_pb2 import SealedStatement as SealedMessage
from edocregistry.app.registry import Registry
from edocregistry.domain import giving
from edocregistry.storage.folder import DataFolder
from tests.integration.edocregistry.test_copied_back import given
from tests.integration.edocregistry.test_log import changed
from tests.integration.edocregistry.test_serving import TIMEOUT_S, Running, free_address
from tests.support.nation import Agency
from tests.support.registry import NETWORK, enrol_node, found_registry
from tests.support.strangers import DIRECTORY, WITNESS, Stranger

PATIENT_S = 60
REQUEST_INVALID = "3"


@dataclass
class Scene:
    """A copy of a registry that answers, and the registry of today that only nodes remember."""

    newest: Registry
    copy: Registry
    node: Agency
    served: Running

    @contextlib.contextmanager
    def witnesses(self) -> Iterator[services.WitnessServiceStub]:
        """The service that takes things back, as a node calls it."""
        with grpc_client.unverified_channel(self.served.address) as channel:
            yield services.WitnessServiceStub(channel)

    def show(self) -> bool:
        """Shows what the copy forgot; returns whether that is wanted."""
        checkpoint = self.newest.folder.log.checkpoint()
        with self.witnesses() as stub:
            request = messages.ShowCheckpointRequest(checkpoint=checkpoint)
            return bool(stub.ShowCheckpoint(request, timeout=TIMEOUT_S).wanted)

    def give(self, *, by_agency: bool = False) -> None:
        """Gives all of it back, as a node does, or as somebody who proves nothing."""
        bundle, log = given(self.newest)
        first = [messages.GiveBackRequest(holder=self.holder())] if by_agency else []
        rest = [messages.GiveBackRequest(bundle=bundle), messages.GiveBackRequest(log=log)]
        with self.witnesses() as stub:
            try:
                stub.GiveBack(iter([*first, *rest]), timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                raise raise_for(error) from error

    def holder(self) -> SealedMessage:
        """The agency's word that it gives."""
        now = self.copy.publisher.now()
        said = LogHolder(network=NETWORK, agency="H29", checkpoint="0" * 64, created=time_text(now))
        return sealed_to_message(self.node.seal(canonical.encode(said), time=now)[0])

    @property
    def has_it(self) -> bool:
        """Whether what was given back is kept."""
        return (self.copy.folder.returned / "log").exists()


def refusal(scene: Scene, bundle: bytes) -> str:
    """Why something is not taken back."""
    with scene.witnesses() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.GiveBack(iter([messages.GiveBackRequest(bundle=bundle)]), timeout=TIMEOUT_S)
    return str(raise_for(caught.value))


def until(found: Callable[[], bool]) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENT_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def scene(tmp_path, clock) -> Iterator[Scene]:
    newest = found_registry(tmp_path / "registry", clock, listen=free_address())
    node = enrol_node(newest, "H29", clock)
    shutil.copytree(newest.folder.path, tmp_path / "copy")
    for code in ("H30", "H31"):
        changed(newest, clock, code)
    copy = Registry(DataFolder(tmp_path / "copy"), newest.settings, clock)
    served = Running(copy, timedelta(minutes=5))
    yield Scene(newest, copy, node, served)
    served.stop()


def test_t48_calls_that_say_nothing_hold_nobody_up(scene: Scene) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(4):
            where = f"127.0.0.{10 + number}"
            stranger = stack.enter_context(Stranger(scene.served.address, comes_from=where))
            for name in (f"{DIRECTORY}/GetMark", f"{WITNESS}/GiveBack") * 8:
                stranger.says(stranger.opens(name), b"\x0a\x40", less=1)
        with grpc_client.unverified_channel(scene.served.address) as channel:
            stub = services.DirectoryServiceStub(channel)
            assert stub.GetMark(messages.GetMarkRequest(), timeout=TIMEOUT_S).version
        assert scene.show()
        scene.give()
    assert scene.has_it


def test_t48_whoever_drips_is_set_aside_when_somebody_else_comes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scene.show()
    monkeypatch.setattr(giving, "GRACE_S", 600.0)  # however slow this machine is
    with Stranger(scene.served.address, comes_from="127.0.0.10") as stranger:
        call = stranger.opens(f"{WITNESS}/GiveBack")
        stranger.says(call, messages.GiveBackRequest(bundle=b"drip").SerializeToString())
        until(lambda: "Another caller" in refusal(scene, b"nothing"))
        with pytest.raises(RequestInvalidError, match="Another caller"):
            scene.give()
        monkeypatch.setattr(giving, "GRACE_S", 0.0)
        stranger.says(call, messages.GiveBackRequest(bundle=b"drip").SerializeToString())
        scene.give()
        assert stranger.end_of(call, PATIENT_S) == REQUEST_INVALID
    assert scene.has_it


def test_t48_agency_goes_before_strangers_at_once(scene: Scene) -> None:
    """Also before one that is quick: what it gives may be worth nothing."""
    assert scene.show()
    with Stranger(scene.served.address, comes_from="127.0.0.10") as stranger:
        call = stranger.opens(f"{WITNESS}/GiveBack")
        stranger.says(call, messages.GiveBackRequest(bundle=bytes(10_000)).SerializeToString())
        until(lambda: "Another caller" in refusal(scene, b"nothing"))
        scene.give(by_agency=True)
        assert stranger.end_of(call, PATIENT_S) == REQUEST_INVALID
    assert scene.has_it
