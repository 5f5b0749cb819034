"""Documents that wait for a check of their signatures: kept with the document, urgent first."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa

from edoccore.signing.statements import Urgency
from edockit.database import Database
from edocnode.domain.model import Submission
from edocnode.domain.office_model import PageRequest
from edocnode.domain.signature_checks import CheckJob, Side
from edocnode.domain.signatures import (
    TO_CHECK,
    CheckState,
    DocumentVerdict,
    LegalStatus,
    PartState,
    Reason,
    judge_document,
    part_verdict,
)
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, arrival, submission

LATER = NOW + timedelta(minutes=5)


def verdict(at=NOW) -> DocumentVerdict:
    return judge_document([], at)


def without_pdf(**options: object) -> Submission:
    made = submission(**options)
    plain = [msgspec.structs.replace(each, name=f"{each.index}.docx") for each in made.parts]
    plain = [msgspec.structs.replace(each, media_type="application/zip") for each in plain]
    return replace(made, parts=tuple(plain))


async def received(store: NodeStore, office: Office, peer: Office, content: bytes = b"x") -> None:
    """Shows a document with a PDF part of a peer."""
    made = submission("G01", ["H29"], content=content)
    came = arrival(peer.envelope(made), made.inline)
    await store.keep([msgspec.structs.replace(came, listing={**came.listing, TO_CHECK: "1"})])


async def next_job(store: NodeStore) -> CheckJob:
    place = await store.next_check()
    assert place is not None
    return await store.check_job(place)


async def test_sent_document_waits_from_the_moment_it_is_kept(store: NodeStore) -> None:
    kept = await store.submit(submission(content=b"%PDF-1.7 ..."))
    job = await next_job(store)
    assert (job.side, job.document_id) == (Side.SENT, kept.document_id)
    [part] = job.parts
    assert (part.index, part.kind, part.data) == (1, "pdf", b"%PDF-1.7 ...")
    assert part.known_at == NOW


async def test_document_without_pdf_or_xml_leaves_no_row(
    store: NodeStore, database: Database
) -> None:
    await store.submit(without_pdf())
    await store.submit_many([without_pdf() for _ in range(3)])
    count = sa.text("SELECT count(*) FROM signature_check")
    assert database.read(lambda connection: connection.scalar(count)) == 0


async def test_received_document_waits_from_the_moment_it_is_shown(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    await received(store, office, peer, b"%PDF-1.7 ...")
    assert await store.next_check() is None  # nobody sees it yet
    await office.seal_all()
    job = await next_job(store)
    assert job.side is Side.RECEIVED
    assert job.parts[0].data == b"%PDF-1.7 ..."


async def test_the_most_urgent_comes_first(store: NodeStore) -> None:
    for urgency in (Urgency.NORMAL, Urgency.HOA_TOC, Urgency.KHAN):
        await store.submit(submission(urgency=urgency, content=urgency.value.encode()))
    order = []
    while await store.next_check():
        job = await next_job(store)
        order.append(job.parts[0].data.decode())
        await store.settle_check(job, verdict())
    assert order == [Urgency.HOA_TOC, Urgency.KHAN, Urgency.NORMAL]


async def test_document_to_many_is_checked_once_it_counts(store: NodeStore) -> None:
    many = [f"H{number}" for number in range(600)]
    await store.submit(submission(to=many))
    assert await store.waiting_checks() == 1


async def test_large_part_comes_without_its_bytes(store: NodeStore) -> None:
    made = submission(large=1 << 20)
    parts = [
        msgspec.structs.replace(each, name="lớn.pdf") if each.index == 2 else each
        for each in made.parts
    ]
    await store.submit(replace(made, parts=tuple(parts)))
    small, large = (await next_job(store)).parts
    assert small.data
    assert (large.size, large.data) == (1 << 20, b"")


async def test_verdict_is_kept_told_once_and_seen_by_the_office(
    store: NodeStore, database: Database
) -> None:
    kept = await store.submit(submission())
    office = SqlOffice(database)
    [entry] = (await office.outbox(PageRequest())).entries
    assert entry.document.signatures is not None
    assert entry.document.signatures.state is CheckState.PENDING
    assert entry.document.signatures.reasons == (Reason.PENDING,)
    job = await next_job(store)
    for _ in range(2):
        await store.settle_check(job, verdict())
    [entry] = (await office.outbox(PageRequest())).entries
    assert entry.document.signatures is not None
    assert entry.document.signatures.legal_status is LegalStatus.REFERENCE_ONLY
    told = [event for event in await office.events(0, 10) if event.kind == "signatures.checked"]
    assert [event.document_id for event in told] == [kept.document_id]
    assert await store.next_check() is None


async def test_damaged_verdict_is_told_in_its_place(store: NodeStore, database: Database) -> None:
    await store.submit(submission())
    await store.settle_check(await next_job(store), verdict())
    change = sa.text("UPDATE signature_check SET verdict = :bytes")
    database.write(lambda connection: connection.execute(change, {"bytes": b"{"})).result(60)
    [entry] = (await SqlOffice(database).outbox(PageRequest())).entries
    assert entry.document.signatures is not None
    assert entry.document.signatures.reasons == (Reason.VERDICT_DAMAGED,)
    assert entry.document.signatures.legal_status is LegalStatus.NOT_CHECKED


async def test_what_was_skipped_is_taken_up_again(store: NodeStore, database: Database) -> None:
    await store.submit_many([submission() for _ in range(3)])
    skipped = msgspec.structs.replace(verdict(), reasons=(Reason.NO_TRUST_STORE,))
    assert await store.skip_checks(skipped) == 3
    assert await store.next_check() is None
    [entry, *_] = (await SqlOffice(database).outbox(PageRequest())).entries
    assert entry.document.signatures is not None
    assert entry.document.signatures.reasons == (Reason.NO_TRUST_STORE,)
    assert await store.resume_checks() == 3
    assert await store.resume_checks() == 0
    assert await store.waiting_checks() == 3


async def test_one_document_or_all_are_checked_again(store: NodeStore) -> None:
    kept = [await store.submit(submission()) for _ in range(3)]
    while job := await store.next_check():
        await store.settle_check(job, verdict())
    assert await store.recheck(kept[1].document_id) == 1
    assert (await next_job(store)).document_id == kept[1].document_id
    await store.settle_check(await next_job(store), verdict(LATER))
    again, place = await store.recheck_after(("", 0), LATER)
    assert (again, place) == (2, None)  # the third was checked after that moment


@pytest.mark.parametrize("gone", ["document", "incoming"])
async def test_document_that_is_gone_has_no_parts_to_check(
    gone: str, store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    if gone == "document":
        await store.submit(submission())
    else:
        await received(store, office, peer)
        await office.seal_all()
    delete = sa.text(f"DELETE FROM {gone}")
    database.write(lambda connection: connection.execute(delete)).result(60)
    assert (await next_job(store)).parts == ()


async def test_check_that_missed_a_part_waits_again_when_the_part_is_sound_after_all(
    store: NodeStore, office: Office, peer: Office
) -> None:
    """It came back while the check ran: nobody else would look at the document again."""
    await office.open()
    await received(store, office, peer)
    await office.seal_all()
    job = await next_job(store)
    missed = [part_verdict(part, PartState.CHECK_FAILED, Reason.PART_MISSING) for part in job.parts]
    await store.settle_check(job, judge_document(missed, NOW))
    assert await store.next_check() is None
    for found in await store.small_parts_of(job.document_id):
        await store.found_sound(found)
    assert (await next_job(store)).document_id == job.document_id
    await store.settle_check(job, verdict())
    for found in await store.small_parts_of(job.document_id):
        await store.found_sound(found)
    assert await store.next_check() is None  # that one missed nothing
