"""Seals follow each other while documents travel; nothing that was sealed is lost by it."""

from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.directory.layout import RevocationKind
from edoccore.directory.view import Directory
from edockit.grpc_client import unix_channel
from edocnet.admin.v1 import admin_service_pb2, admin_service_pb2_grpc
from edocnode.domain import seal_life
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import SEAL, SEAL_NEXT, DataFolder
from edocnode.storage.seal_keys import SealKeys
from edocnode.storage.tls_keys import ListedSince
from edocnode.workers import seal_renewal
from edocregistry.domain.model import Revocation
from edocregistry.domain.revoking import add_revocations
from tests.integration.keys.conftest import Country
from tests.support.nodes import TestNode, running, until
from tests.support.registry import OFFICER


def seals_of(node: TestNode) -> SealKeys:
    """The seal keys in the folder of a node."""
    folder = DataFolder(node.data)
    return SealKeys(folder, folder.identity(), ListedSince(folder))


def in_use(node: TestNode) -> str:
    """SHA-256 of the seal certificate in use."""
    return seals_of(node).current().sha256


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new seal is used as soon as it is listed; tests of the rule say when really."""
    monkeypatch.setattr(seal_life, "PEERS_HAVE_IT", timedelta(seconds=0))
    monkeypatch.setattr(seal_renewal, "LOOK_EVERY", timedelta(seconds=0.3))


async def knows(node: TestNode) -> None:
    """Waits until a node has both agencies in its directory, in force and not only on its disk."""

    async def known() -> bool:
        async with unix_channel(node.where.socket) as channel:  # type: ignore[union-attr]
            stub = admin_service_pb2_grpc.AdminServiceStub(channel)
            answer = await stub.ListPeers(admin_service_pb2.ListPeersRequest())
        return bool(answer.peers)

    await until(known)


async def exchanged(first: TestNode, second: TestNode) -> None:
    """A document travels each way."""
    await knows(first)
    await knows(second)
    sent = await first.send(b"a", to=["G01"]), await second.send(b"b", to=["H29"])
    await first.delivered(sent[0])
    await second.delivered(sent[1])


async def test_seal_is_renewed_without_restart_and_both_certificates_stay_listed(
    country: Country,
) -> None:
    first, second = country.first, country.second
    old = in_use(first)
    async with country.serving(), running(first, second):
        await until(lambda: seals_of(first).following() is not None)
        await until(lambda: seals_of(first).following().listed_since is not None)  # type: ignore[union-attr]
        listed = {
            item.digests[0] for item in country.in_force().seals.current("H29", first.clock())
        }
        assert listed == {old, seals_of(first).following().sha256}  # type: ignore[union-attr]
        assert in_use(first) == old  # for 45 days
        await exchanged(first, second)
        assert "OWN_ENTRY_CHANGED" not in first.alarms()


async def test_documents_travel_across_the_change_and_the_old_seal_is_needed_no_more(
    country: Country, at_once: None
) -> None:
    first, second = country.first, country.second
    old = in_use(first), in_use(second)
    async with country.serving(), running(first, second):
        await exchanged(first, second)
        await until(lambda: in_use(first) != old[0] and in_use(second) != old[1])
        await until(lambda: in_use(first) in newest_opening(first))
        await exchanged(first, second)
        await until(lambda: sealed_with(country, "H29") == in_use(first))
        for digest, code in zip(old, ("H29", "G01"), strict=True):
            end_certificate(country, code, digest)
        await until(lambda: directory_of(second).revocations.find(old[0]))
        await exchanged(first, second)


def newest_opening(node: TestNode) -> str:
    """The seal over the opening that a node shows to peers."""
    ((data,),) = node.rows(
        "SELECT s.data FROM own_statement o JOIN seal s ON s.id = o.seal_id "
        "WHERE o.kind = 'epoch' ORDER BY o.id DESC LIMIT 1"
    )
    return bytes(data).decode()


def end_certificate(country: Country, code: str, digest: str) -> None:
    """Revokes one seal certificate, as its end would make it worthless."""
    made = Revocation(
        kind=RevocationKind.SEAL,
        sha256=digest,
        agency=code,
        serial=None,
        reason="over",
        revoked_at=country.registry._clock(),
        compromised_since=None,
    )
    country.registry.act("test", "end", lambda records, _: add_revocations(records, code, [made]))


def sealed_with(country: Country, code: str) -> str:
    """The certificate under which the endpoint of an agency is listed."""
    found = country.in_force().endpoint(code, country.registry._clock())
    return "" if found is None else found.listed.digests[0]


def directory_of(node: TestNode) -> Directory:
    """The directory that a node has on its disk."""
    folder = DataFolder(node.data)
    return DirectoryFiles(folder.directory, folder.identity().root_sha256).load()


async def test_what_waits_under_the_old_seal_is_delivered_under_the_new_one(
    country: Country, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = country.first, country.second
    old = in_use(first)
    monkeypatch.setattr(seal_life, "RENEW_BEFORE", timedelta(days=1))
    async with country.serving():
        async with running(first):
            await knows(first)
            waiting = [await first.send(b"x" * size, to=["G01"]) for size in (10, 400_000)]
            await until(lambda: first.count("SELECT count(*) FROM delivery_envelope") == 2)
            monkeypatch.setattr(seal_life, "RENEW_BEFORE", timedelta(days=60))
            await until(lambda: in_use(first) != old)
            await until(lambda: sealed_with(country, "H29") == in_use(first))
            end_certificate(country, "H29", old)
            async with running(second):
                await first.delivered(*waiting)
        assert second.inbox() == 2


async def test_receipt_that_is_asked_for_again_comes_under_the_new_seal(
    country: Country, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost on its way, and the key that gave it was revoked since."""
    first, second = country.first, country.second
    old = in_use(second)
    monkeypatch.setattr(seal_life, "RENEW_BEFORE", timedelta(days=1))
    async with country.serving():
        async with running(first, second):
            await knows(first)
            sent = await first.send(b"a", to=["G01"])
            await first.delivered(sent)
        first.write(
            "DELETE FROM receipt_got", "UPDATE delivery SET state = 'queued', ended_at = NULL"
        )
        monkeypatch.setattr(seal_life, "RENEW_BEFORE", timedelta(days=60))
        async with running(second):
            await until(lambda: in_use(second) != old)
            await until(lambda: sealed_with(country, "G01") == in_use(second))
            end_certificate(country, "G01", old)
            async with running(first):
                await first.delivered(sent)
        assert second.inbox() == 1


async def test_without_officers_the_new_seal_waits_and_says_so(
    country: Country, at_once: None
) -> None:
    first = country.first
    old = in_use(first)
    keys = country.registry.folder.path / "keys"
    async with country.serving():
        (keys / "identity.pem").rename(keys / "identity.away")
        async with running(first):
            message = await until(lambda: first.alarms().get("SEAL_WAITS_FOR_OFFICERS"))
            assert "officers must publish it" in message
            assert in_use(first) == old
            (keys / "identity.away").rename(keys / "identity.pem")  # they do
            await until(lambda: in_use(first) != old)
            await until(lambda: "SEAL_WAITS_FOR_OFFICERS" not in first.alarms())


async def test_revoked_seal_stops_sealing_and_says_what_to_do(country: Country) -> None:
    first, second = country.first, country.second
    async with country.serving(), running(first, second):
        await exchanged(first, second)
        country.registry.revoke(OFFICER, "H29", kinds=[RevocationKind.SEAL], compromised_since=None)
        message = await until(lambda: first.alarms().get("SEALER_STOPPED"))
        assert "was revoked" in message
        assert "keys replace" in message
        sent = await first.send(b"kept", to=["G01"])
        assert first.count("SELECT count(*) FROM delivery WHERE state = 'unsealed'") == 1
        assert sent.document_id


def test_crash_between_the_two_renames_leaves_the_new_pair(
    country: Country,
) -> None:
    folder, keys = DataFolder(country.first.data), seals_of(country.first)
    keys.next_request()
    (folder.keys / "seal-next.pem").write_bytes(folder.seal_chain())
    Path(folder.key_file(SEAL, "key")).replace(folder.key_file(SEAL_NEXT, "key"))
    Path(folder.key_file(SEAL_NEXT, "pem")).replace(folder.key_file(SEAL, "pem"))
    assert seals_of(country.first).signer()[0]  # read also before the change is finished
    seals_of(country.first).finish_change()
    assert not folder.key_file(SEAL_NEXT, "key").exists()
    signer, key = seals_of(country.first).signer()
    assert signer.certificate_digest == key.certificates[0]
