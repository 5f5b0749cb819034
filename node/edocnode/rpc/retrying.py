"""Queues held deliveries again, one or all of an agency, in bounded transactions.

What was for an agency that has ended goes to its successor: the one it has, or the one that a
person chose.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from edoccore.agency_errors import AgencyEndedError
from edoccore.directory.view import Directory
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    DocumentUnknownError,
    EdocError,
    RequestInvalidError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import uuid_text
from edocnode.domain.dead_letters import RETRIES_AT_ONCE, HeldDelivery, may_retry, plan_retry
from edocnode.domain.decisions import MAX_ACTOR
from edocnode.domain.forwarding import (
    ForwardPlan,
    Stranded,
    check_readable,
    chosen,
    forward_plan,
    own_end,
)
from edocnode.domain.model import MessageId
from edocnode.domain.office_model import OfficeStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDesk:
    """Carries one request out in the name of a person.

    Attributes:
        actor: Who decided it; checked by ``check_actor``.
    """

    office: OfficeStore
    directory: Directory
    agency: str
    actor: str
    clock: Callable[[], datetime]

    async def one(self, message_id: MessageId, instead: str = "") -> int:
        """Queues one delivery again; returns 0 when it waits or is offered already.

        Args:
            instead: Code of the agency that gets it instead of its recipient; empty: the recipient.

        Raises:
            DocumentUnknownError: It was not sent from here.
            DecisionConflictError, EnvelopeExpiredError, StorageDamagedError: As ``may_retry``.
            AgencyEndedError: Its recipient was closed or split, or this agency has ended.
            EncryptionKeyError: It is encrypted, and would go to a node that has no key to it.
            RequestInvalidError: ``instead`` follows not its recipient.
        """
        self._check_life()
        found = await self.office.deliveries_of([message_id])
        if not found:
            raise DocumentUnknownError(
                f"Message {uuid_text(message_id)} was not sent from here.",
                hint="See: edocnode outbox --state held",
                message_id=uuid_text(message_id),
            )
        wanted = [item for item in found if may_retry(item, self.clock())]
        return await self._queue_again(wanted, instead)

    async def all_of(self, code: str) -> tuple[int, int]:
        """Queues all that is held for an agency or a node; returns how many, and how many stay.

        Raises:
            AgencyEndedError: This agency has ended.
        """
        self._check_life()
        queued = left = after = 0
        while page := await self.office.held_for(code, after, RETRIES_AT_ONCE):
            wanted = [item for item in page if self._can(item)]
            queued += await self._queue_again(wanted)
            left += len(page) - len(wanted)
            after = page[-1].place
        return queued, left

    def _check_life(self) -> None:
        if self.directory.has_ended(self.agency, self.clock()):
            raise own_end(self.directory, self.agency)

    def _can(self, item: HeldDelivery) -> bool:
        try:
            self._move(item, "", self.clock())
            return may_retry(item, self.clock())
        except EdocError:  # told by ``show`` for each; the others go on
            return False

    def _other_node(self, item: HeldDelivery) -> str:
        """The node that serves the recipient now, when it is another one; empty: it is not.

        Raises:
            AgencyEndedError: Its recipient was closed, or split: a person must choose.
        """
        try:
            now = self.directory.node_of(item.recipient, self.clock())
        except AgencyEndedError:
            raise
        except (AgencyUnknownError, AgencyInactiveError):
            return ""  # it waits until it is there again
        return "" if now == item.to_node else now

    async def _queue_again(self, items: Sequence[HeldDelivery], instead: str = "") -> int:
        now = self.clock()
        moves = [plan for item in items if (plan := self._move(item, instead, now)) is not None]
        moved = {plan.message_id for plan in moves}
        plans = [
            plan_retry(
                item,
                network=self.directory.network,
                agency=self.agency,
                actor=self.actor,
                now=now,
            )
            for item in items
            if item.message_id not in moved
        ]
        count = await self.office.queue_again(plans, _salts(plans), now) if plans else 0
        return count + (await self.office.send_on(moves, _salts(moves), now) if moves else 0)

    def _move(self, item: HeldDelivery, instead: str, now: datetime) -> ForwardPlan | None:
        """The way of a delivery to another node; None: it stays with its node.

        Raises:
            AgencyEndedError: Its recipient was closed, or split: a person must choose.
            EncryptionKeyError: The other node could not read it.
            RequestInvalidError: ``instead`` does not follow its recipient.
        """
        if instead:
            recipient = chosen(item.recipient, instead, self.directory, now)
            to_node, why = self.directory.node_of(recipient, now), "chosen by a person"
        else:
            recipient, to_node = item.recipient, self._other_node(item)
            why = "it serves the recipient now"
        if not to_node:
            return None
        check_readable(recipient, to_node, item.readers, agency=self.agency)
        return forward_plan(
            Stranded(
                place=item.place,
                message_id=item.message_id,
                document_id=item.document_id,
                recipient=item.recipient,
                to_node=item.to_node,
            ),
            to_node=to_node,
            why=why,
            network=self.directory.network,
            agency=self.agency,
            now=now,
            recipient=recipient,
            actor=self.actor,
        )


def _salts(plans: Sequence[object]) -> list[bytes]:
    return [secrets.token_bytes(SALT_BYTES) for _ in plans]


def check_actor(actor: str) -> None:
    """Checks the name of who decided something.

    Raises:
        RequestInvalidError: It is missing or too long.
        NotCanonicalError: It has a forbidden character.
    """
    if not 1 <= len(actor) <= MAX_ACTOR:
        raise RequestInvalidError("Who decides must be named.", hint="Add --actor NAME.")
    canonical.check_text(actor)
