import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from edoccore.directory import layout
from edoccore.directory.bundle import encode_bundle
from edoccore.directory.packing import MAX_BATCH_FILES, FileWanted
from edoccore.directory.state import Freshness, judge
from edoccore.directory.transparency import LogAnswer
from edoccore.directory.view import Directory
from edoccore.errors import (
    DataFolderError,
    DirectoryInvalidError,
    EdocError,
    PeerNotTrustedError,
    PeerUnreachableError,
    RegistryUnreachableError,
    RequestInvalidError,
    StorageDamagedError,
)
from edoccore.signing.statements import DirectoryMark
from edockit.certificates import new_private_key
from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services
from edocnode.domain import directory as rules
from edocnode.rpc.directory import DirectoryServicer, GrpcSources, RegistrySource, open_channel
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.workers.directory import DirectoryKeeper
from tests.integration.directory.conftest import (
    HeardAlarms,
    MakeKeeper,
    RunningRegistry,
    Serve,
)
from tests.support.nation import REGISTRY, Nation, tls_certificate


async def until(true: Callable[[], bool]) -> None:
    """Waits until it is so."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(keeper: DirectoryKeeper) -> AsyncIterator[None]:
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("during", [False, True], ids=["after the answer", "during the answer"])
async def test_t08_what_came_before_the_registry_was_found_silent_is_lent_when_it_is(
    registry: RunningRegistry, make_keeper: MakeKeeper, during: bool
) -> None:
    """Brought as a file while the registry answered with what it had; then it is silent."""
    answered, silent, lent = list[bool](), asyncio.Event(), list[str]()

    async def bring() -> None:
        silent.set()
        registry.nation.now += timedelta(seconds=5)
        registry.nation.add_agency("H30", "Mới")
        assert await keeper.take_bundle(encode_bundle(registry.nation.directory().files))

    class Answering(RegistrySource):
        async def fetch(self, wanted: Sequence[FileWanted]) -> list[bytes | None]:
            found = await super().fetch(wanted)
            if during and not silent.is_set():
                await bring()
            return found

    class Falling(GrpcSources):
        @contextlib.asynccontextmanager
        async def registry(self, directory: Directory) -> AsyncIterator[RegistrySource]:
            if silent.is_set():
                raise RegistryUnreachableError
            endpoint = directory.endpoint(directory.info.registry, registry.nation.now)
            assert endpoint is not None
            async with Answering(endpoint) as source:
                yield source
            answered.append(True)

        async def lend(self, directory: Directory, agency: str) -> None:
            lent.append(agency)

    keeper = make_keeper(kind=Falling, every=timedelta(seconds=1))
    async with running(keeper):
        await until(lambda: bool(answered))
        if not during:
            await bring()
        await until(lambda: bool(lent))
    assert set(lent) <= {"G01", "H30"}


async def test_a_refresh_brings_the_new_directory_to_disk_and_then_to_the_listeners(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path
) -> None:
    keeper = make_keeper()
    on_disk: list[int] = []
    store = DirectoryFiles(tmp_path / "directory", registry.nation.anchor)
    keeper.on_change(lambda new: on_disk.append(store.load().mark.version - new.mark.version))
    assert not await keeper.refresh()
    registry.nation.now += timedelta(seconds=5)
    registry.nation.add_agency("H30", "Another")
    registry.nation.publish()
    assert await keeper.refresh()
    assert keeper.current.owns("H30", "H30")
    assert on_disk == [0]
    assert not await keeper.refresh()


async def test_a_changed_endpoint_costs_two_questions_and_two_files(
    registry: RunningRegistry, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    registry.nation.now += timedelta(seconds=5)
    registry.nation.set_address("G01", "10.0.0.1:1")
    registry.nation.publish()
    registry.served.asked.clear()
    await keeper.refresh()
    assert len(registry.served.asked) == 4


async def test_a_node_starts_with_the_registry_down_and_goes_on(
    nation: Nation, make_keeper: MakeKeeper, alarms: HeardAlarms, now: datetime
) -> None:
    keeper = make_keeper(lambda: now + timedelta(days=29))
    registry = keeper.current.endpoint(REGISTRY, now)
    assert registry is not None
    nation.set_address(REGISTRY, "127.0.0.1:9")
    nation.now += timedelta(seconds=1)
    nation.publish()
    await keeper.refresh()
    with pytest.raises(RegistryUnreachableError):
        await keeper.refresh()
    async with running(keeper):
        await until(lambda: rules.STALE in alarms.kinds())
    assert keeper.state().freshness is Freshness.STALE
    assert keeper.current.endpoint("G01", now) is not None


async def test_a_node_whose_directory_has_expired_alarms_and_recovers_with_the_registry(
    registry: RunningRegistry, make_keeper: MakeKeeper, alarms: HeardAlarms, now: datetime
) -> None:
    later = now + timedelta(days=46)
    keeper = make_keeper(lambda: later)
    async with running(keeper):
        await until(lambda: rules.EXPIRED in alarms.kinds())
        registry.nation.now = later
        registry.nation.resign()
        await until(lambda: keeper.state().freshness is Freshness.FRESH)
        await until(lambda: not alarms.kinds())


async def test_a_registry_that_answers_with_any_error_does_not_stop_a_node(
    registry: RunningRegistry, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    failures: list[Exception] = [
        EdocError("broken"),
        PeerNotTrustedError("not you"),
        RequestInvalidError("what?"),
        KeyError("a fault"),
    ]

    def fail(name: str, data: bytes | None) -> bytes | None:
        if failures:
            raise failures.pop()
        return data

    registry.nation.now += timedelta(seconds=5)
    registry.nation.add_agency("H30", "Another")
    registry.nation.publish()
    registry.served.lie = fail
    async with running(keeper):
        await until(lambda: keeper.current.owns("H30", "H30"))
    assert failures == []


async def test_a_directory_that_cannot_be_kept_is_not_in_force(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path
) -> None:
    keeper = make_keeper()
    mark = keeper.current.mark
    heard: list[Directory] = []
    keeper.on_change(heard.append)
    registry.nation.now += timedelta(seconds=5)
    registry.nation.add_agency("H30", "Another")
    registry.nation.publish()
    shutil.rmtree(tmp_path / "directory")
    (tmp_path / "directory").write_bytes(b"not a folder")
    with pytest.raises(EdocError):
        await keeper.refresh()
    assert keeper.current.mark == mark
    assert heard == []


async def test_t07_an_older_directory_is_refused_also_after_restart(
    registry: RunningRegistry, make_keeper: MakeKeeper, alarms: HeardAlarms
) -> None:
    nation = registry.nation
    generations = [dict(nation.files)]
    for code in ("H30", "H31"):
        nation.now += timedelta(seconds=5)
        nation.add_agency(code, code)
        generations.append(nation.publish())
    keeper = make_keeper()
    await keeper.refresh()
    newest = keeper.current.mark
    for older in generations[:2]:
        nation.files = older
        with pytest.raises(DirectoryInvalidError, match="older"):
            await keeper.refresh()
        restarted = make_keeper()
        with pytest.raises(DirectoryInvalidError, match="older"):
            await restarted.refresh()
        assert restarted.current.mark == newest
    async with running(keeper):
        await until(lambda: rules.INVALID in alarms.kinds())
        nation.files = generations[2]
        await until(lambda: rules.INVALID not in alarms.kinds())


async def test_t07_a_restored_older_bundle_is_refused_by_the_floor_and_read_anew(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path
) -> None:
    folder = tmp_path / "directory"
    yesterday = (folder / "bundle").read_bytes()
    keeper = make_keeper()
    registry.nation.now += timedelta(seconds=5)
    registry.nation.revoke("G01")
    registry.nation.publish()
    await keeper.refresh()
    (folder / "bundle").write_bytes(yesterday)
    with pytest.raises(DirectoryInvalidError, match="older") as caught:
        make_keeper()
    assert "edocnode serve" in caught.value.hint
    store = DirectoryFiles(folder, registry.nation.anchor)
    assert store.floor() == keeper.current.floor()


async def test_what_checking_has_shown_is_kept_beside_a_new_directory_and_not_needed(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path
) -> None:
    folder = tmp_path / "directory"
    keeper = make_keeper()
    registry.nation.now += timedelta(seconds=5)
    registry.nation.add_agency("H30", "Another")
    registry.nation.publish()
    await keeper.refresh()
    kept = (folder / "checked").stat()
    registry.nation.sign_timestamp()
    assert await keeper.refresh()
    assert (folder / "checked").stat().st_ino == kept.st_ino  # nothing new but the timestamp
    for damage in (b"", b"rotten", (folder / "checked").read_bytes()[:-1]):
        (folder / "checked").write_bytes(damage)
        store = DirectoryFiles(folder, registry.nation.anchor)
        assert store.load().mark == keeper.current.mark
        (folder / "checked").unlink()
        assert store.load().mark == keeper.current.mark


async def test_t07_a_database_restored_beside_the_directory_changes_nothing(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path
) -> None:
    (tmp_path / "node.sqlite").write_bytes(b"today")
    registry.nation.now += timedelta(seconds=5)
    old = dict(registry.nation.files)
    registry.nation.add_agency("H30", "Another")
    registry.nation.publish()
    keeper = make_keeper()
    await keeper.refresh()
    (tmp_path / "node.sqlite").write_bytes(b"yesterday")
    registry.nation.files = old
    restarted = make_keeper()
    assert restarted.current.mark == keeper.current.mark
    with pytest.raises(DirectoryInvalidError, match="older"):
        await restarted.refresh()


async def test_a_revocation_dropped_by_the_registry_survives_a_restart(
    registry: RunningRegistry, make_keeper: MakeKeeper, now: datetime
) -> None:
    nation = registry.nation
    keeper = make_keeper()
    nation.now += timedelta(seconds=5)
    nation.revoke("G01")
    nation.publish()
    await keeper.refresh()
    nation.now += timedelta(seconds=5)
    nation.revocations.clear()
    nation.publish()
    await keeper.refresh()
    restarted = make_keeper()
    assert restarted.current.mark == keeper.current.mark
    assert restarted.current.endpoint("G01", now) is None


async def test_t09_endless_data_is_cut_off_at_the_limit(
    registry: RunningRegistry, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    registry.served.lie = lambda name, data: (
        bytes(64 * 1024 * 1024) if name == "timestamp.json" else data
    )
    with pytest.raises(DirectoryInvalidError, match=f"longer than {layout.MAX_TIMESTAMP_BYTES}"):
        await keeper.refresh()
    registry.served.lie = lambda _, data: data
    assert not await keeper.refresh()


async def test_t09_files_of_two_versions_served_together_are_refused(
    registry: RunningRegistry, make_keeper: MakeKeeper, alarms: HeardAlarms
) -> None:
    nation = registry.nation
    keeper = make_keeper()
    role = layout.bin_of("identity", "H30")
    old = next(data for name, data in nation.files.items() if name.endswith(f".{role}.json"))
    nation.now += timedelta(seconds=5)
    nation.add_agency("H30", "Another")
    nation.publish()
    mark = keeper.current.mark
    registry.served.lie = lambda name, data: old if name.endswith(f".{role}.json") else data
    async with running(keeper):
        await until(lambda: rules.INVALID in alarms.kinds())
    assert keeper.current.mark == mark


async def test_t10_two_directories_of_one_version_leave_proof_on_disk(
    registry: RunningRegistry, make_keeper: MakeKeeper, alarms: HeardAlarms, tmp_path: Path
) -> None:
    nation = registry.nation
    nation.now += timedelta(seconds=5)
    fork = dict(nation.versions), dict(nation.files), dict(nation._signed)
    keeper = make_keeper()
    nation.add_agency("H30", "Shown to one half")
    nation.publish()
    await keeper.refresh()
    nation.versions, nation.files, nation._signed = fork
    nation.remove("H30")
    nation.add_agency("H31", "Shown to the other half")
    nation.publish()
    async with running(keeper):
        await until(lambda: {rules.INVALID, rules.TWO_DIRECTORIES} <= alarms.kinds())
    assert keeper.current.owns("H30", "H30")
    store = DirectoryFiles(tmp_path / "directory", nation.anchor)
    (proof,) = store.proofs()
    assert proof.version == keeper.current.mark.version
    assert keeper.current.mark.hash in proof.hashes
    assert {layout.bin_of("identity", code) for code in ("H30", "H31")} <= set(proof.roles)
    await alarms.clear_alarm(rules.TWO_DIRECTORIES, f"directory {proof.version}")
    async with running(make_keeper()):  # a new start, perhaps on a restored database
        await until(lambda: rules.TWO_DIRECTORIES in alarms.kinds())


@pytest.mark.parametrize("name", ["bundle", "floor"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:99] + b"x" + data[100:]]
)
def test_a_damaged_file_says_what_to_do(
    make_keeper: MakeKeeper, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "directory" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageDamagedError) as caught:
        make_keeper()
    assert str(path) in str(caught.value)
    assert "edocnode serve" in caught.value.hint


def test_a_node_that_never_joined_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="no directory") as caught:
        DirectoryFiles(tmp_path, "0" * 64).load()
    assert "edocnode init" in caught.value.hint


def test_a_directory_of_another_anchor_is_refused(make_keeper: MakeKeeper, tmp_path: Path) -> None:
    make_keeper()
    with pytest.raises(DirectoryInvalidError):
        DirectoryFiles(tmp_path / "directory", "0" * 64).load()


# --- Peers --------------------------------------------------------------------------------------


@pytest.fixture
async def peer(nation: Nation, serve_as: Serve) -> list[Directory]:
    """G01 serves the last directory of the list, and is listed with its address."""
    held: list[Directory] = []

    def add(server: grpc.aio.Server) -> None:
        servicer = DirectoryServicer(lambda: held[-1], lambda _size, _digest: LogAnswer())
        services.add_DirectoryServiceServicer_to_server(servicer, server)

    port = await serve_as(nation.agencies["G01"], add)
    nation.set_address("G01", f"127.0.0.1:{port}")
    held.append(nation.directory())
    return held


async def test_t08_a_peer_s_newer_directory_is_taken_though_its_timestamp_is_old(
    nation: Nation, peer: list[Directory], make_keeper: MakeKeeper, now: datetime
) -> None:
    keeper = make_keeper(lambda: now + timedelta(days=10))
    nation.now += timedelta(seconds=5)
    nation.add_agency("H30", "Another")
    peer.append(nation.directory())
    assert judge(peer[-1], now + timedelta(days=10)).freshness is Freshness.STALE
    assert await keeper.refresh_from_peer("G01")
    assert keeper.current.owns("H30", "H30")
    assert not await keeper.refresh_from_peer("G01")


async def test_a_version_heard_of_is_fetched_from_the_peer_once_a_minute(
    nation: Nation,
    peer: list[Directory],
    make_keeper: MakeKeeper,
    registry: RunningRegistry,
    now: datetime,
) -> None:
    moment = [now]
    keeper = make_keeper(lambda: moment[0])
    registry.served.lie = lambda name, data: None  # the registry has nothing
    nation.now += timedelta(seconds=5)
    nation.add_agency("H30", "Another")
    peer.append(nation.directory())
    async with running(keeper):
        keeper.heard("G01", peer[-1].mark)
        await until(lambda: keeper.current.mark == peer[-1].mark)
        nation.now += timedelta(seconds=5)
        nation.add_agency("H31", "Another")
        peer.append(nation.directory())
        keeper.heard("G01", peer[-1].mark)
        await asyncio.sleep(0.3)
        assert keeper.current.mark == peer[-2].mark
        moment[0] += rules.PEER_PAUSE
        keeper.heard("G01", peer[-1].mark)
        await until(lambda: keeper.current.mark == peer[-1].mark)


async def test_a_peer_that_has_no_newer_directory_than_it_said_does_no_harm(
    peer: list[Directory], make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    mark = keeper.current.mark
    async with running(keeper):
        for agency in ("G01", "H99"):
            keeper.heard(agency, DirectoryMark(version=1 << 50, hash="0" * 64))
        await asyncio.sleep(0.3)
    assert keeper.current.mark == mark


async def test_an_agency_without_endpoint_cannot_be_asked(make_keeper: MakeKeeper) -> None:
    keeper = make_keeper()
    with pytest.raises(PeerUnreachableError, match="H99"):
        await keeper.refresh_from_peer("H99")


async def test_a_node_serves_its_files_and_nothing_else(
    peer: list[Directory], now: datetime
) -> None:
    endpoint = peer[0].endpoint("G01", now)
    assert endpoint is not None
    async with open_channel(endpoint) as channel:
        stub = services.DirectoryServiceStub(channel)
        named = [["timestamp.json", bad] for bad in ("", "../x", "timestamp.json/..", "x" * 200)]
        for paths in (*named, ["1.root.json\n"], [], ["1.root.json"] * (MAX_BATCH_FILES + 1)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                [_ async for _ in stub.GetFiles(messages.GetFilesRequest(paths=paths))]
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        request = messages.GetFilesRequest(paths=["9.root.json", "1.root.json"])
        sizes = [answer.size async for answer in stub.GetFiles(request)]
        assert sizes == [0, len(peer[0].files["1.root.json"])]
        mark = await stub.GetMark(messages.GetMarkRequest())
        assert (mark.version, mark.hash.hex()) == (peer[0].mark.version, peer[0].mark.hash)


async def test_a_registry_at_its_second_address_is_found(
    registry: RunningRegistry, make_keeper: MakeKeeper, now: datetime
) -> None:
    keeper = make_keeper()
    registry.nation.now += timedelta(seconds=5)
    registry.nation.set_address(REGISTRY, "127.0.0.1:9", registry.address)
    registry.nation.publish()
    await keeper.refresh()
    async with GrpcSources(lambda: (b"", b""), lambda: now).registry(keeper.current) as source:
        assert await source.fetch([FileWanted("timestamp.json", 1 << 20)]) != [None]


# --- The reference client -----------------------------------------------------------------------


class FilesFetcher(FetcherInterface):
    """Gives the reference client the files of a nation."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self._files.get(url.rpartition("/")[2])
        if data is None:
            raise DownloadHTTPError(url, 404)
        yield data


def test_the_reference_client_of_tuf_reads_the_same_directory(
    nation: Nation, tmp_path: Path
) -> None:
    nation.new_root()
    files = nation.publish()
    updater = Updater(
        str(tmp_path), "http://x/", fetcher=FilesFetcher(files), bootstrap=nation.roots[1]
    )
    updater.refresh()
    found = updater.get_targetinfo("identity/H29")
    assert found is not None
    assert layout.read_target(found, layout.IdentityEntry) == nation.entries["H29"]
    for role in layout.BINNED_ROLES:
        codes = {layout.bin_of(role, str(number)): str(number) for number in range(2_000)}
        assert sorted(codes) == layout.bin_names(role)
        for code in codes.values():  # the library loads a bin when it is asked for something in it
            assert updater.get_targetinfo(f"{role}/{code}") is None
    served = {name for name in files if not name.endswith("root.json")}
    cached = {path.name for path in tmp_path.glob("*.json")} - {"root.json"}
    assert {name.partition(".")[2] for name in served - {"timestamp.json"}} | {
        "timestamp.json"
    } == cached | {layout.file_name("revocations", 1).partition(".")[2]}


def list_lost_key(nation: Nation, address: str, folder: Path) -> None:
    """Puts a directory on disk whose registry has a TLS key that no machine has any longer."""
    lost = nation.agencies[REGISTRY]
    key = new_private_key()
    certificate = tls_certificate(key, REGISTRY, now=nation.now)
    nation.agencies[REGISTRY] = replace(lost, tls_key=key, tls_certificate=certificate)
    nation.set_address(REGISTRY, address)
    nation.publish()
    DirectoryFiles(folder / "directory", nation.anchor).save(nation.directory())
    nation.agencies[REGISTRY] = lost


async def test_registry_made_anew_is_read_under_a_certificate_that_nobody_listed(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path, alarms: HeardAlarms
) -> None:
    nation = registry.nation
    nation.now += timedelta(minutes=1)
    list_lost_key(nation, registry.address, tmp_path)
    keeper = make_keeper()
    nation.now += timedelta(minutes=1)
    nation.set_address(REGISTRY, registry.address)
    nation.publish()
    async with running(keeper):
        await until(lambda: keeper.current.mark.version == nation.versions["snapshot"])
    assert await keeper.refresh() is False  # by the certificate that is listed now
    assert alarms.kinds() == set()


async def test_whoever_has_the_registry_s_address_can_invent_nothing(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path
) -> None:
    nation = registry.nation
    list_lost_key(nation, registry.address, tmp_path)
    keeper = make_keeper()
    before = keeper.current
    stranger = Nation.create(nation.now + timedelta(hours=1))
    stranger.publish()
    nation.files = stranger.files
    with pytest.raises(DirectoryInvalidError):
        await keeper.refresh()
    assert keeper.current is before


async def test_registry_whose_address_is_silent_stays_unreachable(
    registry: RunningRegistry, make_keeper: MakeKeeper, tmp_path: Path
) -> None:
    list_lost_key(registry.nation, "127.0.0.1:9", tmp_path)
    with pytest.raises(RegistryUnreachableError):
        await make_keeper().refresh()
