"""Hands edXML packages to a running node.

Importing is safe to repeat: the request id comes from the package's own id and its bytes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from edoccore.errors import DecisionConflictError, RequestConflictError
from edoccore.office_errors import EdxmlInvalidError
from edoccore.signing.statements import Operation
from edocnode.app.edxml_exports import Exports
from edocnode.app.edxml_targets import Targets
from edocnode.edxml.document_types import DocumentTypes
from edocnode.edxml.model import (
    ActionKind,
    Attachment,
    BridgeAction,
    Fields,
    Judged,
    StatusMessage,
)
from edocnode.edxml.reading import scratch_folder
from edocnode.edxml.signing import judge_file
from edocnode.edxml.statuses import ARRIVED, TAKE_BACK, reason_of
from edocnode.edxml.validating import refused
from edocnode.rpc.client_values import Json
from edocnode.rpc.office_client import CHUNK_BYTES, OfficeClient, Outgoing

IMPORT_SCHEMA = "edoc.edxml-import/v1"
_FALLBACK_CODE = "OTHER"  # of a rejection; edXML has no code for the reason
_OPERATIONS = {ActionKind.UPDATE: Operation.UPDATE, ActionKind.REPLACE: Operation.REPLACE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """One node's bridge.

    Attributes:
        authorities: PEM certificates that XML signatures must lead to; None: none is trusted.
        key: PEM of the key that signs exported packages; empty: they are not signed.
        actor: Who decides when a status message does not name the person.
        known: Message ids by the ``DocumentId`` that local software has read them under.
    """

    office: OfficeClient
    clock: Callable[[], datetime]
    actor: str
    types: DocumentTypes
    authorities: Path | None = None
    key: bytes = b""
    certificate: bytes = b""
    known: Callable[[str], Sequence[str]] = lambda _code: ()

    @property
    def exports(self) -> Exports:
        """The other direction."""
        return Exports(
            office=self.office,
            clock=self.clock,
            types=self.types,
            key=self.key,
            certificate=self.certificate,
        )

    def hand_in(self, path: Path, *, sender: str = "", follow: bool = True) -> Json:
        """Hands a package to the node, ``edoc.edxml-import/v1``.

        Args:
            sender: Code to send from; empty: the one that the package names.
            follow: It may be a symbolic link.

        Raises:
            EdxmlInvalidError: The package has errors, or an update goes to others than before.
            DocumentUnknownError: What it speaks of is not here, or another agency's.
            DecisionConflictError: What it changes was taken back or replaced.
            EdocError: As the node says.
        """
        with scratch_folder() as scratch:
            judged = judge_file(
                *(path, scratch),
                types=self.types,
                authorities=self.authorities,
                follow=follow,
            )
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

    def _carry_out(self, action: BridgeAction, request_id: str, sender: str) -> Json:
        sender = sender or action.sender
        if action.kind is ActionKind.NEW:
            return self._send(action, request_id, sender)
        if action.status is not None:
            return self._decide(action.status, sender)
        if action.kind is ActionKind.REVOKE:
            return self._take_back(action, sender)
        return self._change(action, request_id, sender)

    def _send(
        self,
        action: BridgeAction,
        request_id: str,
        sender: str,
        *,
        operation: Operation = Operation.NEW,
        earlier: str = "",
    ) -> Json:
        outgoing = Outgoing(
            request_id=request_id,
            sender=sender,
            recipients=() if operation is Operation.UPDATE else action.recipients,
            urgency=action.urgency,
            fields=json.dumps(action.fields, ensure_ascii=False, sort_keys=True).encode(),
            files=tuple((each.name, each.content.size) for each in action.attachments),
            operation=operation,
            earlier=earlier,
        )
        try:
            sent, _ = self.office.submit(outgoing, _content(action.attachments))
        except RequestConflictError as known:
            return self._handed_in(known)
        return {name: sent[name] for name in ("document_id", "deliveries")}

    def _handed_in(self, known: RequestConflictError) -> Json:
        """What became of the package when it was handed in before.

        The request id stands for the bytes of the package, so it is the same one, though what it
        speaks of, or the directory, is another by now.
        """
        found = self.office.document(known.fields["document_id"])
        sent = [found["sent"], *found["updates"]][-1]
        return {name: sent[name] for name in ("document_id", "deliveries")}

    def _change(self, action: BridgeAction, request_id: str, sender: str) -> Json:
        """Updates a document, or replaces some; nothing is sent unless all are found."""
        targets = Targets(self.office)
        earlier = [targets.sent(each, sender) for each in action.targets]
        for target, sent in zip(action.targets, earlier, strict=True):
            targets.check_recipients(action, target, sent)
        ids = [str(sent["document_id"]) for sent in earlier]
        if action.kind is ActionKind.REPLACE:
            action = replace(action, fields=_replacing(action.fields, ids))
        try:
            return self._send(
                *(action, request_id, earlier[0]["sender"]),
                operation=_OPERATIONS[action.kind],
                earlier=ids[0],
            )
        except DecisionConflictError as told:
            by_id = dict(zip(ids, action.targets, strict=True))
            raise targets.conflict(by_id, told) from told

    def _take_back(self, action: BridgeAction, sender: str) -> Json:
        """Takes documents back from the receivers that are named; all are found before one is."""
        receivers: dict[str, list[str]] = {}
        for target in action.targets:
            sent = Targets(self.office).sent(target, sender)
            receivers.setdefault(sent["document_id"], []).append(target.receiver)
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

    def _decide(self, status: StatusMessage, sender: str) -> Json:
        """Carries out what local software tells of a document that is here."""
        targets = Targets(self.office, self.known)
        actor = self._actor(status.staff)
        reason = reason_of(status)
        if status.code == TAKE_BACK:
            sent = targets.sent(status.target, sender)["document_id"]
            done = self.office.revoke(sent, (), actor=actor, reason=reason)
            return {name: done[name] for name in ("document_id", "taken_back")}
        message_id = targets.received(status.target, sender)
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


def request_id_of(judged: Judged, sender: str) -> str:
    """The request id of a package: the same for the same id, bytes and sender, for ever."""
    action = judged.action
    code, own = (action.document_code, action.sender) if action else ("", "")
    named = f"{code}\n{judged.sha256}\n{sender or own}"
    return f"edxml-{sha256(named.encode()).hexdigest()[:48]}"


def _replacing(fields: Fields, ids: Sequence[str]) -> Fields:
    """The fields of a replacement, with what it replaces named by ids, too."""
    named = fields.get("replaces", ())
    both = [
        {**each, "document_id": document_id} for each, document_id in zip(named, ids, strict=True)
    ]
    return {**fields, "replaces": both}


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
