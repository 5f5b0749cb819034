"""Hot statements reach their rows by an index, however many rows a table holds."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs

from edoccore.signing.encryption import ENCRYPTED_MEDIA_TYPE
from edockit import migrations
from edockit.database import Database
from edocnode import storage
from edocnode.domain.dead_letters import RetryPlan
from edocnode.domain.forwarding import ForwardPlan, Stranding
from edocnode.domain.model import (
    Arrival,
    DocumentId,
    EpochHead,
    Lane,
    MessageId,
)
from edocnode.domain.numbers import NumberAnswer, NumberState
from edocnode.domain.repair import Incomplete, IncompleteDocument, PartName, SmallParts
from edocnode.domain.scanning import (
    Cause,
    Discard,
    Finding,
    ScanOutcome,
    ScanState,
    unjudged,
)
from edocnode.storage.copies import heard_of_copy
from edocnode.storage.migrations import HEAD, SCRIPTS
from edocnode.storage.office import SqlOffice
from edocnode.storage.revocations import SqlReceivedRevocations
from edocnode.storage.revoking import SqlSentRevocations
from edocnode.storage.store import NodeStore, open_store
from edocnode.storage.submitting import FANOUT_PIECE, _begin
from edocnode.storage.tables import NodeTable
from edocnode.storage.updates import SqlReceivedUpdates
from tests.integration.storage.offices import NOW, Office, arrival, given_up, submission

SALTS = (bytes(16), bytes(16))
SMALL = {"lease", "nodes", "listed", "queued", "waiting", "q", "w", "peer", "alarm"}
SMALL |= {"damaged_part", "stage_part", "newest"}
OF_WHAT_WAITS = {
    "ix_delivery_scheduled",
    "ix_delivery_unsealed",
    "ix_delivery_queued",
    "ix_delivery_waiting",
    "ix_delivery_sending",
    "ix_delivery_expiry",
    "ix_delivery_never_asked",
    "ix_delivery_held",
    "ix_document_incomplete",
    "ix_effect_unsealed",
    "ix_revocation_pending",
    "ix_version_pending",
    "ix_destroyed_files",
    "ix_scan_again",
    "ix_scan_kept_apart",
    "ix_scan_waiting",
    "ix_signature_check_aside",
}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    opened = open_store(f"sqlite:///{tmp_path}/node.db")
    yield opened
    opened.close()


async def test_no_statement_of_a_port_scans_a_table(sqlite: Database, peer: Office) -> None:
    seen: dict[str, Any] = {}

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "\nWITH", "WITH")):
            seen[statement] = parameters[0] if many else parameters

    for engine in (sqlite.engine, sqlite._reading):
        sa.event.listen(engine, "before_cursor_execute", note)
    await use_every_port(NodeStore(sqlite), peer)
    assert len(seen) > 40
    steps = every_step(sqlite, seen)
    assert any("COVERING INDEX ix_delivery_queued (to_node=? AND lane>?)" in step for step in steps)
    assert any("ix_incoming_urgent" in step for step in steps)
    scans = {
        statement: step
        for statement, parameters in seen.items()
        for step in plan(sqlite, statement, parameters)
        if step.startswith("SCAN ") and not is_bounded(step)
    }
    assert scans == {}
    joins = [text for text, values in seen.items() if walks_for_a_join(plan(sqlite, text, values))]
    assert joins == []


def walks_for_a_join(steps: list[str]) -> bool:
    """Whether all rows from a key on are looked up in another table: no LIMIT bounds the walk."""
    searches = [step for step in steps if step.startswith("SEARCH ")]
    asks = any(step.startswith("CORRELATED") for step in steps)  # above a mark: see ``awaiting``
    return len(searches) > 1 and "rowid>?" in searches[0] and not asks


def every_step(database: Database, seen: dict[str, Any]) -> list[str]:
    return [step for text, values in seen.items() for step in plan(database, text, values)]


def is_bounded(step: str) -> bool:
    """A walk over what waits only, or over a small table."""
    return (
        any(f" {index}" in step for index in OF_WHAT_WAITS)
        or step.split()[1] in SMALL
        or "CONSTANT ROW" in step
        or "(subquery-" in step  # has steps of its own
    )


def plan(database: Database, statement: str, parameters: Any) -> list[str]:
    def explain(connection: sa.Connection) -> list[str]:
        found = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
        return [row[3] for row in found]

    return database.write(explain).result(60)


async def use_every_port(store: NodeStore, peer: Office) -> None:
    office = Office("H29", store)
    await office.open()
    made = submission(to=["G01", "H30"], large=100_000)
    await store.submit(made)
    await store.submit(made)
    await store.submit_many([made, replace(submission(), send_at=NOW)])
    await store.submit(submission(to=["G01"] * (FANOUT_PIECE + 1)))
    await store.handed_in(made.request_id)
    await store.next_due()
    while await store.release(NOW):
        pass
    cut_off = submission(large=200_000)
    await store._database.awrite(lambda connection: _begin(connection, cut_off))
    assert await store.forget_cut_off(NOW + timedelta(seconds=1)) == 1
    back = submission("G01", ["H29"], large=100_000)
    item = arrival(peer.envelope(back), back.inline)
    await store.keep([item])
    await store.keep([item])
    await store.known([("G01", item.message_id)])
    await office.seal_all()
    queued = await store.due("G01", NOW, 10)
    await store.parts_leave([queued[0].message_id])
    await store.queues()
    await store.give_back([queued[0].message_id])
    await store.give_back_all()
    await store.record(peer.delivered(queued), NOW)
    await given_up(store, NOW.replace(year=2027))
    await store.never_asked("G01", 10)
    await store.asked_now([queued[0].message_id], "")
    await use_repair(store, item.message_id)
    epoch = peer.start(NOW.replace(hour=5))
    head = EpochHead(epoch=bytes(16), size=0, root=b"")
    for kept in (None, head):
        await store.requeue_lost("G01", kept=kept, epoch=epoch)
        await store.lost_envelopes("G01", kept=kept, epoch=epoch)
    lost = submission()
    await store.adopt(Office("H29").envelope(lost), None, b"", NOW)
    await store.staged("G01", item.message_id)
    await store.staged_bytes("G01")
    await store.expired_stages(NOW)
    await store.last_head("H29")
    await store.last_seqs("H29")
    await store.own_statement("epoch")
    await store.journal_of("G01")
    await store.receipts([1])
    await store.checks_set_aside(10)
    await use_what_senders_ask(store._database, item)
    await use_scans(NodeStore(store._database, scans=True), office, peer)
    await use_forwarding(store, office)


async def use_scans(store: NodeStore, office: Office, peer: Office) -> None:
    made = [submission("G01", ["H29"], large=100_000) for _ in range(3)]
    await store.keep([arrival(peer.envelope(each), each.inline) for each in made])
    commit, group = office.word(await store.unsealed(10))
    await store.commit_seal(commit)
    office.state.committed(group)
    first, second, third = await store.next_scans(9, after={Lane.NORMAL.value: "G01"})
    await store.scan_broke(third.incoming_id, breaks=1, again_at=NOW)
    assert await store.broken_scans(NOW) is not None
    assert await store.waiting_scans() == 3
    for item in (first, second):
        job = await store.scan_job(item.incoming_id)
        assert job is not None
        finding = Finding(cause=Cause.ENCRYPTED, part=1, name="a", detail="")
        outcome = ScanOutcome(subject=job.subject, state=ScanState.HELD, at=NOW, finding=finding)
        assert await store.settle_scan(outcome, SALTS)
    await store.hold_unjudged(third.incoming_id, unjudged("error"), NOW)
    assert len(await store.scans(0, 10)) == 3
    message_id = job.subject.message_id
    await store.received_named(message_id.hex())
    await store.received_named(job.subject.document_id.hex())
    await store.scan_entry(message_id)
    await store.scan_subject(message_id)
    gone = Discard(subject=job.subject, at=NOW, plan=None, effect=b"e")
    assert await store.discard(gone, SALTS)
    assert await store.is_destroyed(message_id)
    await store.scan_again([message_id])
    await store.scan_all_again(0, NOW)
    await store.show_unscanned(10)


async def use_forwarding(store: NodeStore, office: Office) -> None:
    made = submission(to=["G01"])
    parts = (made.parts[0], structs.replace(made.parts[1], media_type=ENCRYPTED_MEDIA_TYPE))
    await store.submit(replace(made, parts=parts))
    await office.seal_all()
    for which in Stranding:
        places = await store.stranded("G01", which, 0, 10)
    found = await store.stranded_at([item.place for item in places])
    plan = ForwardPlan(
        message_id=found[-1].message_id, recipient="G01", to_node="G09", message="", effect=b"e"
    )
    await store.pass_over([plan.message_id], NOW)
    assert await store.forward([plan], [bytes(16)], NOW) == 1
    sent = SqlSentRevocations(store._database)
    (left,) = await sent.revocable(found[-1].document_id, (), found[-1].place - 1, 1)
    assert [copy.node for copy in left.copies] == ["G01"]
    told = {"step_order": 1, "step": "accepted", "state": "accepted", "reason": "", "at": NOW}
    told["answers"] = None
    about = left.copies[0].envelope
    write = store._database.awrite
    assert await write(lambda connection: heard_of_copy(connection, told, about, "G01"))
    await SqlOffice(store._database).find(found[-1].document_id.hex())
    await store.submit(submission(to=["G01"]))
    unsealed = await store.unsealed_documents(10)
    places = [item.place for item in unsealed]
    assert await store.hold_unsealed(places, reason="AGENCY_ENDED", message="", at=NOW)


async def use_what_senders_ask(database: Database, item: Arrival) -> None:
    received, updates = SqlReceivedRevocations(database), SqlReceivedUpdates(database)
    for asks in (False, True):
        await received.open_revocations(10, asks=asks)
        await updates.open_updates(10, asks=asks)
    await received.revocation_at(1)
    await updates.update_at(1)
    await received.to_be_removed(0, 10)
    await received.destroyed_files(1)
    (entry,) = (await SqlOffice(database).find(item.document_id.hex())).received
    await received.revocation_of(entry)
    await updates.update_of(entry)
    sent = SqlSentRevocations(database)
    await sent.revoked(item.document_id)
    await sent.revocable(item.document_id, (), 0, 10)


def small_parts(received: bool) -> SmallParts:
    return SmallParts(
        received=received, row=1, document_id=DocumentId(bytes(16)), parts=(), inline=b""
    )


def incomplete(received: bool) -> IncompleteDocument:
    document_id = DocumentId(bytes(16))
    return IncompleteDocument(
        received=received, row=1, document_id=document_id, parts=(), inline=b"", sources=()
    )


async def use_repair(store: NodeStore, message_id: MessageId) -> None:
    name = PartName(message_id=message_id, envelope_digest=bytes(32), index=0)
    digest = "ab" * 32
    await store.stored_part("G01", name)
    await store.blob_size(digest)
    await store.blobs_after("", 10)
    await store.note_damage(digest, 1, "", NOW)
    await store.damaged_parts(NOW, 10)
    await store.part_sources(digest)
    await store.not_repaired(digest, "", NOW)
    await store.repaired(digest)
    for received in (False, True):
        await store.incomplete_documents(0, 10, received=received)
        await store.incomplete_document(Incomplete(1, DocumentId(bytes(16)), received))
        await store.small_parts(0, 10, received=received)
        await store.note_small_damage(small_parts(received), "damaged", NOW)
        await store.complete_document(incomplete(received), b"")
    await store.mend_envelope(incomplete(received=True), b"")
    await store.small_parts_of(DocumentId(bytes(16)))
    await store.unused([digest])
    await store.note_scrubbed("blobs", digest)
    await store.scrubbed_up_to("blobs")
    (mark,) = await store.settled("G01")
    await store.missing("G01", mark)
    await store.answer_numbers("G01", mark.epoch, [(1, 3)], NOW)
    answer = NumberAnswer(seq=1, state=NumberState.VOID, message_id=b"")
    await store.explain("G01", mark.epoch, [answer], NOW)
    await store.messages_held("G01", [message_id])
    office = SqlOffice(store._database)
    await office.deliveries_of([message_id])
    await office.held_for("G01", 0, 10)
    plan = RetryPlan(message_id=message_id, effect=b"")
    await office.queue_again([plan], [bytes(16)], NOW)
    await office.undelivered()
    await office.oldest_undelivered()
    await office.unsealed()


async def test_the_steps_lead_to_the_tables_as_defined(database: Database) -> None:
    for module in iter_modules(storage.__path__):
        if module.name.endswith("_tables"):
            import_module(f"{storage.__name__}.{module.name}")
    assert migrations.current(database) == migrations.head(SCRIPTS) == HEAD
    assert migrations.differences(database, NodeTable.metadata) == []
