"""Part 0 of an envelope: the record of a document or of a status, same bytes for all recipients.

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
    """An organisation as the document names it."""

    code: Code
    name: Name | UnsetType = UNSET


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
    department: Name | UnsetType = UNSET
    email: Short | UnsetType = UNSET
    phone: Short | UnsetType = UNSET


class Extension(_Shape, frozen=True, kw_only=True):
    """A field that this version has no name for; kept and passed on as it is."""

    name: Name
    value: Annotated[str, Meta(max_length=65536)]


class DocumentRecord(Statement, frozen=True, kw_only=True, tag="edoc.document/v1"):
    """All official metadata of a document.

    Attributes:
        document_id: As in the envelope.
        document_code: Official identifier of Decision 28/2018, Article 10(b), or of edXML.
        document_type: Abbreviation or name of the type (Decree 30/2020, Appendix III).
        recipients: All codes the sender addressed, so that each sees the circulation.
        to_places: The lines under "Nơi nhận".
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
    language: Short | UnsetType = UNSET
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


class StatusRecord(Statement, frozen=True, kw_only=True, tag="edoc.status/v1"):
    """What the recipient did with a document, told to its sender.

    Attributes:
        document_id: The document the status is about.
        envelope: SHA-256 of the envelope it arrived in.
        state: The state now reached.
        actor: Person or system that decided.
        code: Reason code, with ``rejected``.
        reason: Text for the sender, with ``rejected``; at least 10 characters.
    """

    document_id: Uuid
    envelope: Sha256
    state: DocumentState
    actor: Annotated[str, Meta(min_length=1, max_length=200)]
    time: Time
    code: Short | UnsetType = UNSET
    reason: Text | UnsetType = UNSET
