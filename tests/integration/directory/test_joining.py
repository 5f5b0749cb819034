from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest

from edoccore.directory.join import JoinString, format_join, parse_join
from edoccore.errors import (
    DirectoryInvalidError,
    RegistryUnreachableError,
    StorageDamagedError,
    TokenRefusedError,
)
from edoccore.identity.request import SealRequest
from edockit import certificates
from edocnet.directory.v1 import directory_service_pb2_grpc as directory_services
from edocnet.enrolment.v1 import enrolment_service_pb2_grpc as enrolment_services
from edocnode.rpc.joining import join, load_or_fetch, publish_endpoint, read_directory
from edocnode.storage.directory_files import DirectoryFiles
from tests.integration.directory.conftest import (
    TOKEN,
    RegistryServer,
    RunningRegistry,
    Serve,
    Served,
)
from tests.support.nation import REGISTRY, Agency, Nation, new_uuid7, tls_certificate

KEY = certificates.new_private_key()
REQUEST = SealRequest(certificates.seal_request(KEY, "H37"))


def invitation(registry: RunningRegistry, address: str = "", token: bytes = TOKEN) -> JoinString:
    host, _, port = (address or registry.address).rpartition(":")
    made = JoinString(host=host, port=int(port), root_sha256=registry.nation.anchor, token=token)
    return parse_join(format_join(made))


async def test_joining_brings_a_verified_directory_and_the_listed_certificate(
    registry: RunningRegistry, now: datetime
) -> None:
    enrolment = await join(invitation(registry), REQUEST, now=now)
    assert enrolment.agency == "H37"
    assert enrolment.directory.seals.current("H37", now) == [enrolment.seal]
    assert enrolment.seal.key == KEY.public_key()
    assert registry.served.tokens == [TOKEN]


async def test_the_first_endpoint_statement_is_published(
    registry: RunningRegistry, now: datetime
) -> None:
    enrolment = await join(invitation(registry), REQUEST, now=now)
    tls_key = certificates.new_private_key()
    agency = Agency(
        code="H37",
        name="Newcomer",
        network=registry.nation.network,
        seal_key=KEY,
        seal_certificate=enrolment.seal.chain[0],
        authority=enrolment.seal.chain[-1],
        tls_key=tls_key,
        tls_certificate=tls_certificate(tls_key, "H37", now=now),
        server_name="h37.edoc.test",
        epoch=new_uuid7(now),
    )
    assert agency.digests == enrolment.seal.digests
    registry.nation.now += timedelta(seconds=5)
    sealed = agency.endpoint("10.0.0.37:7000", time=now)
    version = await publish_endpoint(enrolment.directory, sealed, now=now)
    directory = await read_directory(registry.address, registry.nation.anchor)
    assert directory.mark.version == version
    endpoint = directory.endpoint("H37", now)
    assert endpoint is not None
    assert endpoint.addresses == ("10.0.0.37:7000",)


async def test_a_wrong_token_is_refused_by_name(registry: RunningRegistry, now: datetime) -> None:
    with pytest.raises(TokenRefusedError):
        await join(invitation(registry, token=bytes(16)), REQUEST, now=now)


async def test_nobody_at_the_address_says_so(registry: RunningRegistry, now: datetime) -> None:
    with pytest.raises(RegistryUnreachableError, match=r"127\.0\.0\.1:9"):
        await join(invitation(registry, "127.0.0.1:9"), REQUEST, now=now)


async def test_t39_the_token_is_not_sent_to_a_registry_of_another_root(
    registry: RunningRegistry, serve_as: Serve, now: datetime
) -> None:
    stranger, served = Nation.create(now), Served()
    stranger.publish()
    address = await listen(serve_as, stranger, stranger.agencies[REGISTRY], served)
    with pytest.raises(DirectoryInvalidError, match="not the expected directory"):
        await join(invitation(registry, address), REQUEST, now=now)
    assert served.tokens == []


async def test_t39_the_token_is_not_sent_to_one_who_mirrors_the_genuine_files(
    registry: RunningRegistry, serve_as: Serve, now: datetime
) -> None:
    served = Served()
    thief = Nation.create(now).agencies[REGISTRY]
    address = await listen(serve_as, registry.nation, thief, served)
    with pytest.raises(RegistryUnreachableError):
        await join(invitation(registry, address), REQUEST, now=now)
    assert served.asked
    assert served.tokens == registry.served.tokens == []


async def test_a_newcomer_takes_no_directory_that_is_out_of_date(
    registry: RunningRegistry, now: datetime
) -> None:
    with pytest.raises(DirectoryInvalidError, match="out of date") as caught:
        await join(invitation(registry), REQUEST, now=now + timedelta(days=2))
    assert "clock" in caught.value.hint
    assert registry.served.tokens == []


async def test_an_answer_with_a_certificate_for_another_key_is_not_believed(
    registry: RunningRegistry, now: datetime
) -> None:
    other = certificates.seal_request(certificates.new_private_key(), "H37")
    registry.served.swap = other
    with pytest.raises(DirectoryInvalidError, match="another key"):
        await join(invitation(registry), REQUEST, now=now)


async def test_reading_the_directory_again_never_goes_below_the_floor(
    registry: RunningRegistry,
) -> None:
    old = dict(registry.nation.files)
    registry.nation.now += timedelta(seconds=5)
    registry.nation.add_agency("H30", "Another")
    floor = registry.nation.directory().floor()
    anchor = registry.nation.anchor
    await read_directory(registry.address, anchor, floor=floor)
    registry.nation.files = old
    with pytest.raises(DirectoryInvalidError, match="older"):
        await read_directory(registry.address, anchor, floor=floor)


LOSSES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_directory_is_fetched_again_and_kept(
    registry: RunningRegistry, tmp_path: Path, loss: str
) -> None:
    nation = registry.nation
    store = DirectoryFiles(tmp_path, nation.anchor)
    store.save(nation.directory())
    LOSSES[loss](tmp_path / "bundle")
    fetched = await load_or_fetch(store, nation.anchor)
    assert store.load().mark == fetched.mark


async def test_t07_a_restored_older_bundle_heals_but_never_to_what_is_older(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    nation = registry.nation
    store = DirectoryFiles(tmp_path, nation.anchor)
    store.save(nation.directory())
    yesterday, old = (tmp_path / "bundle").read_bytes(), dict(nation.files)
    nation.now += timedelta(seconds=5)
    nation.revoke("G01")
    newest = nation.directory()
    store.save(newest)
    (tmp_path / "bundle").write_bytes(yesterday)
    genuine, nation.files = nation.files, old
    with pytest.raises(DirectoryInvalidError, match="older"):
        await load_or_fetch(store, nation.anchor)
    nation.files = genuine
    assert (await load_or_fetch(store, nation.anchor)).mark == newest.mark


async def test_a_sound_directory_on_disk_asks_nobody(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    store = DirectoryFiles(tmp_path, registry.nation.anchor)
    store.save(registry.nation.directory())
    await load_or_fetch(store, registry.nation.anchor)
    assert registry.served.asked == []


async def test_a_directory_lost_while_the_registry_is_down_says_what_is_wrong(
    nation: Nation, tmp_path: Path
) -> None:
    store = DirectoryFiles(tmp_path, nation.anchor)
    store.save(nation.directory())
    (tmp_path / "bundle").write_bytes(b"rot")
    with pytest.raises(StorageDamagedError, match="bundle") as caught:
        await load_or_fetch(store, nation.anchor)
    assert "Reach the registry" in caught.value.hint


async def listen(serve_as: Serve, nation: Nation, agency: Agency, served: Served) -> str:
    """Serves a nation's files with the TLS certificate of ``agency``; returns host:port."""
    servicer = RegistryServer(nation, served)

    def add(server: grpc.aio.Server) -> None:
        directory_services.add_DirectoryServiceServicer_to_server(servicer, server)
        enrolment_services.add_EnrolmentServiceServicer_to_server(servicer, server)

    return f"127.0.0.1:{await serve_as(agency, add)}"
