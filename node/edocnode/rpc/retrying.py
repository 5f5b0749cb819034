"""Queues held deliveries again, one or all of an agency, in bounded transactions."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from edoccore.errors import DocumentUnknownError, EdocError, RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import uuid_text
from edocnode.domain.dead_letters import RETRIES_AT_ONCE, HeldDelivery, may_retry, plan_retry
from edocnode.domain.decisions import MAX_ACTOR
from edocnode.domain.model import MessageId
from edocnode.domain.office_model import OfficeStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDesk:
    """Carries one request out in the name of a person.

    Attributes:
        actor: Who decided it; checked by ``check_actor``.
    """

    office: OfficeStore
    network: str
    agency: str
    actor: str
    clock: Callable[[], datetime]

    async def one(self, message_id: MessageId) -> int:
        """Queues one delivery again; returns 0 when it waits or is offered already.

        Raises:
            DocumentUnknownError: It was not sent from here.
            DecisionConflictError, EnvelopeExpiredError, StorageDamagedError: As ``may_retry``.
        """
        found = await self.office.deliveries_of([message_id])
        if not found:
            raise DocumentUnknownError(
                f"Message {uuid_text(message_id)} was not sent from here.",
                hint="See: edocnode outbox --state held",
                message_id=uuid_text(message_id),
            )
        wanted = [item for item in found if may_retry(item, self.clock())]
        return await self._queue_again(wanted)

    async def all_of(self, code: str) -> tuple[int, int]:
        """Queues all that is held for an agency or a node; returns how many, and how many stay."""
        queued = left = after = 0
        while page := await self.office.held_for(code, after, RETRIES_AT_ONCE):
            wanted = [item for item in page if self._can(item)]
            queued += await self._queue_again(wanted)
            left += len(page) - len(wanted)
            after = page[-1].place
        return queued, left

    def _can(self, item: HeldDelivery) -> bool:
        try:
            return may_retry(item, self.clock())
        except EdocError:  # told by ``show`` for each; the others go on
            return False

    async def _queue_again(self, items: Sequence[HeldDelivery]) -> int:
        now = self.clock()
        plans = [
            plan_retry(item, network=self.network, agency=self.agency, actor=self.actor, now=now)
            for item in items
        ]
        salts = [secrets.token_bytes(SALT_BYTES) for _ in plans]
        return await self.office.queue_again(plans, salts, now) if plans else 0


def check_actor(actor: str) -> None:
    """Checks the name of who decided something.

    Raises:
        RequestInvalidError: It is missing or too long.
        NotCanonicalError: It has a forbidden character.
    """
    if not 1 <= len(actor) <= MAX_ACTOR:
        raise RequestInvalidError("Who decides must be named.", hint="Add --actor NAME.")
    canonical.check_text(actor)
