"""What the office's services work with, and how a header is judged.

A header may be refused for reasons that end by themselves: a recipient may have joined a moment
ago, a repeated request may name a moment that has passed since. Both are looked at once more.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edoccore.directory.view import Directory
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    DirectoryInvalidError,
    RegistryUnreachableError,
)
from edoccore.signing.encryption import CONTENT_KEY_BYTES
from edoccore.signing.statements import uuid_text
from edockit.blobs import BlobFolder
from edocnode.domain.encryption import EncryptionKeys, EncryptionOrder, readers
from edocnode.domain.handing_on import envelope_drafts
from edocnode.domain.model import (
    DocumentId,
    EnvelopeDraft,
    MessageId,
    Submission,
    SubmissionResult,
)
from edocnode.domain.office import (
    Admitted,
    SendTimePastError,
    SubmitHeader,
    admit,
    is_inline,
    new_id,
)
from edocnode.domain.office_model import OfficeStore
from edocnode.domain.official_numbers import NumberBook, NumberingRules
from edocnode.domain.ports import Submissions
from edocnode.domain.repair import Suspects
from edocnode.domain.revoking import SentRevocations
from edocnode.domain.signature_checks import Rechecks
from edocnode.rpc.overview import OverviewParts
from edocnode.rpc.revoking import Answers

ID_RANDOM_BYTES = 10
IDS_AT_ONCE = 400
REFRESH_WAIT_S = 10.0  # for the registry, when a recipient is not known


class Wakes(Protocol):
    """Whoever must hear that something was kept."""

    def wake(self) -> None:
        """Tells it."""


class TakesDrafts(Wakes, Protocol):
    """The sealer, as far as the office hands work to it."""

    def handed_in(self, drafts: Sequence[EnvelopeDraft]) -> None:
        """Hands over deliveries that were kept."""


class DirectoryInForce(Protocol):
    """The directory, and how to get a newer one."""

    @property
    def current(self) -> Directory:
        """The directory in force."""

    async def refresh(self) -> bool:
        """Fetches what the registry has that is newer; whether the directory changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeParts:
    """What the office's service works with.

    Attributes:
        agency: That owns the node.
        answers: Answers what senders asked for.
        damage: Told of parts that are not what was stored.
        sealer: Given what was kept for it.
        book: Where official numbers are given, as ``numbering`` says.
        scheduler: Woken when something was kept that is for the sealer later.
        rechecks: Checks signatures again.
        encryption: Keys that parts are encrypted to and read with.
        check_sender: Raises AccessDeniedError when the caller may not send from a code.
    """

    agency: str
    office: OfficeStore
    submissions: Submissions
    revocations: SentRevocations
    answers: Answers
    blobs: BlobFolder
    damage: Suspects
    sealer: TakesDrafts
    scheduler: Wakes
    directory: DirectoryInForce
    overview: OverviewParts
    book: NumberBook
    numbering: NumberingRules
    rechecks: Rechecks
    encryption: EncryptionKeys
    clock: Callable[[], datetime]
    check_sender: Callable[[str], None] = lambda _: None

    def judged(self, header: SubmitHeader, now: datetime) -> Admitted:
        """Judges a header by the directory in force.

        Raises:
            EdocError: As ``domain.office.admit``.
            AccessDeniedError: The caller may not send from its sender.
        """
        found = admit(header, self.directory.current, self.agency, now=now)
        self.check_sender(found.sender)
        return found

    def encryption_order(self, header: Admitted, document_id: DocumentId) -> EncryptionOrder:
        """What the parts of a submission are encrypted with.

        Raises:
            EncryptionKeyError: This node or a recipient's has published no key.
            KeyUnusableError: This node's key cannot be used.
            LimitExceededError: They are too many.
        """
        directory = self.directory.current
        return EncryptionOrder(
            network=directory.network,
            document_id=uuid_text(document_id),
            sender=header.sender,
            readers=readers(
                [recipient.to_node for recipient in header.recipients],
                directory,
                header.created,
                agency=self.agency,
                own=self.encryption.current(),
            ),
            fresh_key=lambda: secrets.token_bytes(CONTENT_KEY_BYTES),
        )

    def fresh_id(self) -> bytes:
        """A new UUIDv7."""
        return new_id(self.clock(), _chance.bytes())

    def fresh_ids(self, recipients: int) -> tuple[DocumentId, list[MessageId]]:
        """Ids of a new document and of its deliveries."""
        now = self.clock()
        ids = [new_id(now, _chance.bytes()) for _ in range(1 + recipients)]
        return DocumentId(ids[0]), [MessageId(each) for each in ids[1:]]

    async def keep(self, submission: Submission) -> SubmissionResult:
        """Keeps a document and hands it on, which must follow also when its caller has left."""
        kept = await self.submissions.submit(submission)
        self.kept([(submission, kept)])
        return kept

    def kept(self, results: Iterable[tuple[Submission, SubmissionResult]]) -> None:
        """Hands what was kept to the sealer, or tells who has it for later."""
        drafts: list[EnvelopeDraft] = []
        for submission, result in results:
            self.blobs.settled(
                [item.sha256 for item in submission.parts if not is_inline(item.size)]
            )
            if result.unsealed:
                drafts += envelope_drafts(submission, result.places)
            elif not result.repeated:
                self.scheduler.wake()
        self.sealer.handed_in(drafts)


class _Chance:
    """Random bytes for ids, fetched for many at once: asking the kernel lets other threads in."""

    def __init__(self) -> None:
        self._ready: deque[bytes] = deque()

    def bytes(self) -> bytes:
        """Those of one id; from any thread."""
        try:
            return self._ready.popleft()
        except IndexError:
            fetched = secrets.token_bytes(ID_RANDOM_BYTES * IDS_AT_ONCE)
            starts = range(ID_RANDOM_BYTES, len(fetched), ID_RANDOM_BYTES)
            self._ready.extend(fetched[start : start + ID_RANDOM_BYTES] for start in starts)
            return fetched[:ID_RANDOM_BYTES]


_chance = _Chance()


async def admitted(parts: OfficeParts, header: SubmitHeader) -> Admitted:
    """Judges a header, if need be by a newer directory or as of an earlier moment.

    Raises:
        EdocError: As ``domain.office.admit``.
    """
    try:
        return parts.judged(header, parts.clock())
    except (AgencyUnknownError, AgencyInactiveError):
        if not await has_newer_directory(parts):
            raise
        now = parts.clock()
    except SendTimePastError:
        made = await parts.submissions.handed_in(header.request_id)
        if made is None:
            raise
        now = made
    return parts.judged(header, now)


async def has_newer_directory(parts: OfficeParts) -> bool:
    """Asks the registry for a newer directory; False when there is none, or no answer."""
    try:
        return await asyncio.wait_for(parts.directory.refresh(), REFRESH_WAIT_S)
    except (RegistryUnreachableError, DirectoryInvalidError, TimeoutError):
        return False  # the directory in hand decides
