"""What an edXML package means to the exchange: an action, its document, its attachments."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from edoccore.signing.statements import Urgency
from edocnode.edxml.attachments import Content
from edocnode.edxml.findings import Finding, Severity

Fields = dict[str, Any]  # of a record, as JSON has them


class ActionKind(StrEnum):
    """What a package asks of a node; ``BussinessDocType`` 0, 1, 2, 3, or a status message."""

    NEW = "new"
    REVOKE = "revoke"
    UPDATE = "update"
    REPLACE = "replace"
    STATUS = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file of the document.

    Attributes:
        media_type: Empty: by the ending of the name.
    """

    name: str
    media_type: str
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An earlier document that a package speaks of.

    Attributes:
        receiver: Whom it concerns; empty: all who have the document.
        document_code: As its ``DocumentId`` names it.
        receivers: For whom it is replaced; empty: all to whom the package goes.
        line: Where the package names it; 0: nowhere in particular.
    """

    receiver: str
    document_code: str
    number_and_notation: str = ""
    issued_date: str = ""
    receivers: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMessage:
    """What a receiver tells the sender of a document.

    Attributes:
        target: The document; ``receiver`` is the agency that sent it.
        sender: Who tells, as ``edoccore.signing.records.Office`` has it.
        code: ``01`` to ``16``.
        time: With a zone; None: not told, or not readable.
        staff: As ``edoccore.signing.records.Staff`` has it.
    """

    target: Target
    sender: Fields
    code: str
    description: str
    time: datetime | None
    staff: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeAction:
    """What is to be done, in no system's own words.

    Attributes:
        sender: Code the package names as its sender.
        recipients: Codes it is addressed to.
        fields: Of the record, for the office service; empty with a status.
        targets: Earlier documents that are revoked, updated or replaced.
        status: With kind ``status`` alone.
        line: Of the header, where it says to whom it goes.
    """

    kind: ActionKind
    sender: str
    recipients: tuple[str, ...]
    urgency: Urgency
    fields: Fields
    targets: tuple[Target, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    status: StatusMessage | None = None
    line: int = 0

    @property
    def reason(self) -> str:
        """Why, as the package says; may be empty."""
        return str(self.fields.get("reason", ""))

    @property
    def document_code(self) -> str:
        """The package's own ``DocumentId``; empty when it has none."""
        return str(self.fields.get("document_code", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A package that was read and what was found in it.

    Attributes:
        action: None when an error keeps it from being known.
        signature: What is known of its XML signature, a word of ``signing.Verdict``.
        sha256: Of the file, lower hex.
    """

    action: BridgeAction | None
    findings: tuple[Finding, ...]
    namespace: str
    size: int
    sha256: str
    signature: str = "none"
    signer: str = ""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What keeps it from being handed in."""
        return tuple(item for item in self.findings if item.severity is Severity.ERROR)


@dataclass(slots=True)
class Notes:
    """Collects findings and where fields came from while a package is read."""

    findings: list[Finding] = field(default_factory=list)
    places: dict[str, tuple[int, str]] = field(default_factory=dict)  # field -> line, element
