"""Who is let in, and for how long: keys that are stolen, mixed up or revoked."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import msgspec
import pytest
from grpc.experimental import session_cache
from msgspec.structs import replace

from edoccore.directory.layout import RevocationKind
from edockit import grpc_tls
from edockit.certificates import certificate_pem, key_pem
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import Refused
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.integration.exchange.conftest import Scene, make_nation
from tests.support.bad_peer import BadPeer, Connection, Ended, Stream, place
from tests.support.nodes import make_node, running, served, until
from tests.support.ports import free_port


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Scene]:
    """A node that reads its directory from a registry each second."""
    port = free_port()
    nation = make_nation(port)
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    async with served(nation, port), running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        yield Scene(nation, node, peer, port, nation.directory())


async def revoke(scene: Scene, kind: RevocationKind) -> None:
    """Revokes a certificate of H29 and waits until the node knows."""
    scene.nation.revoke("H29", kind)
    scene.nation.publish()
    await published(scene)


async def published(scene: Scene) -> None:
    """Waits until the node holds the newest directory, which a stranger's hello tells."""
    version = scene.nation.versions["snapshot"]
    async with scene.other("H30").connect() as connection:

        async def heard() -> bool:
            return (await connection.say_hello()).directory.version >= version

        await until(heard)


async def is_refused(stream: Stream, scene: Scene) -> str:
    """How a stream ends with the next parcel."""
    with pytest.raises(Ended) as ended:
        await stream.exchange(scene.peer.parcel(scene.peer.letter()))
    return ended.value.reason


async def test_t03_a_revoked_tls_certificate_ends_open_streams_and_opens_no_other(
    watched: Scene,
) -> None:
    cache = ("grpc.ssl_session_cache", session_cache.ssl_session_cache_lru(16))
    async with watched.peer.connect(cache) as connection, connection.stream() as stream:
        await watched.good(stream)
        await revoke(watched, RevocationKind.TLS)
        assert await is_refused(stream, watched) == "PEER_NOT_TRUSTED"
        for method in ("Deliver", "Transfer"):
            assert await refusal(connection, method) == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(Ended, match="UNAUTHENTICATED"):
            await connection.say_hello()
    async with watched.peer.connect() as connection:  # new
        assert await refusal(connection, "Deliver") in NO_ENTRY
    async with watched.peer.connect(cache) as connection:  # resumed
        assert await refusal(connection, "Deliver") in NO_ENTRY
    assert watched.node.inbox() == 100
    other = watched.other("H30")
    async with other.stream() as theirs:
        answers = await theirs.exchange(other.parcel(other.letter()))
        assert watched.told(answers[0]) == ("received", "")


NO_ENTRY = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}


async def refusal(connection: Connection, method: str) -> grpc.StatusCode:
    """The status with which a call is refused."""
    call = connection.call(method, timeout=60)
    return await call.code()


async def test_t03_no_answer_is_written_to_a_caller_that_was_revoked_meanwhile(
    watched: Scene,
) -> None:
    """The check is made again for what leaves, so a revoked caller learns nothing more."""
    letter = watched.peer.letter(bytes(400_000))
    async with watched.peer.connect() as connection, connection.stream() as deliveries:
        await deliveries.exchange(watched.peer.offer(letter))
        stream = Stream(connection.call("Transfer"))
        await stream.write(place(letter, 1))
        await stream.write(messages.TransferRequest(chunk=letter.parts[1]))
        for _ in range(2):
            await stream.read()
        await revoke(watched, RevocationKind.TLS)
        await stream.call.done_writing()
        with pytest.raises(Ended, match="PEER_NOT_TRUSTED"):
            await stream.read()


async def test_a_revoked_seal_certificate_is_refused_on_an_open_stream(watched: Scene) -> None:
    async with watched.peer.stream() as stream:
        await watched.good(stream)
        parcel = watched.peer.parcel(watched.peer.letter())
        await revoke(watched, RevocationKind.SEAL)
        with pytest.raises(Ended, match="PEER_NOT_TRUSTED"):  # its endpoint ended with its seal
            await stream.exchange(parcel)
    assert watched.node.inbox() == 100


async def test_a_seal_replaced_after_revocation_leaves_the_old_one_worthless(
    watched: Scene,
) -> None:
    peer = watched.peer
    old = peer.agency.signer, peer.agency.digests
    watched.nation.revoke("H29", RevocationKind.SEAL)
    watched.nation.replace_seal("H29")
    watched.nation.set_address("H29", "127.0.0.1:9")
    watched.nation.publish()
    await published(watched)
    peer.open_epoch()
    letter = peer.letter()
    envelope = peer.seal(letter.data, signer=old[0], certificates=old[1])[0]
    parcel = peer.parcel(letter)
    async with peer.stream() as stream:
        (answer,) = await stream.exchange(msgspec.structs.replace(parcel, envelope=envelope))
        assert watched.told(answer) == ("refused", "SEAL_CERTIFICATE_REFUSED")
        assert watched.node.inbox() == 0
        await watched.good(stream)


async def test_t05_the_seal_certificate_opens_no_connection(scene: Scene) -> None:
    scene.peer.with_tls_of_seal()
    async with scene.peer.connect() as connection:
        assert await refusal(connection, "Deliver") in NO_ENTRY


async def test_t05_a_seal_certificate_that_tls_lets_in_is_refused_by_the_interceptor(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trust store of TLS is given the seal's certificate, as a faulty directory would."""
    agency = scene.peer.agency
    await _restart_with_pin(scene, monkeypatch, certificate_pem(agency.seal_certificate))
    scene.peer.chain = certificate_pem(agency.seal_certificate)
    scene.peer.key = key_pem(agency.seal_key)
    async with scene.peer.connect() as connection:
        assert await refusal(connection, "Deliver") == grpc.StatusCode.UNAUTHENTICATED


async def _restart_with_pin(scene: Scene, monkeypatch: pytest.MonkeyPatch, pin: bytes) -> None:
    usable = grpc_tls._usable_pins
    monkeypatch.setattr(grpc_tls, "_usable_pins", lambda pins: ({**usable(pins)[0], "": pin}, ()))
    await scene.node.stop()
    await scene.node.start()
    scene.peer.address = scene.node.address


async def test_t01_a_hello_speaks_only_for_its_own_agency(scene: Scene) -> None:
    async with scene.peer.connect() as connection:
        with pytest.raises(Ended, match="PEER_NOT_TRUSTED"):
            await connection.say_hello(agency="H30")
        with pytest.raises(Ended, match="PEER_NOT_TRUSTED"):
            async with connection.stream(agency="G01"):
                pass


async def test_t01_a_hello_shows_no_opening_of_another_agency(scene: Scene) -> None:
    theirs = scene.other("H30").opening
    async with scene.peer.connect() as connection:
        with pytest.raises(Ended, match="SEAL_INVALID"):
            await connection.say_hello(opening=theirs)
        async with connection.stream() as stream:
            await scene.good(stream)


async def test_an_agency_without_a_listed_certificate_is_not_let_in(scene: Scene) -> None:
    scene.peer.agency.renew_tls(scene.nation.now)
    scene.peer.chain = scene.peer.agency.tls_certificate_pem
    scene.peer.key = scene.peer.agency.tls_key_pem
    async with scene.peer.connect() as connection:
        assert await refusal(connection, "Deliver") in NO_ENTRY


async def test_t07_a_running_node_takes_no_older_directory(tmp_path: Path) -> None:
    port = free_port()
    nation = make_nation(port)
    nation.directory()
    old = dict(nation.files)
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    peer = BadPeer(nation, nation.agencies["H29"], node.agency, "")
    async with served(nation, port), running(node):
        peer.address = node.address
        nation.revoke("H30", RevocationKind.TLS)
        nation.publish()
        version = nation.versions["snapshot"]
        await until(lambda: _holds(peer, version))
    async with served(nation, port, files=old), running(node):
        peer.address = node.address
        await until(lambda: "DIRECTORY_INVALID" in node.alarms())
        assert await _holds(peer, version)
        revoked = BadPeer(nation, nation.agencies["H30"], node.agency, node.address)
        async with revoked.connect() as connection:
            assert await refusal(connection, "Deliver") in NO_ENTRY
    stored = DirectoryFiles(DataFolder(node.data).directory, nation.anchor).load()
    assert stored.mark.version >= version


async def test_t33_an_agency_that_seals_below_its_minimum_suite_is_shut_out(
    tmp_path: Path,
) -> None:
    """Its endpoint statement is below it too, so its node's certificate counts no more."""
    port = free_port()
    nation = make_nation(port)
    nation.directory()
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    peer = BadPeer(nation, nation.agencies["H29"], node.agency, "")
    async with served(nation, port), running(node):
        peer.address = node.address
        async with peer.stream() as stream:
            (answer,) = await stream.exchange(peer.parcel(peer.letter()))
            assert not isinstance(answer, Refused)
            entry = nation.entries["H29"]
            nation.entries["H29"] = replace(entry, minimum_suite=2)
            nation.publish()
            version = nation.versions["snapshot"]
            other = BadPeer(nation, nation.agencies["H30"], node.agency, node.address)
            await until(lambda: _holds(other, version))
            with pytest.raises(Ended, match="PEER_NOT_TRUSTED"):
                await stream.exchange(peer.parcel(peer.letter()))
    assert node.inbox() == 1


async def _holds(peer: BadPeer, version: int) -> bool:
    async with peer.connect() as connection:
        return (await connection.say_hello()).directory.version >= version
