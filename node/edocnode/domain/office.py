"""What an office may hand in, and what becomes of it: the rules between a request and a Submission.

Checks as much as possible before a byte of the parts has come, so that an unknown recipient or a
bad name costs nothing; builds the record and the submission when all digests are known. Decisions
on received documents are in ``decisions``; storing is elsewhere.

Source: proto/README.md, section Records; Decision 28/2018/QD-TTg, Article 10.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from edoccore.errors import (
    AgencyInactiveError,
    FromNotOwnedError,
    LimitExceededError,
    NotCanonicalError,
    RecordInvalidError,
    RequestInvalidError,
    StatementTooLargeError,
)
from edoccore.signing import canonical
from edoccore.signing.days import impossible_day
from edoccore.signing.part_names import check_part_names
from edoccore.signing.readers import converted
from edoccore.signing.records import MAX_RECIPIENTS, DocumentRecord
from edoccore.signing.statements import (
    DOCUMENT_MEDIA_TYPE,
    MAX_PART_BYTES,
    MAX_PARTS,
    RECORD_NAME,
    Operation,
    Part,
    Urgency,
    time_text,
    uuid_text,
)
from edocnode.domain.checks import MIN_REASON, NEW_DOCUMENTS, document_listing
from edocnode.domain.encryption import check_parts
from edocnode.domain.forwarding import own_end
from edocnode.domain.media_types import media_type_of
from edocnode.domain.model import (
    INLINE_PART_BYTES,
    DocumentId,
    MessageId,
    NewDelivery,
    Submission,
)
from edocnode.domain.official import official_code
from edocnode.domain.official_numbers import GivenNumber
from edocnode.domain.record_texts import field_refused, no_such_day, record_too_large, text_refused
from edocnode.domain.secrecy import Secrecy, check_secrecy
from edocnode.domain.subagencies import check_open

if TYPE_CHECKING:
    from edoccore.directory.view import Directory

DEFAULT_LIFETIME = timedelta(days=30)
MAX_LIFETIME = timedelta(days=90)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")
_FILLED_IN = frozenset({"type", "network", "document_id", "recipients"})


class DeclaredPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that an office announced; its bytes follow."""

    name: str
    media_type: str
    size: int


class SubmitHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What an office asks for, as it came.

    Attributes:
        sender: Empty: the node's own agency.
        record_size: Bytes of the record's fields, which come before the parts.
        lifetime: How long delivery is tried, from ``send_at`` on; None: 30 days.
        send_at: Not sent before this moment; None: at once.
        secrecy: As the office declares it.
        number_here: The node is to number it.
        operation: NEW; UPDATE or REPLACE of ``earlier``.
        earlier: Id of the earlier document, whole once it was looked up; empty: there is none.
        encrypt: Its parts are to be encrypted to the recipients' nodes.
    """

    request_id: str
    sender: str
    recipients: tuple[str, ...]
    urgency: Urgency
    record_size: int
    parts: tuple[DeclaredPart, ...]
    lifetime: timedelta | None
    send_at: datetime | None = None
    secrecy: Secrecy = Secrecy.NONE
    number_here: bool = False
    operation: Operation = Operation.NEW
    earlier: str = ""
    encrypt: bool = False


class SendTimePastError(RequestInvalidError):
    """The moment at which the document is to be sent is past."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient found in the directory; ``code`` is its present spelling."""

    code: str
    to_node: str


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A header that passed all checks that need no content.

    Attributes:
        sender: Present spelling of the code.
        parts: With media types filled in.
        expires: When delivery is given up.
    """

    header: SubmitHeader
    sender: str
    sender_name: str
    recipients: tuple[Recipient, ...]
    parts: tuple[DeclaredPart, ...]
    created: datetime
    expires: datetime


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a document: its exact bytes and what lists show of it."""

    data: bytes
    listing: dict[str, str]

    @property
    def part(self) -> Part:
        """The record as part 0 of an envelope."""
        return Part(
            index=0,
            name=RECORD_NAME,
            media_type=DOCUMENT_MEDIA_TYPE,
            size=len(self.data),
            sha256=sha256(self.data).hexdigest(),
        )


def new_id(moment: datetime, random: bytes) -> bytes:
    """A UUIDv7.

    Args:
        random: 10 random bytes.
    """
    number = int.from_bytes(random[:10], "big") & ~(0xF << 76) & ~(0x3 << 62)
    number |= int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62
    return number.to_bytes(16, "big")


def admit(header: SubmitHeader, directory: "Directory", agency: str, *, now: datetime) -> Admitted:
    """Judges a request before its content has come.

    Args:
        agency: That owns this node.

    Raises:
        StateSecretError: It is declared secret.
        SendTimePastError: The moment to send it is not in the future. A request that is repeated
            is judged as of the moment at which it first came.
        RequestInvalidError: Something is missing or contradicts itself.
        AgencyUnknownError: A recipient is not in the directory; nothing is sent to the others.
        AgencyInactiveError: A recipient is suspended or has no node yet.
        AgencyEndedError: A recipient was closed or split, or the sender has ended.
        FromNotOwnedError: The node does not serve the sender.
        PartNameError: A part's name is unsafe, or two look alike.
        LimitExceededError: Too many parts or recipients, or the record is too large.
    """
    check_secrecy(header.secrecy)
    _check_form(header)
    sender = _sender(header.sender or agency, directory, agency, now)
    if header.operation in NEW_DOCUMENTS:
        check_open(directory, sender, *header.recipients)
    recipients = _recipients(header.recipients, directory, now)
    check_part_names([RECORD_NAME, *(part.name for part in header.parts)])
    return Admitted(
        header=header,
        sender=sender,
        sender_name=directory.agency(sender).name,
        recipients=recipients,
        parts=tuple(_typed(part) for part in header.parts),
        created=now,
        expires=_expiry(header, now),
    )


def build_record(
    admitted: Admitted,
    fields: bytes,
    *,
    network: str,
    document_id: DocumentId,
    number: GivenNumber | None = None,
) -> Record:
    """Builds the record of a document from the fields that the office gave.

    With a number that was given here it gets that, and its day of issue. Without ``document_code``
    it gets the one that edXML would give it, when it has what that needs.

    Raises:
        RecordInvalidError: A field is unknown, has a value outside its limits, or may not be
            given.
        NotCanonicalError: A text is not in Unicode form C or has a forbidden character.
        LimitExceededError: The record is larger than 4 MiB.
    """
    given = decoded_fields(fields)
    if number is not None:
        given |= {"number": str(number.number), "issued_date": number.issued_date}
    given["issuer"] = given.get("issuer") or {
        "code": admitted.sender,
        "name": admitted.sender_name,
    }
    if "document_code" not in given and (code := official_code(given)):
        given["document_code"] = code
    given["network"] = network
    given["document_id"] = uuid_text(document_id)
    given["recipients"] = [recipient.code for recipient in admitted.recipients]
    given["type"] = "edoc.document/v1"
    try:
        record = converted(given, DocumentRecord)
        data = canonical.encode(record, limit=canonical.MAX_RECORD_BYTES)
    except msgspec.ValidationError as error:
        raise field_refused(error) from error
    except NotCanonicalError as error:
        raise text_refused(given) or error from error
    except StatementTooLargeError as error:
        raise record_too_large(len(fields)) from error
    if day := impossible_day(record):
        raise no_such_day(day)
    if admitted.header.operation is not Operation.NEW:
        _check_change(admitted.header, record)
    return Record(data=data, listing=document_listing(record))


def build_submission(
    admitted: Admitted,
    record: Record,
    digests: Sequence[bytes],
    *,
    fields_digest: bytes,
    document_id: DocumentId,
    message_ids: Sequence[MessageId],
    inline: bytes,
    number: GivenNumber | None = None,
) -> Submission:
    """Joins what was admitted with the content that came.

    Args:
        digests: SHA-256 of each declared part, in order.
        fields_digest: SHA-256 of the fields as the office gave them.
        message_ids: One for each recipient, in order.
        inline: Bytes of all parts up to ``INLINE_PART_BYTES``, the record first.
    """
    header = admitted.header
    parts = [
        Part(
            index=index,
            name=part.name,
            media_type=part.media_type,
            size=part.size,
            sha256=digest.hex(),
        )
        for index, (part, digest) in enumerate(zip(admitted.parts, digests, strict=True), start=1)
    ]
    deliveries = [
        NewDelivery(message_id=message_id, recipient=recipient.code, to_node=recipient.to_node)
        for message_id, recipient in zip(message_ids, admitted.recipients, strict=True)
    ]
    return Submission(
        request_id=header.request_id,
        request_hash=_request_hash(admitted, digests, fields_digest),
        document_id=document_id,
        sender=admitted.sender,
        urgency=header.urgency,
        operation=header.operation,
        about=None,
        parts=(record.part, *parts),
        inline=inline,
        listing=record.listing,
        created=admitted.created,
        expires=admitted.expires,
        deliveries=tuple(deliveries),
        send_at=header.send_at,
        number=number,
    )


def spellings(code: str, directory: "Directory") -> tuple[str, ...]:
    """All spellings of a code, old and new, to look documents up by; none for no code.

    Raises:
        AgencyUnknownError: It is not in the directory.
    """
    if not code:
        return ()
    found = directory.agency(code)
    return tuple(dict.fromkeys((found.code, *found.aliases, code)))


def is_inline(size: int) -> bool:
    """Whether a part of so many bytes lies with its document instead of in the blob folder."""
    return size <= INLINE_PART_BYTES


def _check_change(header: SubmitHeader, record: DocumentRecord) -> None:
    """Checks that a later document says why it comes, and of a replacement what it replaces."""
    if not record.reason or len(record.reason.strip()) < MIN_REASON:
        raise RequestInvalidError(
            f"A changed document needs a reason of {MIN_REASON} characters or more.",
            hint="Say in a sentence why it changes: --reason TEXT.",
        )
    named = {item.document_id for item in record.replaces or ()}
    if header.operation is Operation.REPLACE and header.earlier not in named:
        raise RequestInvalidError(
            f"The record of a replacement names what it replaces, here {header.earlier}.",
            hint="Add the earlier document to its field `replaces`.",
        )


def _check_form(header: SubmitHeader) -> None:
    if not _REQUEST_ID.fullmatch(header.request_id):
        raise RequestInvalidError(
            "The request id must be 1 to 64 letters, digits, dots, hyphens or underscores."
        )
    if not header.recipients:
        raise RequestInvalidError("No recipient was given.", hint="Add --to CODE.")
    if len(header.recipients) > MAX_RECIPIENTS:
        raise LimitExceededError(
            f"The document has {len(header.recipients)} recipients; at most {MAX_RECIPIENTS} are "
            "allowed in one request."
        )
    if len(header.parts) > MAX_PARTS - 1:
        raise LimitExceededError(
            f"The document has {len(header.parts)} parts; at most {MAX_PARTS - 1} are allowed.",
            hint="Put several files into one archive, or send two documents.",
        )
    check_parts(header.parts, encrypt=header.encrypt)
    if header.record_size > canonical.MAX_RECORD_BYTES:
        raise record_too_large(header.record_size)


def _sender(code: str, directory: "Directory", agency: str, now: datetime) -> str:
    found = directory.agency(code)
    if found.owner == agency and found.has_ended(now):
        raise own_end(directory, agency)
    if found.owner != agency:
        raise FromNotOwnedError(
            f"This node belongs to {agency} and does not serve {code}.",
            hint="Leave out --from, or use a code that the directory lists for this agency.",
            agency=agency,
            code=code,
        )
    return found.code


def _recipients(
    codes: Sequence[str], directory: "Directory", now: datetime
) -> tuple[Recipient, ...]:
    found: dict[str, Recipient] = {}
    for code in codes:
        agency = directory.agency(code)
        if agency.code in found:
            raise RequestInvalidError(f"The recipient {agency.code} is named twice.")
        to_node = directory.node_of(code, now)
        entry = directory.identities.get(to_node)
        if entry is None or not entry.seals:
            raise AgencyInactiveError(
                f"The agency {to_node} has no node yet, so nothing can be sent to {code}.",
                hint="Ask it to join the network; then send again.",
                code=code,
            )
        found[agency.code] = Recipient(code=agency.code, to_node=to_node)
    return tuple(found.values())


def _typed(part: DeclaredPart) -> DeclaredPart:
    if part.size > MAX_PART_BYTES:
        raise LimitExceededError(f"The part {part.name!r} is larger than {MAX_PART_BYTES} bytes.")
    media_type = part.media_type or media_type_of(part.name)
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise RequestInvalidError(
            f"The media type {media_type[:80]!r} of part {part.name!r} is not one.",
            hint="Write it like application/pdf, in lower case, without parameters.",
        )
    return DeclaredPart(name=part.name, media_type=media_type, size=part.size)


def _expiry(header: SubmitHeader, now: datetime) -> datetime:
    """When delivery is given up: counted from the moment it begins, bounded from now on.

    Source: proto/README.md, check 8: an envelope expires within 90 days of its creation.
    """
    lifetime = DEFAULT_LIFETIME if header.lifetime is None else header.lifetime
    if header.send_at is not None and header.send_at <= now:
        raise SendTimePastError(
            f"The document is to be sent at {time_text(header.send_at)}, which is past.",
            hint="Leave out --send-at to send it now.",
        )
    expires = (header.send_at or now) + lifetime
    if header.send_at is not None and expires > now + MAX_LIFETIME:
        raise RequestInvalidError(
            f"Sent at {time_text(header.send_at)}, the document would be delivered until "
            f"{time_text(expires)}; that is more than {MAX_LIFETIME.days} days from now.",
            hint=f"Let it be sent by {time_text(now + MAX_LIFETIME - lifetime)}.",
        )
    if not now < expires <= now + MAX_LIFETIME:
        raise RequestInvalidError(
            f"Delivery would be given up at {time_text(expires)}; it must be in the future and "
            f"at most {MAX_LIFETIME.days} days away."
        )
    return expires


def decoded_fields(fields: bytes) -> dict[str, object]:
    """The fields of a record as an office gave them, unchecked.

    Raises:
        RecordInvalidError: They are no JSON object, or name one that the node fills in.
    """
    try:
        given = msgspec.json.decode(fields, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordInvalidError(f"The fields of the record cannot be read: {error}.") from error
    surplus = sorted(_FILLED_IN & given.keys())
    if surplus:
        raise RecordInvalidError(
            f"The field {surplus[0]} is filled in by the node and must not be given.",
            field=surplus[0],
        )
    return given


def _request_hash(admitted: Admitted, digests: Sequence[bytes], fields_digest: bytes) -> bytes:
    """Digest over everything that the office chose; the same request has the same.

    Of parts that are encrypted it is over their content: encrypted again they have other bytes.

    Args:
        digests: SHA-256 of the content of each part, in order.
        fields_digest: SHA-256 of the fields of the record as they came.
    """
    header = admitted.header
    request = (
        admitted.sender,
        [recipient.code for recipient in admitted.recipients],
        header.urgency,
        fields_digest.hex(),
        -1 if header.lifetime is None else int(header.lifetime.total_seconds()),
        "" if header.send_at is None else time_text(header.send_at),
        header.number_here,
        *((header.operation, header.earlier) if header.earlier else ()),
        *(("encrypt",) if header.encrypt else ()),
        [
            (part.name, part.media_type, part.size, digest.hex())
            for part, digest in zip(admitted.parts, digests, strict=True)
        ],
    )
    return sha256(msgspec.json.encode(request)).digest()
