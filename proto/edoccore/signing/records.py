"""Part 0 of an envelope: the record of a document, a status or a revocation.

Field names follow Decree 30/2020, Appendix VI, part II, and edXML (QCVN 102:2016); what a bridge
finds beyond them goes into ``extensions``. Only ``subject`` must be given. At most 4 MiB.

Source: proto/README.md, section Records.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from edoccore.signing.statements import (
    MAX_SUBJECT,
    Code,
    Count,
    Date,
    Sha256,
    Statement,
    Text,
    Time,
    Uuid,
)

MAX_RECIPIENTS = 5000  # of one document; all agencies of the country are about 3,500

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Short = Annotated[str, Meta(min_length=1, max_length=100)]
Long = Annotated[str, Meta(min_length=1, max_length=500)]


class _Shape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A group of fields inside a record."""


class Office(_Shape, frozen=True, kw_only=True):
    """An organisation as the document names it.

    Attributes:
        parent: Name of the organisation in charge of it.
    """

    code: Code
    name: Name | UnsetType = UNSET
    parent: Name | UnsetType = UNSET
    address: Long | UnsetType = UNSET
    email: Short | UnsetType = UNSET
    phone: Short | UnsetType = UNSET
    fax: Short | UnsetType = UNSET
    website: Name | UnsetType = UNSET


class SignerInfo(_Shape, frozen=True, kw_only=True):
    """Who signed the document; Decree 30/2020, Article 13."""

    authority: Short | UnsetType = UNSET  # TM., KT., TL., TUQ. ...
    position: Short | UnsetType = UNSET
    full_name: Short | UnsetType = UNSET


class DocumentReference(_Shape, frozen=True, kw_only=True):
    """An earlier document that this one answers or refers to."""

    document_id: Uuid | UnsetType = UNSET
    document_code: Name | UnsetType = UNSET
    agency: Code | UnsetType = UNSET
    number: Short | UnsetType = UNSET
    notation: Short | UnsetType = UNSET
    issued_date: Date | UnsetType = UNSET


class TraceHop(_Shape, frozen=True, kw_only=True):
    """A system that the document passed before it entered the exchange."""

    agency: Code
    time: Time


class Staff(_Shape, frozen=True, kw_only=True):
    """The person who acts for an agency."""

    full_name: Short | UnsetType = UNSET
    staff_id: Short | UnsetType = UNSET
    department: Name | UnsetType = UNSET
    department_id: Short | UnsetType = UNSET
    email: Short | UnsetType = UNSET
    phone: Short | UnsetType = UNSET


class DossierFile(_Shape, frozen=True, kw_only=True):
    """The file of records that a document belongs to (FileCode); Decree 30/2020, Appendix VI.

    Attributes:
        ordinal: Place of the document in the file.
    """

    agency: Code | UnsetType = UNSET
    year: Annotated[int, Meta(ge=1900, le=9999)] | UnsetType = UNSET
    notation: Annotated[str, Meta(min_length=1, max_length=20)] | UnsetType = UNSET
    ordinal: Annotated[int, Meta(ge=1, le=999)] | UnsetType = UNSET


class Change(StrEnum):
    """How an update changes the recipients of a document."""

    ADDED = "added"
    REMOVED = "removed"


class RecipientChange(_Shape, frozen=True, kw_only=True):
    """A recipient that an update adds or removes."""

    code: Code
    change: Change


class Extension(_Shape, frozen=True, kw_only=True):
    """A field that this version has no name for; kept and passed on as it is."""

    name: Name
    value: Annotated[str, Meta(max_length=65536)]


class DocumentRecord(Statement, frozen=True, kw_only=True, tag="edoc.document/v1"):
    """All official metadata of a document.

    Texts have the lengths of Decree 30/2020, Appendix VI, but for four that real documents and
    edXML go beyond, so that holding to them would refuse what is lawful: ``full_name`` of the
    signer (50; a joint document has several signers there), ``to_places`` (1000 in all; 3,000
    communes do not fit), ``page_count`` and ``issued_count`` (999). Commands remark on them.

    Attributes:
        document_id: As in the envelope.
        document_code: Official identifier of Decision 28/2018, Article 10(b), or of edXML.
        document_type: Abbreviation or name of the type (Decree 30/2020, Appendix III).
        recipients: All codes the sender addressed, so that each sees the circulation.
        to_places: The lines under "Nơi nhận".
        copy_form: SY, TrS or SL when it is a copy of a paper (Decree 30/2020, Appendix III).
        deliver_by: With ``hoa_toc``: when it must be in the recipient's hands.
        replaces: Earlier documents that this one stands in place of (operation ``replace``).
        corrects: Earlier documents whose form or procedure this letter corrects (Article 18).
        recipient_changes: With operation ``update``: who was added and removed.
        reason: Why, with operations ``update`` and ``replace``.
    """

    document_id: Uuid
    issuer: Office
    subject: Annotated[str, Meta(min_length=1, max_length=MAX_SUBJECT)]
    document_code: Name | UnsetType = UNSET
    number: Annotated[str, Meta(min_length=1, max_length=11)] | UnsetType = UNSET
    notation: Annotated[str, Meta(min_length=1, max_length=30)] | UnsetType = UNSET
    document_type: Short | UnsetType = UNSET
    issued_date: Date | UnsetType = UNSET
    issued_place: Short | UnsetType = UNSET
    content: Annotated[str, Meta(min_length=1, max_length=10_000)] | UnsetType = UNSET
    signer: SignerInfo | UnsetType = UNSET
    due_date: Date | UnsetType = UNSET
    deliver_by: Time | UnsetType = UNSET
    dossier_file: DossierFile | UnsetType = UNSET
    copy_form: Short | UnsetType = UNSET
    language: Annotated[str, Meta(min_length=1, max_length=30)] | UnsetType = UNSET
    description: Long | UnsetType = UNSET
    page_count: Count | UnsetType = UNSET
    issued_count: Count | UnsetType = UNSET
    recipients: (
        Annotated[tuple[Code, ...], Meta(min_length=1, max_length=MAX_RECIPIENTS)] | UnsetType
    ) = UNSET
    to_places: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    appendices: Annotated[tuple[Long, ...], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    in_reply_to: (
        Annotated[tuple[DocumentReference, ...], Meta(min_length=1, max_length=1000)] | UnsetType
    ) = UNSET
    references: (
        Annotated[tuple[DocumentReference, ...], Meta(min_length=1, max_length=1000)] | UnsetType
    ) = UNSET
    replaces: (
        Annotated[tuple[DocumentReference, ...], Meta(min_length=1, max_length=1000)] | UnsetType
    ) = UNSET
    corrects: (
        Annotated[tuple[DocumentReference, ...], Meta(min_length=1, max_length=1000)] | UnsetType
    ) = UNSET
    recipient_changes: (
        Annotated[tuple[RecipientChange, ...], Meta(min_length=1, max_length=MAX_RECIPIENTS)]
        | UnsetType
    ) = UNSET
    circulation_scope: Short | UnsetType = UNSET
    typist: Short | UnsetType = UNSET
    is_direction: bool | UnsetType = UNSET
    task_code: Short | UnsetType = UNSET
    steering_type: Count | UnsetType = UNSET
    application: Short | UnsetType = UNSET
    paper_also_sent: bool | UnsetType = UNSET
    reason: Text | UnsetType = UNSET
    staff: Staff | UnsetType = UNSET
    trace: Annotated[tuple[TraceHop, ...], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    extensions: (
        Annotated[tuple[Extension, ...], Meta(min_length=1, max_length=1000)] | UnsetType
    ) = UNSET


class DocumentState(StrEnum):
    """Where a received document stands at the recipient; Decision 28/2018, Article 10(h)."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    ASSIGNED = "assigned"
    PROCESSING = "processing"
    FINISHED = "finished"
    REJECTED = "rejected"
    REVOKED = "revoked"


class StatusStep(StrEnum):
    """What a recipient did with a document, or with what its sender asked of it later.

    ``received`` takes a rejection back that no person had decided: the document is looked at.

    Source: edXML status codes (see ``STEP_CODES``); Decision 28/2018, Articles 9 and 10(h).
    """

    RECEIVED = "received"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    ASSIGNED = "assigned"
    PROCESSING = "processing"
    FINISHED = "finished"
    AGREED = "agreed"
    DECLINED = "declined"


STEP_CODES = {
    StatusStep.RECEIVED: "01",
    StatusStep.REJECTED: "02",
    StatusStep.ACCEPTED: "03",
    StatusStep.ASSIGNED: "04",
    StatusStep.PROCESSING: "05",
    StatusStep.FINISHED: "06",
    StatusStep.AGREED: "15",
    StatusStep.DECLINED: "16",
}  # the receipt is 01 too, a revocation 13 (take back)


class StatusRecord(Statement, frozen=True, kw_only=True, tag="edoc.status/v1"):
    """What the recipient did with a document, told to its sender.

    Attributes:
        document_id: The document the status is about.
        envelope: SHA-256 of the envelope it arrived in, or, when the revocation came first, that
            the revocation names.
        answers: SHA-256 of the envelope of the revocation, update or replacement that is agreed to
            or declined; only then.
        step: What was done.
        state: Where the document stands after it.
        order: 1, 2, ... over all steps of this envelope at this recipient: what counts when
            statuses arrive in another order.
        actor: Person or system that decided.
        assignee: Unit or person it was given to, with ``assigned``.
        code: Reason code, with ``rejected`` and ``declined``.
        reason: Text for the sender, with ``rejected`` and ``declined``; at least 10 characters.
        still_held: With ``agreed`` to a revocation: which copies could not be destroyed, such as
            backups and archive locks.
    """

    document_id: Uuid
    envelope: Sha256
    answers: Sha256 | UnsetType = UNSET
    step: StatusStep
    state: DocumentState
    order: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]
    actor: Annotated[str, Meta(min_length=1, max_length=200)]
    time: Time
    staff: Staff | UnsetType = UNSET
    assignee: Name | UnsetType = UNSET
    code: Short | UnsetType = UNSET
    reason: Text | UnsetType = UNSET
    still_held: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=100)] | UnsetType = UNSET


class RevocationRecord(Statement, frozen=True, kw_only=True, tag="edoc.revocation/v1"):
    """The sender takes a document back; the recipient destroys it and says so.

    Attributes:
        document_id: The document taken back.
        envelope: SHA-256 of the envelope it was sent in, to this recipient.
        actor: Who took it back.
        reason: For the recipient to read; at least 10 characters.

    Source: Decision 28/2018, Articles 8 and 9; Decree 30/2020, Article 18.
    """

    document_id: Uuid
    envelope: Sha256
    actor: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Text
    time: Time
    staff: Staff | UnsetType = UNSET
