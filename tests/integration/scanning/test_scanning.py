"""Documents are scanned before they are shown: real clamd, real nodes, real faults."""

import asyncio
import io
import os
import zipfile
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from edoccore.office_errors import ScannerOffError
from edoccore.wire.status import raise_for
from edocnet.office.v1 import office_service_pb2 as offices
from edocnode.app.scanning import encrypted_archive
from edocnode.app.scanning import test_file as eicar
from edocnode.storage.folder import DataFolder
from tests.integration.scanning.asking import (
    came_to,
    listed,
    released,
    scanned_again,
    states,
    told,
    told_rejected,
)
from tests.integration.scanning.conftest import pair, scanning
from tests.support.clamd import (
    KNOWN_FILE,
    MARKER,
    clamd,
    fake_clamd,
    say_found_or_ok,
)
from tests.support.nodes import Sent, TestNode, make_pair, running, until


def archive_with(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("báo cáo.txt", content)
    return target.getvalue()


async def test_infected_documents_are_never_shown_and_clean_ones_are(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner, pair(tmp_path, scanner.address) as (sender, recipient):
        clean = await sender.send(b"%PDF-1.7 sound", os.urandom(300_000), to=["G01"])
        bad = {
            "in a small part": await sender.send(b"%PDF", eicar(), to=["G01"]),
            "in a large part": await sender.send(
                os.urandom(1 << 20) + MARKER + os.urandom(1 << 20), to=["G01"]
            ),
            "by its hash": await sender.send(KNOWN_FILE, to=["G01"]),
            "in an archive": await sender.send(archive_with(MARKER * 3), to=["G01"]),
            "in the record": await sender.send(
                b"%PDF", to=["G01"], subject=f"Về việc {MARKER.decode()}"
            ),
        }
        await sender.delivered(clean, *bad.values())  # receipts say what is kept, not what it is
        await came_to(recipient, clean, "clean")
        for sent in bad.values():
            await came_to(recipient, sent, "infected")
        assert recipient.rows("SELECT message_id FROM inbox") == [(clean.message_id,)]
        assert await recipient.part(clean.message_id, 1) == b"%PDF-1.7 sound"
        for sent in bad.values():
            with pytest.raises(grpc.RpcError):
                await recipient.part(sent.message_id, 1)
            await until(lambda of=sent: told_rejected(sender, of))
        assert {item["cause"] for item in await listed(recipient)} == {"malware"}
        assert "QUARANTINED" in recipient.alarms()
        assert recipient.count("SELECT count(*) FROM event WHERE kind = 'document.received'") == 1


async def test_what_cannot_be_scanned_is_held_until_an_administrator_decides(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner:
        settings = {"scanner_largest_mib": 1}
        async with pair(tmp_path, scanner.address, **settings) as (sender, recipient):
            locked = await sender.send(encrypted_archive(), to=["G01"])
            large = await sender.send(os.urandom(2 << 20), to=["G01"])
            for sent in (locked, large):
                await came_to(recipient, sent, "held")
            assert recipient.inbox() == 0
            causes = {item["cause"] for item in await listed(recipient)}
            assert causes == {"encrypted", "too_large"}
            assert await told(sender, large) == []  # nothing is known against it
            assert not (await released(recipient, large))["repeated_request"]
            assert (await released(recipient, large))["repeated_request"]
            assert recipient.rows("SELECT message_id FROM inbox") == [(large.message_id,)]
            assert len(await recipient.part(large.message_id, 1)) == 2 << 20
            effects = recipient.rows("SELECT data FROM effect")
            assert any(b"scan.released" in data for (data,) in effects)


async def test_stream_limit_of_the_scanner_means_not_scanned(tmp_path: Path, place: Path) -> None:
    async with (
        clamd(place, stream_max="1M") as scanner,
        pair(tmp_path, scanner.address) as (sender, recipient),
    ):
        large = await sender.send(os.urandom(6 << 20), to=["G01"])
        small = await sender.send(b"%PDF", to=["G01"])
        await came_to(recipient, large, "held", within_s=60)
        await came_to(recipient, small, "clean")
        assert [item["cause"] for item in await listed(recipient)] == ["too_large"]


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"encrypted": "no"}, "AlertEncrypted"),
        ({"exceeds": "no"}, "AlertExceedsMax"),
        ({}, "EICAR"),
    ],
)
async def test_scanner_that_lets_too_much_pass_is_not_trusted(
    tmp_path: Path, place: Path, settings: dict[str, str], missing: str
) -> None:
    async with clamd(place, **settings) as scanner:
        if not settings:
            await scanner.kill()
            scanner.know(eicar_too=False)
            await scanner.start()
        async with pair(tmp_path, scanner.address) as (sender, recipient):
            sent = await sender.send(b"%PDF", to=["G01"])
            await sender.delivered(sent)
            await until(lambda: missing in recipient.alarms().get("SCANNER_AWAY", ""))
            assert recipient.inbox() == 0


async def test_scanner_that_is_away_delays_showing_and_loses_nothing(
    tmp_path: Path, place: Path
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    scanning(recipient, str(place / "clamd.sock"))
    async with running(sender, recipient):
        early = [await sender.send(b"%%PDF %d" % number, to=["G01"]) for number in range(5)]
        bad = await sender.send(eicar(), to=["G01"])
        await sender.delivered(*early, bad)
        await until(lambda: "SCANNER_AWAY" in recipient.alarms())
        assert recipient.inbox() == 0
        await recipient.stop()
        await recipient.start()
        late = await sender.send(b"%PDF late", to=["G01"])
        await sender.delivered(late)
        assert recipient.inbox() == 0
        async with clamd(place) as scanner:
            await until(lambda: recipient.inbox() == 6, within_s=60)
            await came_to(recipient, bad, "infected")
            assert "SCANNER_AWAY" not in recipient.alarms()
            await scanner.kill()
            later = await sender.send(b"%PDF later", to=["G01"])
            await sender.delivered(later)
            await until(lambda: "SCANNER_AWAY" in recipient.alarms())
            assert recipient.inbox() == 6
            await scanner.start()
            await until(lambda: recipient.inbox() == 7, within_s=60)


async def test_scanner_killed_in_mid_scan_is_asked_again(tmp_path: Path, place: Path) -> None:
    async with clamd(place) as scanner, pair(tmp_path, scanner.address) as (sender, recipient):
        sent = [await sender.send(os.urandom(8 << 20), to=["G01"]) for _ in range(4)]
        for _ in range(3):
            await until(lambda: "waiting" in states(recipient).values())
            await scanner.kill()
            await scanner.start()
        await sender.delivered(*sent)
        await until(lambda: recipient.inbox() == 4, within_s=60)
        assert set(states(recipient).values()) == {"clean"}


async def garbage(content: bytes, writer: asyncio.StreamWriter) -> None:
    answers = {b"odd": b"stream: OK but not quite\0", b"cut off": b"stream: OK"}
    if content in answers:
        writer.write(answers[content])
    else:
        await say_found_or_ok(content, writer)


async def test_answers_that_cannot_be_relied_on_are_no_verdicts(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_clamd(place, garbage) as fake, pair(tmp_path, fake.address) as nodes:
        sender, recipient = nodes
        sent = [await sender.send(content, to=["G01"]) for content in (b"odd", b"cut off")]
        for each in sent:
            await came_to(recipient, each, "held", within_s=60)
        assert recipient.inbox() == 0
        assert {item["cause"] for item in await listed(recipient)} == {"broke"}


async def test_document_that_hangs_the_scanner_holds_up_no_other(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = asyncio.Event()

    async def answer(content: bytes, writer: asyncio.StreamWriter) -> None:
        if b"hang" in content:
            await hung.wait()
        await say_found_or_ok(content, writer)

    async with fake_clamd(place, answer) as fake:
        _, sender, recipient = make_pair(tmp_path)
        scanning(recipient, fake.address, scanner_at_once=2)
        async with running(sender, recipient):
            hanging = [await sender.send(b"hang %d" % n, to=["G01"]) for n in range(6)]
            await sender.delivered(*hanging)
            await until(lambda: fake.busy > 0)
            # Another sender: a document of this node to itself goes the same way.
            other = await recipient.send(b"%PDF", to=["G01.22"])
            await until(lambda: states(recipient).get(other.message_id) == "clean")
            assert fake.most_at_once <= 3
            hung.set()
            await until(lambda: recipient.inbox() == 7, within_s=60)


async def test_node_killed_between_verdict_and_visibility_shows_it_once(
    tmp_path: Path, place: Path
) -> None:
    async with fake_clamd(place) as fake, pair(tmp_path, fake.address) as (sender, recipient):
        sent = await sender.send(b"%PDF", to=["G01"])
        await came_to(recipient, sent, "clean")
        await recipient.stop()
        # As a crash leaves it before the one transaction of verdict and visibility.
        recipient.write(
            "DELETE FROM inbox",
            "DELETE FROM event WHERE kind = 'document.received'",
            "UPDATE scan SET state = 'waiting', shown = 0, blocked = 1, finding = '', scanner = ''",
        )
        await recipient.start()
        await until(lambda: recipient.inbox() == 1)
        assert recipient.count("SELECT count(*) FROM event WHERE kind = 'document.received'") == 1


async def test_false_alarm_is_taken_back_by_a_scan_with_newer_signatures(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner, pair(tmp_path, scanner.address) as (sender, recipient):
        sent = await sender.send(MARKER, to=["G01"])
        await came_to(recipient, sent, "infected")
        await until(lambda: told_rejected(sender, sent))
        await scanner.kill()
        scanner.know(marker=False)
        await scanner.start()
        assert await scanned_again(recipient, sent) == 1
        await came_to(recipient, sent, "clean")
        assert recipient.inbox() == 1
        await until(lambda: told_back(sender, sent))
        assert "QUARANTINED" not in recipient.alarms()


async def told_back(sender: TestNode, sent: Sent) -> bool:
    return await told(sender, sent) == [("rejected", "MALWARE"), ("received", "")]


async def test_malware_that_becomes_known_later_is_found_in_what_was_shown(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner:
        _, sender, recipient = make_pair(tmp_path)
        async with running(sender, recipient):
            before = await sender.send(MARKER + b" before", to=["G01"])  # there was no scanner
            await sender.delivered(before)
            await until(lambda: recipient.inbox() == 1)
            await recipient.stop()
            scanning(recipient, scanner.address)
            await scanner.kill()
            scanner.know(marker=False)
            await scanner.start()
            await recipient.start()
            after = await sender.send(MARKER + b" after", to=["G01"])
            await until(lambda: recipient.inbox() == 2)
            await scanner.kill()
            scanner.know()
            await scanner.start()
            assert await scanned_again(recipient) == 2
            for sent in (before, after):
                await came_to(recipient, sent, "infected")
                with pytest.raises(grpc.RpcError) as failed:
                    await recipient.part(sent.message_id, 1)
                assert raise_for(failed.value).reason == "DOCUMENT_QUARANTINED"
            assert recipient.inbox() == 2  # it is known that they came
            await released(recipient, before)
            assert await recipient.part(before.message_id, 1) == MARKER + b" before"


async def test_revocation_destroys_what_waits_for_its_scan(tmp_path: Path, place: Path) -> None:
    async with pair(tmp_path, str(place / "nobody.sock")) as (sender, recipient):
        sent = await sender.send(os.urandom(300_000), to=["G01"])
        await sender.delivered(sent)
        await until(lambda: states(recipient).get(sent.message_id) == "waiting")
        await revoked(sender, sent)
        await until(lambda: states(recipient) == {})
        assert recipient.count("SELECT count(*) FROM destroyed") == 1
        assert recipient.inbox() == 0
        blobs = DataFolder(recipient.data).blobs
        await until(lambda: not [each for each in blobs.glob("??/*") if each.is_file()])


async def revoked(node: TestNode, sent: Sent) -> None:
    request = offices.RevokeRequest(
        id=str(UUID(bytes=sent.document_id)), actor="Lan", reason="Ban hành nhầm phụ lục"
    )
    async with node.office() as stub:
        await stub.Revoke(request)


async def test_turning_the_scanner_off_shows_what_waits_and_nothing_infected(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner:
        _, sender, recipient = make_pair(tmp_path)
        scanning(recipient, scanner.address)
        async with running(sender, recipient):
            bad = await sender.send(eicar(), to=["G01"])
            await came_to(recipient, bad, "infected")
            await scanner.kill()
            waits = await sender.send(b"%PDF", to=["G01"])
            await sender.delivered(waits)
            assert recipient.inbox() == 0
            await recipient.stop()
            scanning(recipient, "")
            await recipient.start()
            await until(lambda: recipient.inbox() == 1)
            assert states(recipient) == {bad.message_id: "infected", waits.message_id: "released"}
            with pytest.raises(ScannerOffError):
                await scanned_again(recipient, bad)


async def test_documents_that_come_again_after_a_crash_are_scanned_once_each(
    tmp_path: Path, place: Path
) -> None:
    async with fake_clamd(place) as fake, pair(tmp_path, fake.address) as (sender, recipient):
        for round_ in range(3):
            sent = [await sender.send(b"%d %d" % (round_, n), to=["G01"]) for n in range(20)]
            await recipient.stop()
            await recipient.start()
            await sender.delivered(*sent, within_s=60)
        await until(lambda: recipient.inbox() == 60, within_s=60)
        assert recipient.count("SELECT count(DISTINCT message_id) FROM inbox") == 60
