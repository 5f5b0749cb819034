"""Hands edXML packages to a running node, and makes packages of what it has.

Importing is safe to repeat: the request id comes from the package's own id and its bytes.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from edoccore.errors import DocumentUnknownError, RequestInvalidError
from edoccore.office_errors import EdxmlInvalidError
from edoccore.signing.statements import Urgency
from edocnode.edxml.bounds import BOUNDS
from edocnode.edxml.document_types import DocumentTypes, parse_types, shipped_types
from edocnode.edxml.model import (
    ActionKind,
    Attachment,
    BridgeAction,
    Judged,
    StatusMessage,
    Target,
)
from edocnode.edxml.signing import judge_file, sign_package
from edocnode.edxml.statuses import ARRIVED, TAKE_BACK, reason_of, words
from edocnode.edxml.validating import refused
from edocnode.edxml.values import identifier, parse_moment
from edocnode.edxml.writing import Exporting, OutFile, Write, write_package, write_status
from edocnode.rpc.client_values import Json
from edocnode.rpc.office_client import CHUNK_BYTES, OfficeClient, Outgoing

IMPORT_SCHEMA = "edoc.edxml-import/v1"
TYPES_FILE = "edxml-types.json"  # in the data folder, an operator's own
_FILLED_IN = ("type", "network", "document_id", "recipients")
_STAFF_NAME = 100  # characters; edoccore.signing.records
_PAGES = 50  # of a thousand documents each, looked through for an official code
_FALLBACK_CODE = "OTHER"  # of a rejection; edXML has no code for the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """One node's bridge.

    Attributes:
        authorities: PEM certificates that XML signatures must lead to; None: none is trusted.
        key: PEM of the key that signs exported packages; empty: they are not signed.
        actor: Who decides when a status message does not name the person.
    """

    office: OfficeClient
    clock: Callable[[], datetime]
    actor: str
    types: DocumentTypes = field(default_factory=shipped_types)
    authorities: Path | None = None
    key: bytes = b""
    certificate: bytes = b""

    def hand_in(self, path: Path, *, sender: str = "") -> Json:
        """Hands a package to the node, ``edoc.edxml-import/v1``.

        Args:
            sender: Code to send from; empty: the one that the package names.

        Raises:
            EdxmlInvalidError: The package has errors.
            RequestInvalidError: The node cannot do what it asks for.
            EdocError: As the node says.
        """
        with tempfile.TemporaryDirectory(prefix="edoc-edxml-") as scratch:
            judged = judge_file(path, Path(scratch), types=self.types, authorities=self.authorities)
            if judged.action is None:
                raise refused(judged)
            request_id = request_id_of(judged, sender)
            done = self._carry_out(judged.action, request_id, sender)
        return {
            "schema": IMPORT_SCHEMA,
            "action": judged.action.kind.value,
            "document_code": judged.action.document_code,
            "request_id": request_id,
            "signature": judged.signature,
            "warnings": [each.english for each in judged.findings],
            **done,
        }

    def write_document(self, write: Write, text: str, *, message_id: str = "") -> str:
        """Writes the package of a document that was received or sent.

        Returns:
            The ``DocumentId`` by which it names the document.

        Args:
            text: Id of the document or of a message.
            message_id: Of the delivery, when several agencies here received it.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
            LimitExceededError: It is to be signed, and too large for that.
        """
        found = self.office.document(text)
        shown, agency = _shown(found, message_id)
        record = json.loads(b"".join(self.office.part(shown["document_id"], 0)))
        exporting = Exporting(
            agency=agency,
            now=self.clock(),
            document_id=shown["document_id"],
            types=self.types,
        )
        fields = _for_writing(record, shown)
        code = str(fields.get("document_code") or shown["document_id"])
        files = [self._file(shown["document_id"], part) for part in shown["parts"]]
        if not self.key:
            write_package(write, fields, files, exporting)
            return code
        made = _Bounded(BOUNDS.signed)
        write_package(made.write, fields, files, exporting)
        write(sign_package(bytes(made.data), self.key, self.certificate))
        return code

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

    def _file(self, document_id: str, part: Mapping[str, Any]) -> OutFile:
        return OutFile(
            name=part["name"],
            media_type=part["media_type"],
            chunks=lambda: self.office.part(document_id, part["index"]),
        )

    def _carry_out(self, action: BridgeAction, request_id: str, sender: str) -> Json:
        if action.kind is ActionKind.NEW:
            return self._send(action, request_id, sender)
        if action.status is not None:
            return self._decide(action.status)
        if action.kind is ActionKind.REVOKE:
            return self._take_back(action)
        raise RequestInvalidError(
            f"The package asks to {action.kind} a document, which cannot be taken from edXML here.",
            hint="Do it by the command of that name.",
        )

    def _send(self, action: BridgeAction, request_id: str, sender: str) -> Json:
        outgoing = Outgoing(
            request_id=request_id,
            sender=sender or action.sender,
            recipients=action.recipients,
            urgency=action.urgency,
            fields=json.dumps(action.fields, ensure_ascii=False, sort_keys=True).encode(),
            files=tuple((each.name, each.content.size) for each in action.attachments),
        )
        sent, _ = self.office.submit(outgoing, _content(action.attachments))
        return {name: sent[name] for name in ("document_id", "deliveries")}

    def _take_back(self, action: BridgeAction) -> Json:
        """Takes documents back from the receivers that are named; all are found before one is."""
        receivers: dict[str, list[str]] = {}
        for target in action.targets:
            receivers.setdefault(self._sent(target.document_code), []).append(target.receiver)
        actor = self._actor(action.fields.get("staff", {}))
        done = [
            self.office.revoke(
                document_id,
                () if "" in codes else tuple(dict.fromkeys(codes)),
                actor=actor,
                reason=action.reason,
            )
            for document_id, codes in receivers.items()
        ]
        return {
            "document_id": done[0]["document_id"],
            "taken_back": sum(each["taken_back"] for each in done),
        }

    def _actor(self, staff: Mapping[str, Any]) -> str:
        return " ".join(str(staff.get("full_name", "")).split()) or self.actor

    def _decide(self, status: StatusMessage) -> Json:
        """Carries out what local software tells of a document that is here."""
        actor = self._actor(status.staff)
        reason = reason_of(status)
        if status.code == TAKE_BACK:
            sent = self._sent(status.target.document_code)
            done = self.office.revoke(sent, (), actor=actor, reason=reason)
            return {name: done[name] for name in ("document_id", "taken_back")}
        message_id = self._received(status)
        decide: Mapping[str, Callable[[], Json]] = {
            "02": lambda: self.office.reject(message_id, actor, code=_FALLBACK_CODE, reason=reason),
            "03": lambda: self.office.accept(message_id, actor),
            "04": lambda: self.office.assign(
                message_id, actor, assignee=str(status.staff.get("department", "")) or actor
            ),
            "05": lambda: self.office.process(message_id, actor),
            "06": lambda: self.office.finish(message_id, actor),
            "15": lambda: self.office.agree(message_id, actor),
            "16": lambda: self.office.decline(
                message_id, actor, code=_FALLBACK_CODE, reason=reason
            ),
        }
        if status.code == ARRIVED:  # the receipt has told it
            return {"message_id": message_id}
        done = decide[status.code]()
        return {name: done[name] for name in ("document_id", "message_id", "state")}

    def _received(self, status: StatusMessage) -> str:
        """The delivery of the document that a status speaks of.

        Raises:
            DocumentUnknownError: It is not in the inbox.
        """
        wanted = status.target.document_code
        for item in _all(self.office.inbox):
            if wanted in (item["document_code"], item["document_id"], item["message_id"]):
                return str(item["message_id"])
        raise DocumentUnknownError(
            f"The document {wanted!r}, which the status speaks of, is not in the inbox.",
            hint="See: edocnode inbox",
        )

    def _sent(self, wanted: str) -> str:
        """The id of a document that was sent from here.

        Raises:
            DocumentUnknownError: None was that has this identifier.
        """
        for item in _all(self.office.outbox):
            if wanted in (item["document_code"], item["document_id"]):
                return str(item["document_id"])
        raise DocumentUnknownError(
            f"The document {wanted!r}, which the package speaks of, was not sent from here.",
            hint="See: edocnode outbox",
        )


@dataclass(slots=True)
class _Bounded:
    """A package in memory that is going to be signed."""

    limit: int
    data: bytearray = field(default_factory=bytearray)

    def write(self, piece: bytes) -> None:
        """Takes the next piece; what is over the limit is told by the signing."""
        if len(self.data) <= self.limit:
            self.data += piece


def _all(page_of: Callable[..., Json]) -> Iterator[Mapping[str, Any]]:
    """Documents of a list, newest first, as far back as is looked."""
    after = ""
    for _ in range(_PAGES):
        page = page_of(agency="", state="", limit=1000, after=after)
        yield from page["documents"]
        after = page["next"]
        if not after:
            return


def known_types(data: Path | None) -> DocumentTypes:
    """The list of document types: an operator's own, or the one that comes with the program.

    Raises:
        RequestInvalidError: The operator's own cannot be read.
    """
    path = data / TYPES_FILE if data else None
    if path is None or not path.exists():
        return shipped_types()
    try:
        return parse_types(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RequestInvalidError(
            f"{path} cannot be used: {error}.",
            hint="Mend it, or remove it to use the list of the program.",
        ) from error


def request_id_of(judged: Judged, sender: str) -> str:
    """The request id of a package: the same for the same id, bytes and sender, for ever."""
    code = judged.action.document_code if judged.action else ""
    named = f"{code}\n{judged.sha256}\n{sender}"
    return f"edxml-{sha256(named.encode()).hexdigest()[:48]}"


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


def write_status_message(write: Write, message: StatusMessage) -> None:
    """Writes the package of a status message."""
    write_status(write, message)


def _shown(found: Mapping[str, Any], message_id: str) -> tuple[Mapping[str, Any], str]:
    """What to export of a document, and which agency here has it."""
    for received in found["received"]:
        if message_id in ("", received["message_id"]):
            return received, received["recipient"]
    if found["sent"] is None:
        raise DocumentUnknownError(f"No message {message_id} of this document is here.")
    return found["sent"], found["sent"]["sender"]


def _for_writing(record: dict[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in record.items() if name not in _FILLED_IN}
    kind = shown.get("operation") or ("replace" if fields.get("replaces") else "new")
    return {
        **fields,
        "_to": record.get("recipients", []),
        "_urgency": Urgency(shown["urgency"]).value,
        "_operation": kind if kind in set(ActionKind) else ActionKind.NEW.value,
        "_target": fields.get("document_code", "") if kind == ActionKind.UPDATE else "",
    }


def _content(attachments: Sequence[Attachment]) -> Iterator[bytes]:
    for each in attachments:
        with each.content.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


def as_finding(error: EdxmlInvalidError) -> dict[str, Any]:
    """The finding that ended the reading, as ``validate --json`` prints one."""
    told = error.fields
    return {
        "code": told.get("code", ""),
        "severity": "error",
        "line": int(told.get("line", 0)),
        "element": told.get("element", ""),
        "en": error.message.partition("is refused: ")[2] or error.message,
        "vi": told.get("vietnamese", ""),
        "remedy_en": error.hint,
        "remedy_vi": told.get("remedy_vietnamese", ""),
    }
