"""Makes edXML packages of documents that a running node has, and of what became of them.

A document that was updated is several packages, one for each version: the first is the document,
each later one an update (``BussinessDocType`` 2) of the version before it.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edoccore.signing.statements import Urgency
from edocnode.app.edxml_targets import Targets
from edocnode.edxml.bounds import BOUNDS
from edocnode.edxml.document_types import DocumentTypes
from edocnode.edxml.model import ActionKind, Fields, StatusMessage, Target
from edocnode.edxml.signing import sign_package
from edocnode.edxml.statuses import words
from edocnode.edxml.values import identifier, parse_moment
from edocnode.edxml.writing import Exporting, OutFile, Write, write_package
from edocnode.rpc.office_client import OfficeClient

_FILLED_IN = ("type", "network", "document_id", "recipients")
_STAFF_NAME = 100  # characters; edoccore.signing.records
_AGREED = ("in_force", "superseded")  # versions that are or were the document


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One version of a document, as it came here or was sent from here.

    Attributes:
        message_id: Names the version; its record and files are read by it.
        agency: That has it here.
        sender: Of a received document; empty: it was sent from here.
        before: ``message_id`` of the version that an update changes; empty for another kind.
    """

    message_id: str
    agency: str
    kind: ActionKind
    sender: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What one node has, as packages.

    Attributes:
        key: PEM of the key that signs packages; empty: they are not signed.
    """

    office: OfficeClient
    clock: Callable[[], datetime]
    types: DocumentTypes
    key: bytes = b""
    certificate: bytes = b""

    def copy_of(self, text: str) -> Copy:
        """What an id names: a version by its message, else the one in force.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
        """
        found = self.office.document(text)
        entry = found["received"][0] if found["received"] else found["sent"]
        named = "" if _begins(entry["document_id"], text) else text
        if found["received"]:
            copies = received_copies(entry)
            named_here = [each for each in copies if named and _begins(each.message_id, named)]
            return (named_here or copies)[-1]
        copies = sent_copies(self.office.document(entry["document_id"]) if named else found)
        first = entry["deliveries"][0]["message_id"]
        return next((each for each in copies if named and each.message_id == first), copies[-1])

    def write_document(self, write: Write, copy: Copy) -> str:
        """Writes the package of a version of a document.

        Returns:
            The ``DocumentId`` by which it names the document.

        Raises:
            DocumentRevokedError: It was taken back and destroyed.
            LimitExceededError: It is to be signed, and too large for that.
        """
        found = self.office.document(copy.message_id)
        shown = found["received"][0] if found["received"] else found["sent"]
        document_id = shown["document_id"]
        fields = self._fields(copy, shown)
        exporting = Exporting(
            agency=copy.agency, now=self.clock(), document_id=document_id, types=self.types
        )
        files = [self._file(copy.message_id, part) for part in shown["parts"]]
        if self.key:
            made = _Bounded(BOUNDS.signed)
            write_package(made.write, fields, files, exporting)
            write(sign_package(bytes(made.data), self.key, self.certificate))
        else:
            write_package(write, fields, files, exporting)
        return str(fields.get("document_code") or document_id)

    def write_revocation(
        self, write: Write, received: Mapping[str, Any], document_code: str
    ) -> None:
        """Writes the package by which the sender of a received document takes it back.

        Args:
            received: As ``show`` has it, with ``taken_back``.
            document_code: By which local software knows the document.
        """
        taken = received["taken_back"]
        fields = {
            "issuer": {"code": received["sender"]},
            "document_code": document_code,
            "in_reply_to": [
                {"agency": received["recipient"], **identifier(document_code)},
            ],
            "reason": taken["reason"],
            "staff": {"full_name": taken["actor"][:_STAFF_NAME]},
            "_to": [received["recipient"]],
            "_operation": ActionKind.REVOKE.value,
        }
        exporting = Exporting(
            agency=received["recipient"],
            now=self.clock(),
            document_id=received["document_id"],
            types=self.types,
        )
        write_package(write, fields, (), exporting)

    def statuses(self, text: str) -> list[tuple[str, StatusMessage]]:
        """What is known of the way of a document as status messages, each with a name for a file.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
        """
        found = self.office.document(text)
        if found["sent"] is None:
            steps = [(each, each["last_step"]) for each in found["received"]]
            return [
                (f"{each['message_id']}-{step['order']:03}", _own_status(each, step))
                for each, step in steps
                if step
            ]
        deliveries = self.office.deliveries(text)["deliveries"]
        return [
            (f"{delivery['message_id']}-{order:03}", status)
            for delivery in deliveries
            for order, status in delivery_statuses(found["sent"], delivery)
        ]

    def _fields(self, copy: Copy, shown: Mapping[str, Any]) -> Fields:
        """Fields of the record and of the envelope."""
        record = self._record(copy.message_id)
        fields = {name: value for name, value in record.items() if name not in _FILLED_IN}
        kind = copy.kind
        if copy.sender and "replaces" in fields:
            fields["replaces"] = [
                each for each in fields["replaces"] if self._may_replace(copy, each)
            ]
        if kind is ActionKind.REPLACE and not fields.get("replaces"):
            kind = ActionKind.NEW
        fields |= {
            "_to": record.get("recipients", []),
            "_urgency": Urgency(shown["urgency"]).value,
            "_operation": kind.value,
        }
        if kind is ActionKind.UPDATE:
            before = self._record(copy.before)
            fields["_target"] = before.get("document_code") or before["document_id"]
        return fields

    def _may_replace(self, copy: Copy, named: Mapping[str, Any]) -> bool:
        """Whether a received document may say that it replaces another one.

        Nobody replaces what another agency sent: software behind the bridge must not be told so.
        What never came here may be named.
        """
        targets = Targets(self.office)
        for name in ("document_id", "document_code"):
            if code := str(named.get(name, "")):
                here = [*targets.named_received(code), *targets.named_sent(code)]
                if here and all(each["sender"] != copy.sender for each in here):
                    return False
        return True

    def _record(self, message_id: str) -> Fields:
        record: Fields = json.loads(b"".join(self.office.part(message_id, 0)))
        return record

    def _file(self, message_id: str, part: Mapping[str, Any]) -> OutFile:
        return OutFile(
            name=part["name"],
            media_type=part["media_type"],
            chunks=lambda: self.office.part(message_id, part["index"], encrypted=part["encrypted"]),
        )


def received_copies(entry: Mapping[str, Any]) -> list[Copy]:
    """The versions of a received document that are or were in force, oldest first."""
    versions = [each["message_id"] for each in entry["versions"] if each["state"] in _AGREED]
    replaces = any(link["kind"] == "replaces" for link in entry["links"])
    return _chained(
        versions or [entry["message_id"]],
        ActionKind.REPLACE if replaces else ActionKind.NEW,
        agency=entry["recipient"],
        sender=entry["sender"],
    )


def sent_copies(found: Mapping[str, Any]) -> list[Copy]:
    """The versions of a document that was sent from here, oldest first.

    Args:
        found: As ``show`` has it.
    """
    versions = [each["deliveries"][0]["message_id"] for each in (found["sent"], *found["updates"])]
    first = ActionKind.REPLACE if found["sent"]["operation"] == "replace" else ActionKind.NEW
    return _chained(versions, first, agency=found["sent"]["sender"])


def _chained(
    versions: Sequence[str], first: ActionKind, *, agency: str, sender: str = ""
) -> list[Copy]:
    before = ["", *versions]
    return [
        Copy(
            message_id=message_id,
            agency=agency,
            kind=ActionKind.UPDATE if earlier else first,
            sender=sender,
            before=earlier,
        )
        for message_id, earlier in zip(versions, before, strict=False)
    ]


def _begins(whole: str, text: str) -> bool:
    digits = text.strip().lower().replace("-", "")
    return whole.replace("-", "").startswith(digits)


@dataclass(slots=True)
class _Bounded:
    """A package in memory that is going to be signed."""

    limit: int
    data: bytearray = field(default_factory=bytearray)

    def write(self, piece: bytes) -> None:
        """Takes the next piece; what is over the limit is told by the signing."""
        if len(self.data) <= self.limit:
            self.data += piece


def delivery_statuses(
    sent: Mapping[str, Any], delivery: Mapping[str, Any]
) -> Iterator[tuple[int, StatusMessage]]:
    """What a recipient has told so far, in order; 0 is the receipt or the node's rejection.

    Args:
        sent: The document, as ``outbox`` shows it.
    """
    if delivery["state"] == "rejected":
        told = f"{words('02')}: {delivery['message'] or delivery['reason']}"
        yield 0, _status(sent, delivery["recipient"], "02", at=delivery["since"], told=told)
    for step in delivery["timeline"]:
        yield step["order"], _step_status(sent, delivery["recipient"], step)


def _own_status(received: Mapping[str, Any], step: Mapping[str, Any]) -> StatusMessage:
    return _step_status(received, received["recipient"], step)


def _step_status(
    document: Mapping[str, Any], agency: str, step: Mapping[str, Any]
) -> StatusMessage:
    code = step["edxml_code"]
    told = [words(code), *filter(None, (step["reason"],))]
    told += [f"giao {step['assignee']}"] if step["assignee"] else []
    told += [f"còn giữ: {held}" for held in step["still_held"]]
    staff = {"full_name": step["actor"]}
    return _status(document, agency, code, at=step["time"], told=": ".join(told), staff=staff)


def _status(
    document: Mapping[str, Any],
    agency: str,
    code: str,
    *,
    at: str,
    told: str = "",
    staff: dict[str, Any] | None = None,
) -> StatusMessage:
    number = "/".join(filter(None, (document["number"], document["notation"])))
    return StatusMessage(
        target=Target(
            receiver=document["sender"],
            document_code=document["document_code"] or document["document_id"],
            number_and_notation=number,
            issued_date=document["issued_date"],
        ),
        sender={"code": agency},
        code=code,
        description=told or words(code),
        time=parse_moment(at),
        staff=staff or {},
    )
