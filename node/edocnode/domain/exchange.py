"""What two nodes say to each other, in the node's own types, and the port to another node."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import DirectoryMark
from edocnode.domain.consistency import JournalProof
from edocnode.domain.delivery import PartWanted
from edocnode.domain.model import MessageId
from edocnode.domain.numbers import NumberAnswer, Range, Settled
from edocnode.domain.repair import PartName

EARLIER_OPENINGS = 64  # shown with a hello; so many starts may go by before two nodes meet


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who a node is, from which start it speaks, and what it knows of the other.

    Attributes:
        opening: Absent while the node cannot seal.
        earlier: Openings of the epochs before it, the newest first; see ``EARLIER_OPENINGS``.
        known: Highest seal of the other's journal known to the speaker.
        known_opening: Opening of the other's newest epoch known to the speaker.
        time: The speaker's clock.
        tail_lost: The other's journal leaves out seals that the speaker knows.
        settled: Of the speaker's envelopes to the other; a hint, see ``domain.numbers``.
    """

    agency: str
    opening: SealedStatement | None
    earlier: tuple[SealedStatement, ...]
    known: SignedSeal | None
    known_opening: SealedStatement | None
    directory: DirectoryMark
    time: datetime
    tail_lost: bool
    settled: tuple[Settled, ...]


class Parcel(Struct, frozen=True, kw_only=True):
    """One envelope; ``parts`` joins all its parts unless it is only an offer."""

    envelope: SealedStatement
    parts: bytes
    offer: bool


class Received(Struct, frozen=True, kw_only=True):
    """Answer: a sealed receipt, final."""

    message_id: MessageId
    envelope_digest: bytes
    receipt: SealedStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Answer: final for these bytes, unsealed, nothing kept."""

    message_id: MessageId
    envelope_digest: bytes
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TryLater:
    """Answer: the same bytes may succeed later, at the earliest ``after`` from now."""

    message_id: MessageId
    envelope_digest: bytes
    reason: str
    message: str
    after: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Answer to an offer: these parts are wanted, from these offsets."""

    message_id: MessageId
    envelope_digest: bytes
    parts: tuple[PartWanted, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Answer: the same document is here under another epoch, seq or created."""

    message_id: MessageId
    envelope_digest: bytes
    envelope: SealedStatement
    receipt: SealedStatement


Answer = Received | Refused | TryLater | Need | Duplicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """An own envelope that a peer gives back after a restore."""

    envelope: SealedStatement
    receipt: SealedStatement | None
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A message that was never answered, as its sender names it to the recipient."""

    message_id: MessageId
    envelope_digest: bytes
    sender: str


class DeliveryStream(Protocol):
    """One open stream of parcels to a peer."""

    @property
    def hello(self) -> Hello:
        """The peer's hello on this stream."""

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Writes a batch; waits while the peer's window is full.

        Raises:
            EdocError: The stream ended.
        """

    def answers(self) -> AsyncIterator[Sequence[Answer]]:
        """Answers as they come; ends when the stream ends.

        Raises:
            EdocError: The stream broke, or the peer ended it with a reason.
        """

    async def close(self) -> None:
        """Ends the stream."""


class PeerLink(Protocol):
    """Calls to the node of one other agency; every call has a deadline.

    All methods raise ``PeerUnreachableError`` when there is no answer, and the peer's error
    otherwise.
    """

    async def hello(self, mine: Hello) -> Hello:
        """Exchanges hellos."""

    async def deliver(self, mine: Hello) -> DeliveryStream:
        """Opens a stream of parcels; its first messages are hellos."""

    async def transfer(
        self, message_id: MessageId, index: int, *, offset: int, source: "PartSource", epoch: bytes
    ) -> None:
        """Carries one part from ``offset``; returns when the peer has it whole on disk.

        Args:
            epoch: Of this node, 16 bytes; empty while it cannot seal.
        """

    def recover(self) -> AsyncIterator[Recovered]:
        """What the peer holds of this node's lost tail."""

    async def recovered(self) -> None:
        """Says that all that was given back is on disk here."""

    def fetch(self, name: PartName, offset: int) -> AsyncIterator[bytes]:
        """The bytes of a part that the peer has had, from ``offset`` to its end."""

    async def reconcile(self, epoch: bytes, ranges: Sequence[Range]) -> Sequence[NumberAnswer]:
        """Asks what became of numbers that never arrived."""

    async def inquire(self, inquiries: Sequence[Inquiry]) -> Sequence[Answer]:
        """Asks about messages that the peer never answered; only those it holds are answered."""

    async def consistency(self, epoch: bytes, first: int, second: int) -> JournalProof:
        """Asks for the proof between two sizes of an epoch of the peer's journal.

        Raises:
            JournalTooShortError: It says that it has not so many seals of that epoch.
            JournalBrokenError: Its answer has not the form of a proof.
        """

    async def close(self) -> None:
        """Ends all connections to the peer."""


class PartSource(Protocol):
    """The bytes of one part, from any offset.

    Attributes:
        sent: Bytes that went to the connection so far; whoever sends them counts them.
    """

    sent: int

    def chunks(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Chunks of at most 960 KiB from ``offset`` to the end.

        Raises:
            StorageDamagedError: The bytes are missing or not those that were stored.
        """


class PeerLinks(Protocol):
    """Where links to peers come from."""

    def link(self, agency: str) -> PeerLink:
        """The link to the node of an agency, made when needed, by the directory in force.

        Raises:
            AgencyUnknownError: Not in the directory.
            PeerUnreachableError: The agency has published no endpoint.
        """


class Session(Protocol):
    """One stream of a peer that said hello."""

    @property
    def agency(self) -> str:
        """The peer."""

    @property
    def hello(self) -> Hello:
        """What this node answers to its hello."""

    def check(self) -> None:
        """Lets the stream go on.

        Raises:
            EpochSupersededError: A newer start of the peer is known.
        """


class IncomingPart(Protocol):
    """One part whose bytes are coming in; see ``workers.incoming.Incoming``."""

    @property
    def offset(self) -> int:
        """Bytes on disk."""

    @property
    def complete(self) -> bool:
        """Whether the part is here and right."""

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Takes the next bytes; ``offset`` says when they are on disk.

        Raises:
            PartDigestError: More bytes than the part has.
        """

    async def progress(self, after: int) -> int:
        """Waits until more than ``after`` bytes are on disk; returns how many are."""

    async def finish(self) -> None:
        """Ends the part.

        Raises:
            PartDigestError: Bytes are missing or wrong.
        """

    async def close(self) -> None:
        """Keeps what came."""


class ReceivingService(Protocol):
    """What a node does for the nodes that call it."""

    async def open_session(self, agency: str, hello: Hello) -> Session:
        """Judges a hello and answers it."""

    async def answer(self, agency: str, parcels: Sequence[Parcel]) -> Sequence[Answer]:
        """Answers parcels."""

    async def receive_part(
        self, agency: str, message_id: MessageId, index: int, *, epoch: bytes
    ) -> IncomingPart:
        """Opens a part of an offer for its bytes.

        Args:
            epoch: From which the peer says it speaks, 16 bytes; empty while it cannot seal.

        Raises:
            DocumentUnknownError: No such offer of this agency.
            EpochSupersededError: A newer start of the peer is known.
        """

    def check_epoch(self, agency: str, epoch: bytes) -> None:
        """Lets a transfer go on.

        Raises:
            EpochSupersededError: A newer start of the peer is known.
        """

    async def lost_by(self, agency: str) -> Sequence[Recovered]:
        """What a restored peer lost, as far as it is here."""

    async def gave_back(self, agency: str) -> None:
        """Notes that the peer has it on its disk."""

    async def answer_numbers(
        self, agency: str, epoch: bytes, ranges: Sequence[Range]
    ) -> Sequence[NumberAnswer]:
        """What became of numbers of this node's envelopes to a peer.

        Raises:
            RequestInvalidError, LimitExceededError: It asks for nothing, or too much.
        """

    async def answer_inquiries(self, agency: str, inquiries: Sequence[Inquiry]) -> Sequence[Answer]:
        """Answers those of a peer's messages that are held here.

        Raises:
            LimitExceededError: It asks about too many.
        """

    async def part_for(self, agency: str, name: PartName) -> "PartSource":
        """A part that a peer has had and may have back.

        Raises:
            DocumentUnknownError: It is not here, or not for this peer.
        """
