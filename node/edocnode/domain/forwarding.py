"""Deliveries whose recipient's agency has ended: where they go now, or that a person must choose.

The node of an ended agency takes no new documents, but it may have taken one whose receipt is still
on its way. So it is offered first, which is the question as well: what that node has it answers
with its receipt, the rest it turns away. Only then, or when it has not been reached for a while, a
delivery goes to the node of the one successor, as the same message in a new envelope. With several
successors, or none, it is held: the law does not say which of them it was meant for.

Source: proto/README.md, section Delivery.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from edoccore.agency_errors import AgencyEndedError, RecipientMovedError
from edoccore.directory.layout import WIND_UP
from edoccore.directory.view import Directory
from edoccore.errors import EdocError, RequestInvalidError
from edoccore.office_errors import EncryptionKeyError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect, time_text, uuid_text
from edocnode.domain.copies import NOT_REACHED
from edocnode.domain.model import DeliveryOutcome, DeliveryState, DocumentId, MessageId
from edocnode.domain.setting_aside import Waiting

FORWARDED = "delivery.forwarded"  # kind of the effect in the journal
TURNED_AWAY = RecipientMovedError.reason
ACTOR = "edocnode"  # nobody decided it
ASK_FOR = timedelta(minutes=5)  # while it does not answer, the node of an ended agency is tried
AT_ONCE = 200  # deliveries that change in one transaction


class Stranding(Enum):
    """Which deliveries to the node of an ended agency go elsewhere."""

    TURNED_AWAY = "turned away"  # it said that it does not take them
    DOCUMENTS = "documents"  # it is not reached; statuses and revocations can wait for it
    ALL = "all"  # it has wound up


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranded:
    """A delivery that its node will not take.

    Attributes:
        place: Its row.
        unheard: Its node did not say that it does not take it: it may have taken it before it fell
            silent, and nobody can tell.
        readers: Nodes that can read its encrypted files; None: they are not encrypted.
        is_revocation: It takes a document back that its node has, or may have.
    """

    place: int
    message_id: MessageId
    document_id: DocumentId
    recipient: str
    to_node: str
    unheard: bool = False
    readers: frozenset[str] | None = None
    is_revocation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPlan:
    """A delivery that goes to another node, with the effect that is kept with it.

    Attributes:
        recipient: To whom from now on; another one only when a person chose.
        message: For a person who looks at the delivery.
    """

    message_id: MessageId
    recipient: str
    to_node: str
    message: str
    effect: bytes


class ForwardStore(Protocol):
    """Deliveries that go elsewhere; each method is one atomic transaction."""

    async def stranded(
        self, to_node: str, which: Stranding, after: int, limit: int
    ) -> Sequence[Waiting]:
        """Sealed deliveries to a node that wait and that it will not take, in order of place."""

    async def stranded_at(self, places: Sequence[int]) -> Sequence[Stranded]:
        """Those of these sealed deliveries that still wait, in order of place."""

    async def forward(
        self, plans: Sequence[ForwardPlan], salts: Sequence[bytes], at: datetime
    ) -> int:
        """Makes deliveries that still wait new envelopes to other nodes; returns how many.

        Args:
            salts: 16 random bytes for each.
        """

    async def pass_over(self, message_ids: Sequence[MessageId], at: datetime) -> None:
        """Notes that the nodes of sealed documents are silent and may have them.

        Repeating it changes nothing; statuses and revocations are left out.
        """

    async def unsealed_documents(
        self, limit: int, *, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Deliveries of documents that were never sealed, also those for later, in no order.

        Args:
            without: Left out; beside the ``limit``.
        """

    async def hold_unsealed(
        self, places: Sequence[int], *, reason: str, message: str, at: datetime
    ) -> int:
        """Holds documents that were never sealed; returns how many."""


def stranding(
    node: str, directory: Directory, now: datetime, *, down_since: datetime | None
) -> Stranding | None:
    """Which deliveries to a node go elsewhere; None: none, its agency lives.

    Args:
        down_since: Since when that node does not answer; None: it does.
    """
    agency = directory.ownership.owners.get(node)
    if agency is None or not agency.has_ended(now):
        return None
    if not agency.answers(now):
        return Stranding.ALL
    if down_since is not None and now - down_since >= ASK_FOR:
        return Stranding.DOCUMENTS
    return Stranding.TURNED_AWAY


def plan_forward(
    item: Stranded, directory: Directory, *, agency: str, now: datetime
) -> ForwardPlan | DeliveryOutcome:
    """What becomes of a stranded delivery: it goes to another node, or is held.

    An agency that has ended itself seals no new envelope, whoever follows its recipient; and once
    it has wound up, nobody takes what it sealed before.

    Args:
        agency: That owns this node.

    Raises:
        AgencyUnknownError, AgencyInactiveError: Nobody can say now; it waits.
    """
    if is_wound_up(directory, agency, now):
        return _held(item, _own_silence(directory, agency))
    if item.is_revocation and item.unheard:
        return _too_late(item, directory, now)
    try:
        if directory.has_ended(agency, now):
            raise own_end(directory, agency)
        to_node = directory.node_of(item.recipient, now)
        check_readable(item.recipient, to_node, item.readers, agency=agency)
    except (AgencyEndedError, EncryptionKeyError) as error:
        return _held(item, _may_have(item, error) if item.unheard else error)
    how = directory.how_it_ended(item.to_node)
    return forward_plan(
        item, to_node=to_node, why=how, network=directory.network, agency=agency, now=now
    )


def forward_plan(
    item: Stranded,
    *,
    to_node: str,
    why: str,
    network: str,
    agency: str,
    now: datetime,
    recipient: str = "",
    actor: str = ACTOR,
) -> ForwardPlan:
    """Words the way of a delivery to another node.

    Args:
        recipient: Another recipient that a person chose; empty: as it was.
        actor: Who decided it.
    """
    to = recipient or item.recipient
    doubt = f"; {item.to_node} was not reached and may have it too" if item.unheard else ""
    message = f"It goes to the node of {to_node}: {why}."
    if item.unheard:
        message = (
            f"It goes to the node of {to_node}: {why}. The node of {item.to_node} does not answer; "
            f"it may have the same document, under the same id."
        )
    effect = Effect(
        network=network,
        agency=agency,
        kind=FORWARDED,
        subject=uuid_text(item.message_id),
        actor=actor,
        time=time_text(now),
        detail=f"from {item.recipient} at {item.to_node} to {to} at {to_node}: {why}{doubt}",
    )
    return ForwardPlan(
        message_id=item.message_id,
        recipient=to,
        to_node=to_node,
        message=message,
        effect=canonical.encode(effect),
    )


def check_readable(
    recipient: str, to_node: str, readers: frozenset[str] | None, *, agency: str
) -> None:
    """Checks that another node can read what is to go to it.

    Encrypted files are sealed as they are: nobody can encrypt them anew under the same envelope.

    Args:
        readers: As in ``Stranded``.
        agency: That owns this node, which can read all that it encrypted.

    Raises:
        EncryptionKeyError: It cannot.
    """
    if readers is not None and to_node not in readers | {agency}:
        raise EncryptionKeyError(
            f"The files are encrypted, and the node of {to_node}, to which the document to "
            f"{recipient} would go now, has no key to them. Nothing was sent there.",
            hint="Save the files (edocnode save ID --to DIR) and send them again: edocnode send "
            f"FILE... --to {to_node} --encrypt",
            agency=to_node,
        )


def chosen(recipient: str, instead: str, directory: Directory, now: datetime) -> str:
    """The agency that a person chose to get what was for one that has ended.

    Returns:
        Its present code.

    Raises:
        AgencyUnknownError: There is no such agency.
        RequestInvalidError: It does not follow the recipient.
    """
    found = directory.agency(instead)
    choices = successors_of(recipient, directory, now)
    if found.owner not in choices:
        named = ", ".join(choices) or "nobody"
        raise RequestInvalidError(
            f"{instead} does not follow {recipient}; that does: {named}.",
            hint="To send the document to somebody else: edocnode send",
            code=instead,
        )
    return found.code


def is_wound_up(directory: Directory, agency: str, now: datetime) -> bool:
    """Whether an agency has ended so long ago that it is not heard any more."""
    found = directory.ownership.owners.get(agency)
    return found is not None and found.has_ended(now) and not found.answers(now)


def _own_silence(directory: Directory, agency: str) -> AgencyEndedError:
    return AgencyEndedError(
        f"No receipt came, and nobody hears this node any more: {directory.how_it_ended(agency)}, "
        f"and the {WIND_UP.days} days for what was sealed before are over.",
        hint="Ask the recipient whether it has the document; if not, its successor sends it anew.",
        agency=agency,
    )


def _too_late(item: Stranded, directory: Directory, now: datetime) -> DeliveryOutcome:
    """Only its own node can destroy a copy; a successor that agrees would say nothing of it."""
    whom = ", ".join(successors_of(item.to_node, directory, now)) or "whoever keeps its files"
    return DeliveryOutcome(
        message_id=item.message_id,
        document_id=item.document_id,
        recipient=item.recipient,
        state=DeliveryState.HELD,
        reason=NOT_REACHED,
        message=f"The copy at the node of {item.to_node} cannot be reached any more: "
        f"{directory.how_it_ended(item.to_node)}. Ask {whom} in writing to destroy it.",
    )


def _may_have(item: Stranded, error: EdocError) -> EdocError:
    return type(error)(
        f"{error.message} The node of {item.to_node} does not answer; it may have the document.",
        hint=error.hint,
        agency=item.to_node,
    )


def own_end(directory: Directory, agency: str) -> AgencyEndedError:
    """Says that the agency of this node sends no new documents, and where to go."""
    successors = directory.agency(agency).successors
    where = f"at the node of {' or '.join(successors)}" if successors else "elsewhere"
    return AgencyEndedError(
        f"This node seals no new documents: {directory.how_it_ended(agency)}.",
        hint=f"Hand the document in {where}.",
        agency=agency,
    )


def _held(item: Stranded, error: EdocError) -> DeliveryOutcome:
    return DeliveryOutcome(
        message_id=item.message_id,
        document_id=item.document_id,
        recipient=item.recipient,
        state=DeliveryState.HELD,
        reason=error.reason,
        message=f"{error.message} {error.hint}",
    )


def successors_of(code: str, directory: Directory, now: datetime) -> list[str]:
    """Agencies with a node that follow the owner of a code that has ended, however far."""
    found: list[str] = []
    waiting = list(directory.agency(code).successors)
    seen: set[str] = set()
    while waiting:
        owner = directory.ownership.owners.get(waiting.pop(0))
        if owner is None or owner.code in seen:
            continue
        seen.add(owner.code)
        if owner.has_ended(now):
            waiting += owner.successors
        else:
            found.append(owner.code)
    return found
