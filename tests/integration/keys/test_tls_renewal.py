"""TLS certificates follow each other while documents travel, and whatever breaks off meanwhile."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.directory.layout import RevocationKind
from edoccore.errors import KeyUnusableError, StorageFailedError
from edoccore.signing import canonical
from edoccore.signing.statements import Endpoint
from edockit import files
from edockit.certificates import certificate_pem, key_pem, new_private_key, self_signed_tls
from edocnode.domain.key_life import BEFORE, TLS_CHANGE_AFTER, TLS_LIFE
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder, TlsPair
from edocnode.storage.tls_keys import ListedSince, TlsKeys
from tests.support.agencies import server_name
from tests.support.nation import REGISTRY, Nation
from tests.support.nodes import TestNode, make_pair, running, served, until, utc_now
from tests.support.ports import free_port

DAY = timedelta(days=1)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Nation, TestNode, TestNode, int]:
    """H29 and G01, and the port of their registry."""
    nation, first, second = make_pair(tmp_path)
    port = free_port()
    nation.set_address(REGISTRY, f"127.0.0.1:{port}")
    for node in (first, second):
        DirectoryFiles(DataFolder(node.data).directory, nation.anchor).save(nation.directory())
    return nation, first, second, port


def old_next(node: TestNode) -> str:
    """Gives a node a next certificate that was made a year ago; returns its SHA-256."""
    key, made = new_private_key(), utc_now() - TLS_CHANGE_AFTER - DAY
    der = self_signed_tls(
        key,
        common_name=node.agency.code,
        dns_name=server_name(node.agency.code),
        not_before=made - BEFORE,
        not_after=made + TLS_LIFE,
    )
    DataFolder(node.data).save_tls_pair("next", TlsPair(certificate_pem(der), key_pem(key)))
    return sha256(der).hexdigest()


def pins(node: TestNode, of: str, anchor: str) -> set[str]:
    """The TLS certificates of an agency in the directory that a node has on its disk."""
    found = DirectoryFiles(DataFolder(node.data).directory, anchor).load().endpoints[of]
    return {pin.sha256 for pin in found.pins}


def current(node: TestNode) -> str:
    """SHA-256 of the TLS certificate in use."""
    return sha256(DataFolder(node.data).tls_pair("current").certificate).hexdigest()


def following(node: TestNode) -> str:
    """SHA-256 of the next TLS certificate."""
    with contextlib.suppress(KeyUnusableError):  # it is being made
        return sha256(DataFolder(node.data).tls_pair("next").certificate).hexdigest()
    return ""


def tls_keys(folder: DataFolder) -> TlsKeys:
    """The pairs of H29, read as at a start."""
    listed = ListedSince(folder)
    return TlsKeys(folder, listed, agency="H29", server_name=server_name("H29"))


@contextlib.asynccontextmanager
async def documents_both_ways(first: TestNode, second: TestNode) -> AsyncIterator[None]:
    """Documents travel before and after the block."""
    for _ in range(2):
        sent = await first.send(b"a", to=["G01"]), await second.send(b"b", to=["H29"])
        await first.delivered(sent[0])
        await second.delivered(sent[1])
        if _ == 0:
            yield


async def test_next_certificate_takes_over_while_peers_have_a_stale_directory(
    pair: tuple[Nation, TestNode, TestNode, int],
) -> None:
    nation, first, second, port = pair
    following_one = old_next(first)
    async with running(second):
        async with served(nation, port), running(first):
            await until(lambda: following_one in pins(second, "H29", nation.anchor))
            assert current(first) != following_one  # listed a moment ago only
            await until((DataFolder(first.data).keys / "listed.json").exists)
        # From here on nobody reaches the registry.
        listed = DataFolder(first.data).keys / "listed.json"
        listed.unlink()
        ListedSince(DataFolder(first.data)).note(following_one, utc_now() - 46 * DAY)
        async with running(first):
            await until(lambda: current(first) == following_one)
            async with documents_both_ways(first, second):
                pass
            assert following(first) not in pins(second, "H29", nation.anchor)


async def test_revoked_certificate_is_replaced_at_once_and_the_next_is_published(
    pair: tuple[Nation, TestNode, TestNode, int],
) -> None:
    nation, first, second, port = pair
    async with served(nation, port), running(first, second):
        before, coming = current(first), following(first)
        await until(lambda: coming in pins(second, "H29", nation.anchor))
        async with documents_both_ways(first, second):
            nation.revoke("H29", RevocationKind.TLS)
            nation.publish()
            await until(lambda: current(first) == coming)
            await until(lambda: following(first) not in ("", coming))
            expected = {coming, following(first)}
            await until(lambda: pins(second, "H29", nation.anchor) == expected)
        assert before not in expected


async def test_endpoint_statement_lists_current_and_next_after_each_change(
    pair: tuple[Nation, TestNode, TestNode, int],
) -> None:
    nation, first, _, port = pair
    async with served(nation, port), running(first):
        await until(lambda: following(first) in pins(first, "H29", nation.anchor))
        (row,) = first.rows(
            "SELECT data FROM own_statement WHERE kind = 'endpoint' ORDER BY id DESC LIMIT 1"
        )
        assert len(canonical.decode(row[0], Endpoint).certificates) == 2


CUTS = ["first rename", "second rename", "new key"]


@pytest.mark.parametrize("cut", CUTS)
def test_crash_at_any_moment_of_a_change_leaves_a_usable_pair(
    cut: str, pair: tuple[Nation, TestNode, TestNode, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = DataFolder(pair[1].data)
    keys = tls_keys(folder)
    before = keys.certificates
    allowed = CUTS.index(cut)
    rename, calls = files.rename_file, iter(range(10))

    def failing(path: Path, to: Path) -> None:
        if next(calls) >= allowed:
            raise StorageFailedError("the power went")
        rename(path, to)

    monkeypatch.setattr(files, "rename_file", failing)
    with contextlib.suppress(StorageFailedError):
        keys.take_over()
    monkeypatch.undo()
    again = tls_keys(folder)
    assert again.pair.certificate == before[0 if cut == "first rename" else 1]
    if again.following() is None:
        again.make_next(utc_now())
    assert len(again.certificates) == 2
    assert len(sorted(folder.keys.glob("tls-*"))) == 4


def test_key_that_was_made_without_its_certificate_is_made_anew(
    pair: tuple[Nation, TestNode, TestNode, int],
) -> None:
    folder = DataFolder(pair[1].data)
    (folder.keys / "tls-next.pem").unlink()
    keys = tls_keys(folder)
    assert keys.following() is None
    keys.make_next(utc_now())
    assert folder.tls_pair("next").certificate == keys.certificates[1]
