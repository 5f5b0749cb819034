"""Offices: hand documents in until they are acknowledged, deal with those they received.

Some of what they sent they take back. What they were told is the history by which a run
is judged.
"""

import asyncio
import contextvars
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from edoccore.agency_errors import AgencyEndedError
from edoccore.errors import EdocError
from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Urgency
from edocnode.domain.decisions import is_repeated, plan_decision
from edocnode.domain.handing_on import envelope_drafts
from edocnode.domain.model import DocumentId, MessageId, SubmissionResult
from edocnode.domain.office import (
    DeclaredPart,
    SubmitHeader,
    admit,
    build_record,
    build_submission,
    is_inline,
    new_id,
)
from edocnode.domain.office_model import PageRequest
from edocnode.domain.revoking import RevokeOrder
from edocnode.domain.workflow import Decision
from edocnode.rpc.revoking import RevokeDesk
from edocnode.storage.revoking import SqlSentRevocations
from tests.simulation.loop import PROCESS
from tests.simulation.node import Life, SimulatedNode

LANES = [Urgency.NORMAL] * 5 + [Urgency.KHAN, Urgency.THUONG_KHAN, Urgency.HOA_TOC]
LARGE_SHARE = 0.08
LARGE_BYTES = (200_000, 1_500_000)
SMALL_BYTES = (10, 600)
RETRY_S = 2.0
_NEXT = {
    DocumentState.RECEIVED: (StatusStep.ACCEPTED,),
    DocumentState.ACCEPTED: (StatusStep.ASSIGNED, StatusStep.PROCESSING),
    DocumentState.ASSIGNED: (StatusStep.ASSIGNED, StatusStep.PROCESSING, StatusStep.FINISHED),
    DocumentState.PROCESSING: (StatusStep.ASSIGNED, StatusStep.FINISHED),
}


@dataclass
class Request:
    """One document that an office hands in.

    Attributes:
        acknowledged_at: Seconds; None while the office waits.
        life: Number of the node's life that acknowledged.
        lost: The acknowledging node's disk was put back to a time before it.
        taken_back: The office was told that it is.
        refused: The office was told that its agency, or a recipient, has ended.
    """

    sender: str
    recipients: tuple[str, ...]
    request_id: str
    urgency: Urgency
    contents: tuple[bytes, ...]
    acknowledged_at: float | None = None
    life: int = 0
    document_id: bytes = b""
    message_ids: tuple[bytes, ...] = ()
    answers: list[bytes] = field(default_factory=list)
    lost: bool = False
    taken_back: bool = False
    refused: bool = False

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Of its contents."""
        return tuple(sha256(content).digest() for content in self.contents)


def make_request(chance: random.Random, sender: str, others: list[str], number: int) -> Request:
    """A document as a seed wants it."""
    several = chance.random() < 0.15
    recipients = chance.sample(others, min(len(others), 2 if several else 1))
    size = LARGE_BYTES if chance.random() < LARGE_SHARE else SMALL_BYTES
    contents = [chance.randbytes(chance.randint(*size)) for _ in range(chance.randint(1, 2))]
    named = [f"{code}.1" if chance.random() < 0.1 else code for code in recipients]
    return Request(
        sender, tuple(named), f"{sender}-{number}", chance.choice(LANES), tuple(contents)
    )


async def hand_in(node: SimulatedNode, request: Request, chance: random.Random) -> None:
    """Asks until the node acknowledges; always the same request."""
    loop = asyncio.get_running_loop()
    while request.acknowledged_at is None and not request.refused:
        life = node.life
        if life is not None:
            result = await _in_life(life, _submit(life, request, chance))
            request.refused = isinstance(result, AgencyEndedError)
            if isinstance(result, SubmissionResult):
                request.acknowledged_at = loop.time()
                request.life = node.lives
                request.document_id = result.document_id
                request.message_ids = tuple(item[0] for item in result.deliveries)
                request.answers.append(result.document_id)
                return
        await asyncio.sleep(chance.random() * RETRY_S)


async def decide_some(node: SimulatedNode, chance: random.Random) -> None:
    """A clerk looks at the inbox and goes on with some of what is there."""
    if (life := node.life) is not None:
        await _in_life(life, _decide(life, chance))


async def take_back(node: SimulatedNode, request: Request, chance: random.Random) -> None:
    """Takes a document back until the node says that it is; always the same order."""
    while not request.taken_back and not request.refused:
        life = node.life
        if life is not None and request.acknowledged_at is not None:
            done = await _in_life(life, _revoke(life, request, chance))
            if isinstance(done, AgencyEndedError):
                return  # it was told that it cannot
            request.taken_back = done is not None
        await asyncio.sleep(chance.random() * RETRY_S)


async def _submit(
    life: Life, request: Request, chance: random.Random
) -> SubmissionResult | AgencyEndedError:
    agency, clock = life.place.agency, life.place.clock
    header = SubmitHeader(
        request_id=request.request_id,
        sender="",
        recipients=request.recipients,
        urgency=request.urgency,
        record_size=1,
        parts=tuple(
            DeclaredPart(name=f"{number}.pdf", media_type="", size=len(content))
            for number, content in enumerate(request.contents, 1)
        ),
        lifetime=None,
    )
    try:
        admitted = admit(header, life.directory, agency.code, now=clock())
    except AgencyEndedError as error:
        return error
    document_id = DocumentId(new_id(clock(), chance.randbytes(10)))
    fields = f'{{"subject":"Thử {request.request_id}"}}'.encode()
    record = build_record(admitted, fields, network=agency.network, document_id=document_id)
    for number, content in enumerate(request.contents, 1):
        if not is_inline(len(content)):
            await asyncio.to_thread(_store, life, f"submit-{document_id.hex()}-{number}", content)
    submission = build_submission(
        admitted,
        record,
        request.digests,
        fields_digest=sha256(fields).digest(),
        document_id=document_id,
        message_ids=[MessageId(new_id(clock(), chance.randbytes(10))) for _ in admitted.recipients],
        inline=b"".join([record.data, *(item for item in request.contents if len(item) <= 65536)]),
    )
    kept = await life.store.submit(submission)
    if kept.unsealed:
        life.sealer.handed_in(envelope_drafts(submission, kept.places))
    return kept


def _store(life: Life, key: str, content: bytes) -> None:
    staging = life.blobs.open_staging(key)
    staging.append(content)
    life.blobs.finish(staging, sha256(content).hexdigest(), size_bytes=len(content))


async def _decide(life: Life, chance: random.Random) -> None:
    page = await life.office.inbox(PageRequest(limit=20))
    for entry in page.entries:
        steps = _NEXT.get(entry.state, ())
        if not steps or chance.random() > 0.3:
            continue
        step = chance.choice(steps)
        assignee = f"Phòng {chance.randint(1, 3)}" if step is StatusStep.ASSIGNED else ""
        decision = Decision(step=step, actor="Văn thư", assignee=assignee)
        if is_repeated(entry, decision):
            continue
        clock = life.place.clock
        plan = plan_decision(
            entry,
            decision,
            life.directory,
            agency=life.place.agency.code,
            message_id=MessageId(new_id(clock(), chance.randbytes(10))),
            now=clock(),
        )
        await life.office.decide(plan, chance.randbytes(16))
        life.sealer.wake()


async def _revoke(life: Life, request: Request, chance: random.Random) -> int | AgencyEndedError:
    clock = life.place.clock
    found = await life.office.find(request.document_id.hex())
    assert found.sent is not None  # it was acknowledged
    desk = RevokeDesk(
        store=SqlSentRevocations(life.database),
        directory=life.directory,
        agency=life.place.agency.code,
        fresh_id=lambda: new_id(clock(), chance.randbytes(10)),
        kept=life.sealer.wake,
        random=chance.randbytes,
    )
    order = RevokeOrder(actor="Văn thư", reason=f"Thu hồi {request.request_id}", at=clock())
    try:
        return (await desk.revoke(found.sent, (), order)).deliveries
    except AgencyEndedError as error:
        return error


async def _in_life(life: Life, work: Coroutine[Any, Any, Any]) -> Any:
    """Runs work inside a process; None when the process died or refused."""
    context = contextvars.copy_context()
    context.run(PROCESS.set, life.process)
    task = asyncio.get_running_loop().create_task(work, context=context)
    await asyncio.wait({task})
    if task.cancelled():
        return None
    error = task.exception()
    if error is None:
        return task.result()
    if not life.process.alive or isinstance(error, EdocError):
        return None
    raise error
