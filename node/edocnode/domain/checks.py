"""The numbered checks of a parcel that arrives; the numbers are those of proto/README.md.

Checks 1 to 5 (bytes, network, certificate, signature, membership) are ``edoccore.signing.seal``'s;
here are 6 to 12. A check that fails raises the error whose ``answer`` says how the sender is told:
``refused`` and ``try_later`` leave nothing behind; ``rejected`` is raised only after the seal was
verified and only for facts that no waiting, newer directory or right clock can change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from edoccore.agency_errors import AgencyEndedError
from edoccore.errors import (
    ClockSkewError,
    DirectoryBehindError,
    EdocError,
    EnvelopeExpiredError,
    FromNotOwnedError,
    LimitExceededError,
    NotCanonicalError,
    PartDigestError,
    RecipientNotHereError,
    RecordInvalidError,
    SealInvalidError,
    StatementTooLargeError,
    StatementTypeError,
    WrongNetworkError,
)
from edoccore.signing import canonical
from edoccore.signing.days import impossible_day, is_day
from edoccore.signing.digests import digest_of
from edoccore.signing.part_names import check_part_names
from edoccore.signing.records import (
    DocumentRecord,
    DocumentReference,
    RevocationRecord,
    StatusRecord,
)
from edoccore.signing.statements import (
    MAX_PARTS,
    DirectoryMark,
    Envelope,
    Operation,
    Part,
    Seal,
    parse_time,
)

MAX_SKEW = timedelta(minutes=5)  # a later "created" means that one of the clocks is wrong
MAX_LIFE = timedelta(days=90)  # between created and expires
REPLACES, CORRECTS = "replaces", "corrects"  # what a listing names besides what lists show
DELIVER_BY = "deliver_by"  # likewise, of the few documents whose sender names a time
MIN_REASON = 10  # characters for the other side to read

_RECORDS: Mapping[Operation, type[DocumentRecord | StatusRecord | RevocationRecord]] = {
    Operation.STATUS: StatusRecord,
    Operation.REVOKE: RevocationRecord,
}  # all others carry a document


NEW_DOCUMENTS = (Operation.NEW, Operation.REPLACE)  # others speak of an earlier one


class Addressing(Protocol):
    """What the checks ask of the directory in force."""

    @property
    def mark(self) -> DirectoryMark:
        """Version and hash of the snapshot."""

    def owns(self, owner: str, code: str) -> bool:
        """Whether ``code`` is ``owner`` itself or one of the codes listed for it."""

    def accepts(self, owner: str, code: str, at: datetime) -> bool:
        """Whether ``owner`` serves ``code`` then: directly, by alias or by succession."""

    def end_of(self, owner: str) -> datetime | None:
        """When an agency ends or ended; None: nothing is decided."""

    def how_it_ended(self, owner: str) -> str:
        """What became of an agency that ends, as a clause with its successors."""

    def is_closed(self, code: str) -> bool:
        """Whether a code ended while its owner went on; what speaks of earlier goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where and when a parcel is judged.

    Attributes:
        agency: Owning agency of this node.
        peer: Agency of the TLS certificate at the other end.
        now: Aware, UTC.
    """

    network: str
    agency: str
    peer: str
    directory: Addressing
    now: datetime


def check_envelope(data: bytes, seal: Seal, standing: Standing) -> Envelope:
    """Runs checks 1, 6, 7 and 8 on an envelope whose seal and membership were verified.

    Raises:
        NotCanonicalError, StatementTooLargeError, StatementTypeError: Check 1.
        FromNotOwnedError, DirectoryBehindError, SealInvalidError, AgencyEndedError: Check 6.
        RecipientNotHereError, DirectoryBehindError: Check 7.
        ClockSkewError, EnvelopeExpiredError, LimitExceededError: Check 8.
    """
    envelope = canonical.decode(data, Envelope)  # check 1
    _check_sender(envelope, seal, standing)  # check 6
    _check_recipient(envelope, seal, standing)  # check 7
    _check_times(envelope, standing.now)  # check 8
    return envelope


def check_content(envelope: Envelope, standing: Standing) -> None:
    """Runs checks 2 and 9, whose failure is rejected under seal.

    Raises:
        WrongNetworkError: Check 2.
        RecordInvalidError: Check 9, parts are not numbered 0, 1, 2, ...
        PartNameError: Check 9.
    """
    if envelope.network != standing.network:  # check 2
        raise WrongNetworkError(
            f"Envelope {envelope.message_id} was made for network {envelope.network}.",
            message_id=envelope.message_id,
        )
    if [part.index for part in envelope.parts] != list(range(len(envelope.parts))):  # check 9
        raise RecordInvalidError(
            f"The parts of envelope {envelope.message_id} are not numbered from 0 without gaps.",
            message_id=envelope.message_id,
        )
    check_part_names([part.name for part in envelope.parts])


def check_part(part: Part, data: bytes, message_id: str) -> None:
    """Runs check 10 on the bytes of one part.

    Raises:
        PartDigestError: Size or digest differ from what the envelope states.
    """
    if len(data) != part.size or digest_of(data).hex() != part.sha256:
        raise PartDigestError(
            f"Part {part.index} ({part.name}) of message {message_id} arrived with other bytes "
            f"than its envelope states.",
            message_id=message_id,
        )


def split_parts(parts: Sequence[Part], joined: bytes, message_id: str) -> list[bytes]:
    """Cuts joined parts and runs check 10 on each.

    Raises:
        PartDigestError: Too few or too many bytes, or a digest differs.
    """
    if sum(part.size for part in parts) != len(joined):
        raise PartDigestError(
            f"The parts of message {message_id} came with {len(joined)} bytes instead of "
            f"{sum(part.size for part in parts)}.",
            message_id=message_id,
        )
    pieces = []
    offset = 0
    for part in parts:
        piece = joined[offset : offset + part.size]
        check_part(part, piece, message_id)
        pieces.append(piece)
        offset += part.size
    return pieces


def read_record(envelope: Envelope, record: bytes) -> Mapping[str, str]:
    """Runs check 11 and returns what lists show of the record.

    Raises:
        RecordInvalidError: Not canonical, of the wrong type, or about another document.
    """
    kind = _RECORDS.get(envelope.operation, DocumentRecord)
    try:
        value = canonical.decode(record, kind, limit=canonical.MAX_RECORD_BYTES)
    except (NotCanonicalError, StatementTooLargeError, StatementTypeError) as error:
        raise RecordInvalidError(
            f"The record of message {envelope.message_id} cannot be read: {error.message}",
            message_id=envelope.message_id,
        ) from error
    if value.network != envelope.network:
        raise _record_disagrees(envelope, "network")
    if value.document_id != envelope.document_id:
        raise _record_disagrees(envelope, "document_id")
    if isinstance(value, DocumentRecord):
        if impossible_day(value):
            raise _no_such_moment(envelope)
        return document_listing(value)
    if value.envelope != envelope.about:
        raise _record_disagrees(envelope, "envelope")
    _check_moment(envelope, value.time)
    if isinstance(value, StatusRecord):
        return _status_listing(value)
    if len(value.reason.strip()) < MIN_REASON:
        raise RecordInvalidError(
            f"The revocation in message {envelope.message_id} gives no reason of {MIN_REASON} "
            "characters.",
            message_id=envelope.message_id,
        )
    return _revocation_listing(value)


def is_same_document(one: Envelope, other: Envelope) -> bool:
    """Whether two envelopes of one message id differ in nothing but epoch, seq and created.

    Then they carry the same document, sealed anew after a restore or with a newer key.
    """
    return one == msgspec.structs.replace(other, epoch=one.epoch, seq=one.seq, created=one.created)


def document_listing(record: DocumentRecord) -> dict[str, str]:
    """What lists and searches show of a document; absent fields are left out.

    ``issuer`` is there with number and notation alone, which make it tell documents apart.
    """
    fields = {
        "subject": record.subject,
        "number": record.number,
        "notation": record.notation,
        "document_type": record.document_type,
        "document_code": record.document_code,
        "issued_date": record.issued_date,
        "due_date": record.due_date,
        "issuer": record.issuer.code if record.number and record.notation else UNSET,
        "reason": record.reason,
        REPLACES: _named(record.replaces),
        CORRECTS: _named(record.corrects),
        DELIVER_BY: record.deliver_by,
    }
    return {name: value for name, value in fields.items() if value is not UNSET}


def _named(references: tuple[DocumentReference, ...] | UnsetType) -> str | UnsetType:
    """The documents of this exchange that references name, one after another."""
    if references is UNSET:
        return UNSET
    return " ".join(item.document_id for item in references if item.document_id) or UNSET


def is_sealed_answer(error: EdocError) -> bool:
    """Whether the sender is told of this error under seal (and it is remembered)."""
    return error.answer is not None and error.answer.value == "rejected"


def _status_listing(record: StatusRecord) -> dict[str, str]:
    held = record.still_held
    fields = {
        "document_id": record.document_id,
        "envelope": record.envelope,
        "answers": record.answers,
        "step": record.step.value,
        "state": record.state.value,
        "order": str(record.order),
        "actor": record.actor,
        "time": record.time,
        "assignee": record.assignee,
        "code": record.code,
        "reason": record.reason,
        "still_held": UNSET if held is UNSET else msgspec.json.encode(held).decode(),
    }
    return {name: value for name, value in fields.items() if value is not UNSET}


def _revocation_listing(record: RevocationRecord) -> dict[str, str]:
    return {
        "document_id": record.document_id,
        "envelope": record.envelope,
        "actor": record.actor,
        "reason": record.reason,
        "time": record.time,
    }


def _check_sender(envelope: Envelope, seal: Seal, standing: Standing) -> None:
    if seal.signer != standing.peer:
        raise FromNotOwnedError(
            f"{standing.peer} delivered an envelope that {seal.signer} sealed; an agency delivers "
            f"only its own.",
            agency=standing.peer,
            message_id=envelope.message_id,
        )
    if not _speaks_for(envelope, seal.signer, standing):
        _need_newer_directory(seal, standing)
        raise FromNotOwnedError(
            f"{seal.signer} sealed an envelope from {envelope.from_}, which it does not own.",
            agency=seal.signer,
            message_id=envelope.message_id,
        )
    _check_life(envelope, seal, standing)
    if envelope.epoch > seal.epoch:
        raise SealInvalidError(
            f"Envelope {envelope.message_id} names a later epoch than the seal over it.",
            message_id=envelope.message_id,
        )


def _speaks_for(envelope: Envelope, signer: str, standing: Standing) -> bool:
    """Whether the signer may say this: for its own codes anything, as a successor what was done.

    A document that was addressed to an agency that has ended is dealt with by its successor.
    """
    if standing.directory.owns(signer, envelope.from_):
        return True
    is_answer = envelope.operation is Operation.STATUS
    return is_answer and standing.directory.accepts(signer, envelope.from_, standing.now + MAX_SKEW)


def _check_life(envelope: Envelope, seal: Seal, standing: Standing) -> None:
    """After its end an agency only answers: what it says new was sealed before."""
    end = standing.directory.end_of(seal.signer)
    if end is None or envelope.operation is Operation.STATUS or parse_time(seal.time) < end:
        return
    raise AgencyEndedError(
        f"Envelope {envelope.message_id} was sealed at {seal.time}, when its agency had ended: "
        f"{standing.directory.how_it_ended(seal.signer)}.",
        agency=seal.signer,
        message_id=envelope.message_id,
    )


def _check_recipient(envelope: Envelope, seal: Seal, standing: Standing) -> None:
    at = standing.now + MAX_SKEW  # by the sender's clock a succession may have begun
    is_served = standing.directory.accepts(standing.agency, envelope.to, at)
    if is_served and envelope.operation in NEW_DOCUMENTS:
        is_served = not standing.directory.is_closed(envelope.to)
    if is_served:
        return
    _need_newer_directory(seal, standing)
    raise RecipientNotHereError(
        f"{envelope.to} is not served by the node of {standing.agency}.",
        agency=envelope.to,
        message_id=envelope.message_id,
    )


def _need_newer_directory(seal: Seal, standing: Standing) -> None:
    """A newer directory may know better: wait for it instead of refusing for ever."""
    if seal.directory.version > standing.directory.mark.version:
        raise DirectoryBehindError(
            f"{seal.signer} holds directory {seal.directory.version}, this node "
            f"{standing.directory.mark.version}; it is being fetched.",
            agency=seal.signer,
        )


def _check_times(envelope: Envelope, now: datetime) -> None:
    try:
        created, expires = parse_time(envelope.created), parse_time(envelope.expires)
    except ValueError as error:
        raise NotCanonicalError(
            f"Envelope {envelope.message_id} names a day or hour that does not exist.",
            message_id=envelope.message_id,
        ) from error
    if created > now + MAX_SKEW:
        raise ClockSkewError(
            f"Envelope {envelope.message_id} was created at {envelope.created}, which is in the "
            f"future here; compare the clocks of both nodes.",
            message_id=envelope.message_id,
        )
    if not created < expires <= created + MAX_LIFE or len(envelope.parts) > MAX_PARTS:
        raise LimitExceededError(
            f"Envelope {envelope.message_id} has {len(envelope.parts)} parts and lives from "
            f"{envelope.created} to {envelope.expires}; allowed are {MAX_PARTS} parts and "
            f"{MAX_LIFE.days} days.",
            message_id=envelope.message_id,
        )
    if not envelope.parts:
        raise NotCanonicalError(
            f"Envelope {envelope.message_id} has no record.", message_id=envelope.message_id
        )
    if expires <= now:
        raise EnvelopeExpiredError(
            f"Envelope {envelope.message_id} ended at {envelope.expires}.",
            message_id=envelope.message_id,
        )


def _check_moment(envelope: Envelope, time: str) -> None:
    if not is_day(time):
        raise _no_such_moment(envelope)


def _no_such_moment(envelope: Envelope) -> RecordInvalidError:
    return RecordInvalidError(
        f"The record of message {envelope.message_id} names a day or hour that does not exist.",
        message_id=envelope.message_id,
    )


def _record_disagrees(envelope: Envelope, field: str) -> RecordInvalidError:
    return RecordInvalidError(
        f"The record of message {envelope.message_id} has another {field} than its envelope.",
        message_id=envelope.message_id,
    )
