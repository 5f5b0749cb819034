"""Documents on their way in: kept once, visible once sealed, rivals remembered."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs

from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Result
from edockit.database import Database
from edocnode.domain.folding import folded
from edocnode.domain.model import Arrival, KeepKind, StagedPart
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import (
    LATER,
    NOW,
    Office,
    arrival,
    receipt_of,
    status_submission,
    submission,
)


def rows(database: Database, query: str) -> Sequence[Any]:
    return database.read(lambda connection: connection.execute(sa.text(query)).all())


def incoming(peer: Office, count: int = 1, **more: Any) -> list[Arrival]:
    """Documents of G01 for H29."""
    found = []
    for _ in range(count):
        made = submission("G01", ["H29"], **more)
        found.append(arrival(peer.envelope(made), made.inline))
    return found


def variant(peer: Office, first: Arrival) -> Arrival:
    """Another document under the same message id."""
    made = submission("G01", ["H29"], content=b"another content")
    made = replace(
        made, deliveries=(structs.replace(made.deliveries[0], message_id=first.message_id),)
    )
    return arrival(peer.envelope(made), made.inline)


async def test_an_arrival_is_kept_and_visible_once_its_receipt_is_sealed(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    [first] = incoming(peer)
    [kept] = await store.keep([first])
    assert (kept.kind, kept.known.receipt) == (KeepKind.NEW, None)
    assert rows(database, "SELECT 1 FROM inbox") == []
    assert await store.receipts([kept.known.incoming_id]) == {}
    commit = await office.seal_all()
    [receipt] = (await store.receipts([kept.known.incoming_id])).values()
    assert receipt.seal == commit.seal
    assert receipt_of(receipt).envelope == first.envelope_digest.hex()
    [row] = rows(database, "SELECT * FROM inbox")
    assert (row.sender, row.recipient, row.state) == ("G01", "H29", "received")
    assert (row.subject, row.number) == ("Về việc kết nối trục liên thông văn bản", "28")
    assert folded("LIÊN THÔNG") in row.search
    [event] = rows(database, "SELECT kind, document_id, agency FROM event")
    assert tuple(event) == ("document.received", first.document_id, "G01")
    assert (await store.unsealed(10)).receipts == ()


async def test_the_same_bytes_again_find_the_stored_answer(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    [first] = incoming(peer)
    await store.keep([first])
    [waiting] = await store.keep([first])
    assert (waiting.kind, waiting.known.receipt) == (KeepKind.SAME, None)
    await office.seal_all()
    [again] = await store.keep([first])
    assert again.kind is KeepKind.SAME
    assert again.known.receipt is not None
    assert again.known.envelope == first.envelope
    known = await store.known([("G01", first.message_id), ("H30", first.message_id)])
    assert list(known.values()) == [again.known]
    assert len(rows(database, "SELECT 1 FROM incoming")) == 1
    assert (await store.unsealed(10)).receipts == ()


async def test_the_same_document_sealed_anew_is_a_duplicate(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = submission("G01", ["H29"])
    before = arrival(peer.envelope(made), made.inline)
    peer.start(NOW + timedelta(hours=1))
    after = arrival(peer.envelope(made), made.inline)
    assert before.envelope_digest != after.envelope_digest
    await store.keep([before])
    await office.seal_all()
    [again] = await store.keep([after])
    assert again.kind is KeepKind.EQUAL
    assert again.known.envelope == before.envelope
    assert again.known.receipt is not None


async def test_a_rival_is_rejected_under_seal_and_never_visible(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    [first] = incoming(peer)
    rival = variant(peer, first)
    [kept] = await store.keep([first])
    [beaten] = await store.keep([rival])
    [repeated] = await store.keep([rival])
    assert (kept.kind, beaten.kind, repeated.kind) == (
        KeepKind.NEW,
        KeepKind.CONFLICT,
        KeepKind.CONFLICT,
    )
    assert beaten.known.incoming_id == repeated.known.incoming_id != kept.known.incoming_id
    await office.seal_all()
    ids = [kept.known.incoming_id, beaten.known.incoming_id]
    answers = await store.receipts(ids)
    received, rejected = (receipt_of(answers[each]) for each in ids)
    assert (received.result, rejected.result) == (Result.RECEIVED, Result.REJECTED)
    assert rejected.reason == "MESSAGE_CONFLICT"
    assert rejected.envelope == rival.envelope_digest.hex()
    assert [row.incoming_id for row in rows(database, "SELECT incoming_id FROM inbox")] == ids[:1]
    [row] = rows(database, "SELECT envelope, inline FROM incoming WHERE rank = 1")
    assert (bytes(row.envelope), bytes(row.inline)) == (rival.envelope.statement, b"")
    known = await store.known([("G01", first.message_id)])
    assert [each.incoming_id for each in known.values()] == ids[:1]


async def test_of_two_rivals_in_one_batch_exactly_one_is_accepted(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    [first] = incoming(peer)
    rival = variant(peer, first)
    outcomes = await store.keep([rival, first, rival, first])
    assert [item.kind for item in outcomes] == [
        KeepKind.NEW,
        KeepKind.CONFLICT,
        KeepKind.SAME,
        KeepKind.CONFLICT,
    ]
    assert len({item.known.incoming_id for item in outcomes}) == 2
    await office.seal_all()
    assert len(rows(database, "SELECT 1 FROM inbox")) == 1


async def test_racing_copies_of_a_message_are_kept_once(
    store: NodeStore, peer: Office, database: Database
) -> None:
    batch = incoming(peer, 5)
    results = await asyncio.gather(*(store.keep(batch) for _ in range(20)))
    kinds = [item.kind for outcomes in results for item in outcomes]
    assert kinds.count(KeepKind.NEW) == 5
    assert kinds.count(KeepKind.SAME) == 95
    assert len(rows(database, "SELECT 1 FROM incoming")) == 5


async def test_repeats_among_new_ones_cost_no_second_write(
    store: NodeStore, peer: Office, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = incoming(peer), incoming(peer)
    await store.keep(old)
    writes = []
    write = database.awrite
    monkeypatch.setattr(database, "awrite", lambda fn: (writes.append(fn), write(fn))[1])
    kept = await store.keep([*old, *new])
    assert [item.kind for item in kept] == [KeepKind.SAME, KeepKind.NEW]
    assert len(writes) == 1
    assert len(rows(database, "SELECT 1 FROM incoming")) == 2


async def test_a_code_of_another_sender_may_use_the_same_id(store: NodeStore, peer: Office) -> None:
    [first] = incoming(peer)
    stranger = Office("H30")
    made = submission("H30", ["H29"])
    made = replace(
        made, deliveries=(structs.replace(made.deliveries[0], message_id=first.message_id),)
    )
    other = arrival(stranger.envelope(made), made.inline)
    outcomes = [*await store.keep([first]), *await store.keep([other])]
    assert [item.kind for item in outcomes] == [KeepKind.NEW, KeepKind.NEW]


async def test_a_rejected_arrival_is_remembered_and_never_visible(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    made = submission("G01", ["H29"], large=100_000)
    envelope = peer.envelope(made)
    bad = arrival(envelope, made.inline, result=Result.REJECTED, reason="PART_NAME_UNSAFE")
    [kept] = await store.keep([bad])
    await office.seal_all()
    [receipt] = (await store.receipts([kept.known.incoming_id])).values()
    assert receipt_of(receipt).reason == "PART_NAME_UNSAFE"
    assert rows(database, "SELECT 1 FROM inbox") == []
    assert rows(database, "SELECT 1 FROM event") == []
    assert rows(database, "SELECT 1 FROM blob_use") == []
    assert (await store.keep([bad]))[0].kind is KeepKind.SAME


async def test_a_status_tells_of_the_delivery_whose_envelope_it_names(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    made = submission(to=["G01", "H30"])
    await store.submit(made)
    await office.seal_all()
    [item] = await store.due("G01", NOW, 10)
    told = status_submission(item.envelope, DocumentState.ACCEPTED, sender="G01", to="H29")
    status = arrival(peer.envelope(told), told.inline)
    await store.keep([status])
    assert rows(database, "SELECT 1 FROM status_got") == []
    await office.seal_all()
    [row] = rows(database, "SELECT * FROM status_got")
    assert (row.message_id, row.document_id) == (item.message_id, made.document_id)
    assert (row.state, row.actor, row.agency) == ("accepted", "Nguyễn Văn A", "G01")
    assert rows(database, "SELECT 1 FROM inbox") == []
    [event] = rows(database, "SELECT kind, document_id FROM event")
    assert tuple(event) == ("status.received", made.document_id)


async def test_two_statuses_on_one_document_can_be_sent(store: NodeStore, peer: Office) -> None:
    [first] = incoming(peer)
    for state in (DocumentState.ACCEPTED, DocumentState.FINISHED):
        told = status_submission(first.envelope, state, sender="H29", to="G01")
        assert not (await store.submit(told)).repeated


async def test_documents_enter_the_inbox_in_the_order_they_were_kept(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    batch = incoming(peer, 20)
    await store.keep(batch[:10])
    await store.keep(batch[10:])
    await office.seal_all()
    listed = rows(database, "SELECT message_id FROM inbox ORDER BY position")
    assert [row.message_id for row in listed] == [item.message_id for item in batch]


# --- offers


def staged_parts(item: Arrival, *, sender: str = "G01") -> list[StagedPart]:
    return [
        StagedPart(
            sender=sender,
            message_id=item.message_id,
            index=part.index,
            size=part.size,
            sha256=bytes.fromhex(part.sha256),
            offset=0,
            complete=False,
        )
        for part in item.parts
    ]


async def offered(store: NodeStore, item: Arrival) -> list[StagedPart]:
    return list(await store.stage("G01", item.envelope, staged_parts(item), NOW, LATER))


async def test_an_offer_goes_on_where_it_was(store: NodeStore, peer: Office) -> None:
    [item] = incoming(peer, large=1_000_000)
    parts = await offered(store, item)
    assert [part.offset for part in parts] == [0, 0, 0]
    await store.progress(replace(parts[2], offset=400_000))
    await store.progress(replace(parts[0], offset=parts[0].size, complete=True))
    again = await offered(store, item)
    assert again == list(await store.staged("G01", item.message_id))
    assert [(part.complete, part.offset) for part in again] == [
        (True, parts[0].size),
        (False, 0),
        (False, 400_000),
    ]
    assert await store.staged("H30", item.message_id) == []
    assert await store.staged_bytes("G01") == sum(part.size for part in item.parts)
    assert await store.staged_bytes("H30") == 0


async def test_a_new_offer_under_the_same_id_forgets_parts_that_changed(
    store: NodeStore, peer: Office
) -> None:
    [item] = incoming(peer, large=1_000_000)
    parts = await offered(store, item)
    await store.progress(replace(parts[2], offset=400_000))
    changed = [*parts[:2], replace(parts[2], sha256=sha256(b"new").digest())]
    again = await store.stage("G01", item.envelope, changed, NOW, LATER)
    assert again[2].offset == 0


async def test_a_kept_document_ends_its_offer_and_counts_its_files(
    store: NodeStore, peer: Office, database: Database
) -> None:
    [item] = incoming(peer, large=1_000_000)
    await offered(store, item)
    [kept] = await store.keep([item])
    assert await store.staged("G01", item.message_id) == []
    assert await store.staged_bytes("G01") == 0
    [use] = rows(database, "SELECT * FROM blob_use")
    assert (use.kind, use.owner, use.agency) == ("incoming", kept.known.incoming_id, "G01")
    left = await store.expired_stages(NOW)  # whose files may be left after a crash
    assert [part.index for part in left] == [0, 1, 2]
    assert await store.expired_stages(LATER) == []


async def test_a_part_this_sender_delivered_before_is_not_sent_again(
    store: NodeStore, peer: Office
) -> None:
    [before] = incoming(peer, large=1_000_000)
    await store.keep([before])
    [item] = incoming(peer, large=1_000_000)
    parts = await offered(store, item)
    assert [part.complete for part in parts] == [False, False, True]
    stranger = await store.stage("H30", item.envelope, staged_parts(item, sender="H30"), NOW, LATER)
    assert not any(part.complete for part in stranger)  # possession cannot be probed


async def test_an_offer_nobody_goes_on_with_is_forgotten(store: NodeStore, peer: Office) -> None:
    [item] = incoming(peer, large=1_000_000)
    await offered(store, item)
    assert await store.expired_stages(LATER - timedelta(milliseconds=1)) == []
    assert len(await store.expired_stages(LATER)) == 3
    assert await store.staged("G01", item.message_id) == []


def test_a_search_finds_words_without_their_marks() -> None:
    assert folded("Quyết Định Đường Ưu tiên") == "quyet dinh duong uu tien"
    assert folded("Đường \u2013 Straße Ὀδός 道") == "duong \u2013 strasse οδοσ 道"
