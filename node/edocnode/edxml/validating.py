"""Judges a package: what it asks for, and all that is wrong with it, by line and element.

Checks that only warn are those for which real packages vary: forms of codes, missing numbers,
references that name nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from edoccore.errors import EdocError, PartNameError
from edoccore.office_errors import EdxmlInvalidError
from edoccore.signing import canonical
from edoccore.signing.part_names import check_part_names
from edoccore.signing.readers import converted
from edoccore.signing.records import DocumentRecord
from edoccore.signing.statements import Urgency
from edocnode.domain.checks import MIN_REASON
from edocnode.edxml.attachments import Content, unzipped
from edocnode.edxml.bounds import BOUNDS, Bounds
from edocnode.edxml.document_types import DocumentTypes
from edocnode.edxml.findings import Finding, Severity, as_error, finding, warning
from edocnode.edxml.layout import Layout, find_layout
from edocnode.edxml.mapping import envelope_of, kept_extension, read_fields
from edocnode.edxml.model import (
    ActionKind,
    Attachment,
    BridgeAction,
    Fields,
    Judged,
    Notes,
    StatusMessage,
    Target,
)
from edocnode.edxml.reading import CONTENT, Tree, read_tree
from edocnode.edxml.statuses import read_status
from edocnode.edxml.tree import Node
from edocnode.edxml.writing import ATTACHMENTS, REFERENCES, said_by_files

MAX_FINDINGS = 100  # errors, and as many warnings; more help nobody
_CODES = (
    re.compile(r"\d{3}\.\d{2}\.\d{2}\.[A-Z]\d{2}"),
    re.compile(r"(?=.{3,35}$)[A-Z]\d{2}(\.[0-9A-Z]+)*"),
)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")
_NODE_FILLS = {
    "type": "edoc.document/v1",
    "network": "none",
    "document_id": "019a2b3c-4d5e-7f60-8a1b-000000000002",
}
_FIRST_MISSING = re.compile(r"Object missing required field `(\w+)`")

Verify = Callable[[Tree, Layout], "SignatureReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureReport:
    """What is known of the XML signature.

    Attributes:
        verdict: A word of ``signing.Verdict``.
    """

    verdict: str
    signer: str
    findings: tuple[Finding, ...] = ()


def judge(
    file: BinaryIO,
    scratch: Path,
    *,
    types: DocumentTypes,
    verify: Verify | None = None,
    bounds: Bounds = BOUNDS,
) -> Judged:
    """Reads and judges a package.

    Args:
        scratch: Empty folder; the content of attachments is there afterwards.
        verify: Checks the XML signature; None: it is not looked at.

    Raises:
        EdxmlInvalidError: It cannot be read to its end.
    """
    tree = read_tree(file, scratch, bounds=bounds)
    layout = find_layout(tree)
    notes = Notes()
    report = verify(tree, layout) if verify else None
    if layout.status is not None:
        status = read_status(layout, notes)
        action = _status_action(status) if status else None
    else:
        action = _document_action(tree, layout, types, notes, bounds)
    found = (*notes.findings, *(report.findings if report else ()))
    failed = any(each.severity is Severity.ERROR for each in found)
    return Judged(
        action=None if failed else action,
        findings=_told(found),
        namespace=tree.namespace,
        size=tree.size,
        sha256=tree.sha256,
        signature=report.verdict if report else "none",
        signer=report.signer if report else "",
    )


def _told(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings in the order of lines; of very many the first of each kind."""
    kinds = [
        [each for each in found if each.severity is severity][:MAX_FINDINGS]
        for severity in Severity
    ]
    return tuple(sorted((each for kind in kinds for each in kind), key=lambda each: each.line))


def _status_action(status: StatusMessage) -> BridgeAction:
    return BridgeAction(
        kind=ActionKind.STATUS,
        sender=str(status.sender["code"]),
        recipients=(status.target.receiver,) if status.target.receiver else (),
        urgency=Urgency.NORMAL,
        fields={},
        targets=(status.target,),
        status=status,
    )


def _document_action(
    tree: Tree, layout: Layout, types: DocumentTypes, notes: Notes, bounds: Bounds
) -> BridgeAction | None:
    fields = read_fields(layout, types, notes)
    attachments = _attachments(tree, layout, notes, bounds)
    fields["extensions"] = [*fields.get("extensions", []), *_kept_files(layout)]
    if not fields["extensions"]:
        del fields["extensions"]
    kind, urgency = envelope_of(fields)
    targets = _targets(kind, fields, notes)
    recipients = tuple(fields.get("_to", ()))
    if kind is ActionKind.REVOKE:
        fields.pop("in_reply_to", None)
        recipients = recipients or tuple(each.receiver for each in targets if each.receiver)
    _check_required(layout, fields, kind, recipients, notes)
    _check_codes(layout, notes)
    if kind is not ActionKind.NEW:
        _check_operation(layout, fields, targets, notes)
    record = {name: value for name, value in fields.items() if not name.startswith("_")}
    _check_record(record, recipients, notes)
    return BridgeAction(
        kind=kind,
        sender=str(fields.get("issuer", {}).get("code", "")),
        recipients=recipients,
        urgency=urgency,
        fields=record,
        targets=targets,
        attachments=tuple(attachments),
        line=next((node.line for node in layout.message.all("To")), layout.message.line),
    )


def _targets(kind: ActionKind, fields: Fields, notes: Notes) -> tuple[Target, ...]:
    """Which earlier documents an operation is about.

    A revocation names the document once for each receiver in ``ResponseFor``; without that it is
    ``Bussiness/DocumentId``, or the package's own id.
    """
    own = fields.get("_target") or fields.get("document_code") or fields.get("_id")
    line, _ = notes.places.get("_target", (0, ""))
    if kind is ActionKind.NEW:
        return ()
    if kind is ActionKind.REPLACE:
        return tuple(fields.get("_replaced", ()))
    named = fields.get("_named", ()) if kind is ActionKind.REVOKE else ()
    found = tuple(replace(each, document_code=each.document_code or own or "") for each in named)
    if found and all(each.document_code for each in found):
        return found
    return (Target(receiver="", document_code=own, line=line),) if own else ()


def _check_operation(
    layout: Layout, fields: Fields, targets: Sequence[Target], notes: Notes
) -> None:
    """Checks that a package says which earlier document it is about, and why."""
    if not targets:
        notes.findings.append(finding("TARGET_MISSING", line=layout.trace.line))
    if len(str(fields.get("reason", "")).strip()) < MIN_REASON:
        line, name = notes.places.get("reason", (layout.trace.line, "BussinessDocReason"))
        notes.findings.append(finding("REASON_SHORT", line=line, element=name, least=MIN_REASON))


def _check_required(
    layout: Layout,
    fields: Fields,
    kind: ActionKind,
    recipients: Sequence[str],
    notes: Notes,
) -> None:
    line = layout.message.line or layout.header.line

    def missing(what: str) -> None:
        notes.findings.append(finding("MISSING", line=line, element="MessageHeader", what=what))

    if not fields.get("issuer", {}).get("code"):
        missing("From/OrganId")
    if not recipients and kind is not ActionKind.REVOKE:
        missing("To/OrganId")
    if not fields.get("subject") and kind is not ActionKind.REVOKE:
        missing("Subject")
    wanted = {
        "document_code": "DocumentId",
        "notation": "Code/CodeNotation",
        "issued_date": "PromulgationInfo/PromulgationDate",
    }
    for name, what in wanted.items():
        if not fields.get(name):
            notes.findings.append(
                warning("RECOMMENDED", line=line, element="MessageHeader", what=what)
            )


def _check_codes(layout: Layout, notes: Notes) -> None:
    for node in (*layout.message.all("From"), *layout.message.all("To")):
        code = node.of("OrganId")
        if code and not any(form.fullmatch(code) for form in _CODES):
            line = (node.first("OrganId") or node).line
            notes.findings.append(warning("CODE_FORM", line=line, element="OrganId", value=code))


def _check_record(record: Fields, recipients: Sequence[str], notes: Notes) -> None:
    """Checks the fields as the node will, so that a message can name the line."""
    given = {
        **_NODE_FILLS,
        "issuer": {"code": "H29"},
        "subject": "-",
        **record,
        "recipients": list(recipients) or ["H29"],
    }
    try:
        canonical.encode(converted(given, DocumentRecord), limit=canonical.MAX_RECORD_BYTES)
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at `$.")
        line, name = _place(path.rstrip("`"), notes)
        if not (_FIRST_MISSING.match(why) and "issuer" in path):  # told as missing already
            notes.findings.append(finding("FIELD", line=line, element=name, why=why))
    except EdocError as error:
        notes.findings.append(finding("FIELD", why=error.message))


def _place(path: str, notes: Notes) -> tuple[int, str]:
    while path:
        if path in notes.places:
            return notes.places[path]
        path = path.rpartition("[" if path.endswith("]") else ".")[0]
    return 0, ""


def _attachments(tree: Tree, layout: Layout, notes: Notes, bounds: Bounds) -> list[Attachment]:
    references = {_bare(each.of("ContentId")): each for each in layout.manifest.all("Reference")}
    found: list[Attachment] = []
    used: set[str] = set()
    taken: set[str] = set()
    room = bounds.content
    for node in layout.attachments:
        key = _bare(node.of("ContentId"))
        reference = references.get(key)
        used.add(key)
        if reference is None:
            _warn(
                notes, "ATTACHMENT_WITHOUT_REFERENCE", node, value=key or node.of("AttachmentName")
            )
        made = _attachment(tree, node, reference, notes, (bounds, room), taken)
        if made:
            room -= made.content.size
            found.append(made)
    for key, node in references.items():
        if key not in used:
            notes.findings.append(
                finding(
                    "REFERENCE_WITHOUT_ATTACHMENT", line=node.line, element="Reference", value=key
                )
            )
    return found


def _attachment(
    tree: Tree,
    node: Node,
    reference: Node | None,
    notes: Notes,
    limits: tuple[Bounds, int],
    taken: set[str],
) -> Attachment | None:
    holder = node.first(CONTENT)
    if holder is None or holder.blob is None:
        notes.findings.append(finding("CONTENT_MISSING", line=node.line, element="Attachment"))
        return None
    stated = node.of("AttachmentName") or (reference.of("AttachmentName") if reference else "")
    name = _free_name(_base_name(stated) or f"tep-{holder.blob + 1}", taken)
    content: Content = tree.contents[holder.blob]
    content = unzipped(content, name, bounds=limits[0], room=limits[1])
    try:
        check_part_names([name])
    except PartNameError as error:
        notes.findings.append(
            finding(
                "NAME_UNSAFE",
                line=node.line,
                element="AttachmentName",
                value=name,
                why=error.message,
            )
        )
    kind = node.of("ContentType").lower()
    return Attachment(
        name=name, media_type=kind if _MEDIA_TYPE.fullmatch(kind) else "", content=content
    )


def _kept_files(layout: Layout) -> list[Fields]:
    """What references and attachments say beyond name, type and content."""
    found = []
    stripped = [
        Node(node.name, node.namespace, content=[item for item in node if item.blob is None])
        for node in layout.attachments
    ]
    references = layout.manifest.all("Reference")
    for path, nodes in ((REFERENCES, references), (ATTACHMENTS, stripped)):
        if not said_by_files(nodes):
            found.append(kept_extension(path, nodes))
    return found


def _bare(content_id: str) -> str:
    return content_id.strip("<>").removeprefix("cid:")


def _base_name(name: str) -> str:
    """The name without the folders that some software writes in front."""
    return PurePosixPath(name.replace("\\", "/")).name


def _free_name(name: str, taken: set[str]) -> str:
    path = PurePosixPath(name)
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{path.stem} ({number}){path.suffix}"
    taken.add(candidate.casefold())
    return candidate


def _warn(notes: Notes, code: str, node: Node, **facts: object) -> None:
    notes.findings.append(warning(code, line=node.line, element=node.name, **facts))


def refused(judged: Judged) -> EdxmlInvalidError:
    """The error for a package that has errors: the first of them."""
    return as_error(judged.errors[0])
