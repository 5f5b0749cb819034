"""What this node does for the nodes that call it: sessions, the receiving desk, staged parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from edoccore.errors import DocumentUnknownError
from edoccore.signing.statements import uuid_text
from edocnode.domain.exchange import Answer, Hello, Inquiry, Parcel, Recovered
from edocnode.domain.expiring import answer_inquiry
from edocnode.domain.model import MessageId
from edocnode.domain.numbers import (
    NumberAnswer,
    NumberStore,
    Range,
    check_question,
    ranges_text,
)
from edocnode.domain.ports import Inbox
from edocnode.domain.repair import PartName, RepairStore
from edocnode.workers.incoming import Incoming
from edocnode.workers.parts import PartShelf, ShelfSource
from edocnode.workers.receiving import ReceivingDesk
from edocnode.workers.sessions import Meeting, Sessions
from edocnode.workers.staging import Staging

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One stream of a peer; see ``Session``."""

    meeting: Meeting
    hello: Hello
    sessions: Sessions

    @property
    def agency(self) -> str:
        """The peer."""
        return self.meeting.agency

    def check(self) -> None:
        """Lets the stream go on.

        Raises:
            EpochSupersededError: A newer start of the peer is known.
        """
        self.sessions.check_epoch(self.agency, self.meeting.epoch)


class NodeService:
    """Joins what callers need; see ``ReceivingService``."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        desk: ReceivingDesk,
        staging: Staging,
        inbox: Inbox,
        repair: RepairStore,
        shelf: PartShelf,
        numbers: NumberStore,
        clock: Callable[[], datetime],
    ) -> None:
        """Takes the parts."""
        self._repair = repair
        self._shelf = shelf
        self._numbers = numbers
        self._clock = clock
        self._sessions = sessions
        self._desk = desk
        self._staging = staging
        self._inbox = inbox

    async def open_session(self, agency: str, hello: Hello) -> OpenSession:
        """Judges a hello and answers it.

        Raises:
            PeerNotTrustedError: The hello speaks for another agency.
            EdocError: Its opening is not sealed as it must be.
        """
        meeting = await self._sessions.meet(agency, hello)
        answer = await self._sessions.hello_to(agency)
        return OpenSession(meeting, answer, self._sessions)

    async def answer(self, agency: str, parcels: Sequence[Parcel]) -> Sequence[Answer]:
        """Answers parcels."""
        return await self._desk.answer(agency, parcels)

    async def receive_part(
        self, agency: str, message_id: MessageId, index: int, *, epoch: bytes
    ) -> Incoming:
        """Opens a part of an offer for its bytes.

        Raises:
            DocumentUnknownError: No such offer of this agency.
            EpochSupersededError: A newer start of the peer is known.
        """
        await self._sessions.remember_epoch(agency)
        self._sessions.check_epoch(agency, epoch)
        return await self._staging.receive(agency, message_id, index)

    def check_epoch(self, agency: str, epoch: bytes) -> None:
        """Lets a transfer go on.

        Raises:
            EpochSupersededError: A newer start of the peer is known.
        """
        self._sessions.check_epoch(agency, epoch)

    async def lost_by(self, agency: str) -> Sequence[Recovered]:
        """What a restored peer lost, as far as it is here.

        Raises:
            HelloMissingError: That is not known yet, for the peer was not met since the start.
        """
        lost = [
            each
            for opened in await self._sessions.lost_tail_of(agency)
            for each in await self._inbox.lost_envelopes(
                agency, kept=opened.previous, epoch=opened.epoch
            )
        ]
        return [
            Recovered(
                envelope=envelope,
                receipt=receipt,
                record=record or await self._staging.large_record(envelope),
            )
            for envelope, receipt, record in lost
        ]

    async def answer_numbers(
        self, agency: str, epoch: bytes, ranges: Sequence[Range]
    ) -> Sequence[NumberAnswer]:
        """What became of numbers of this node's envelopes to a peer.

        Raises:
            RequestInvalidError, LimitExceededError: It asks for nothing, or too much.
        """
        check_question(epoch, ranges)
        answers = await self._numbers.answer_numbers(agency, epoch, ranges, self._clock())
        log.warning("numbers.asked", agency=agency, numbers=ranges_text(ranges))
        return answers

    async def answer_inquiries(self, agency: str, inquiries: Sequence[Inquiry]) -> Sequence[Answer]:
        """Answers those of a peer's messages that are held here."""
        keys = [(item.sender, item.message_id) for item in inquiries]
        known = await self._inbox.known(keys)
        answers = [
            answer_inquiry(agency, item, known.get((item.sender, item.message_id)))
            for item in inquiries
        ]
        return [answer for answer in answers if answer is not None]

    async def part_for(self, agency: str, name: PartName) -> ShelfSource:
        """A part, or an envelope, that a peer has had and may have back.

        Raises:
            DocumentUnknownError: It is not here, or not for this peer.
        """
        found = await self._repair.stored_part(agency, name)
        if found is None:
            message_id = uuid_text(name.message_id)
            told = (
                f"The envelope of message {message_id} is not here for {agency}."
                if name.index is None
                else f"Part {name.index} of message {message_id} is not here for {agency}."
            )
            raise DocumentUnknownError(told, message_id=message_id, agency=agency)
        return self._shelf.stored(found)

    async def gave_back(self, agency: str) -> None:
        """Notes that the peer has fetched what it lost."""
        await self._sessions.gave_back(agency)
