"""A package as fields of a record and back, so that nothing that was said is lost.

What a field cannot hold is kept as it was: an element that reading and writing would change, and
every element without a field, goes into ``extensions`` under its path, as canonical XML, and is
written again in its place as long as it still says what the fields say. What edXML has no element
for travels in an element of our own, which may only add to the others, never contradict them.
"""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from edoccore.signing.statements import Urgency
from edocnode.edxml.document_types import DocumentTypes
from edocnode.edxml.findings import finding, warning
from edocnode.edxml.groups import HEADER, TRACE, Group, header_groups
from edocnode.edxml.layout import Layout
from edocnode.edxml.model import ActionKind, Fields, Notes
from edocnode.edxml.tree import (
    DSIG,
    QCVN,
    Node,
    Shape,
    canonical_xml,
    element,
    shape,
)
from edocnode.edxml.values import record_time, without_empty

OWN = "urn:edocnode:fields:1"  # namespace of our own element
OWN_NAME = "Fields"
PREFIX = "edxml:"  # of the names of extensions that are elements
MAX_VALUE = 65_536  # characters of an extension; edoccore.signing.records
MAX_NAME = 200
_OF_THE_OPERATION = frozenset({"_target", "_named", "_replaced"})  # read, and given anew
_NOT_COMPARED = _OF_THE_OPERATION - {"_target"} | {"_id"}
_PLACES = ("edXML", "edXMLEnvelope", "edXMLHeader", "edXMLBody", HEADER, TRACE)
_OF_THE_FORM = frozenset(
    {
        "edXMLEnvelope", "edXMLHeader", "edXMLBody", "edXMLManifest", "AttachmentEncoded",
        "MessageHeader", "TraceHeaderList", "Signature", "DigitalSignature", "Header", "Body",
        "Manifest", "Attachment", "Status",
    }
)  # fmt: skip


def read_fields(layout: Layout, types: DocumentTypes, notes: Notes) -> Fields:
    """All fields of a document's package, ``extensions`` included.

    Names that begin with an underscore belong to the envelope; see ``groups``.
    """
    groups = header_groups(types)
    elements = _elements(layout, groups, notes)
    fields: Fields = {}
    for group, nodes in elements:
        fields |= group.read(nodes, notes) if nodes else {}
    _set_moment(fields, notes, layout)
    for node in layout.message:
        if (node.namespace, node.name) == (OWN, OWN_NAME):
            fields |= _own_fields(node, fields, elements, notes)
    kept = [
        (group.path, nodes) for group, nodes in elements if nodes and _changes(group, nodes, fields)
    ]
    kept += _unknown(layout, groups)
    extensions = [*fields.pop("extensions", []), *_extensions(kept, notes)]
    return without_empty({**fields, "extensions": extensions})


def write_header(
    fields: Fields, types: DocumentTypes, raw: dict[str, list[Node]]
) -> tuple[Node, Node]:
    """``MessageHeader`` and ``TraceHeaderList`` of a document.

    Args:
        fields: Of the record and the envelope.
        raw: Elements that were kept, by path; those that are used are taken out.
    """
    made = {HEADER: element(HEADER), TRACE: element(TRACE)}
    groups = header_groups(types)
    for group in groups:
        nodes = [node for node in group.write(fields) if node]
        kept = raw.pop(group.path, [])
        if kept and _same(group, kept, nodes):
            nodes = kept
        made[group.place].content += nodes
    for place, node in made.items():
        node.content += unknown_elements(raw, place, types)
    own = _own_element(fields, groups, made[HEADER])
    made[HEADER].content += [own] if own else []
    return made[HEADER], made[TRACE]


def unknown_elements(raw: dict[str, list[Node]], place: str, types: DocumentTypes) -> list[Node]:
    """Takes the elements without a field out of what was kept for a place.

    An element that does not fit its path, or has a meaning of its own, is left out: extensions
    come from other agencies, and must not say a second time what a field says.
    """
    known = {name for group in header_groups(types) for name in group.names} | _OF_THE_FORM
    found = []
    for path in [path for path in raw if path.startswith(f"{place}/")]:
        for node in raw.pop(path):
            own = node.namespace == QCVN and node.name in known
            fits = path == f"{place}/{_label(node)}"
            if fits and not own and node.namespace not in (DSIG, OWN):
                found.append(node)
    return found


def raw_elements(fields: Fields, parse: Callable[[str], list[Node]]) -> dict[str, list[Node]]:
    """The elements that extensions keep, by path.

    Args:
        parse: Reads the text of several elements; they come from other agencies.
    """
    found: dict[str, list[Node]] = defaultdict(list)
    for each in fields.get("extensions", ()):
        if each["name"].startswith(PREFIX):
            found[each["name"].removeprefix(PREFIX)] += parse(each["value"])
    return found


def add_hop(fields: Fields, agency: str, now: datetime) -> Fields:
    """The fields with one more system that the document passed."""
    hop = {"agency": agency, "time": record_time(now.replace(microsecond=0))}
    return {**fields, "trace": [*fields.get("trace", []), hop]}


def kept_extension(path: str, nodes: Iterable[Node]) -> Fields:
    """Elements as an extension of the record."""
    value = "".join(map(canonical_xml, nodes))
    return {
        "name": f"{PREFIX}{path}"[:MAX_NAME],
        "value": unicodedata.normalize("NFC", value),
    }


def _elements(
    layout: Layout, groups: Sequence[Group], notes: Notes
) -> list[tuple[Group, list[Node]]]:
    """The elements of each group; older software puts both places into one."""
    found = []
    for group in groups:
        place = layout.message if group.place == HEADER else layout.trace
        nodes = [node for node in place if node.is_named(*group.names)]
        if not nodes and group.place == TRACE:
            nodes = [node for node in layout.message if node.is_named(*group.names)]
        if len(nodes) > 1 and not group.many:
            notes.findings.append(warning("TWICE", line=nodes[1].line, element=nodes[1].name))
        found.append((group, nodes))
    return found


def _changes(group: Group, nodes: Sequence[Node], fields: Fields) -> bool:
    """Whether writing what was read says something else than what was there."""
    return _shapes(nodes) != _written(group, fields)


def _unknown(layout: Layout, groups: Sequence[Group]) -> list[tuple[str, list[Node]]]:
    """Elements without a field, by the path of their place."""
    known = {name for group in groups for name in group.names}
    places = (
        layout.root, layout.envelope, layout.header, layout.body, layout.message, layout.trace
    )  # fmt: skip
    found: dict[str, list[Node]] = {}
    for name, place in zip(_PLACES, places, strict=True):
        for node in place:
            standard = node.namespace == QCVN
            if standard and node.name in (known | _OF_THE_FORM):
                continue
            if node.namespace in (DSIG, OWN):
                continue
            found.setdefault(f"{name}/{_label(node)}", []).append(node)
    return list(found.items())


def _label(node: Node) -> str:
    return node.name if node.namespace == QCVN else f"{{{node.namespace}}}{node.name}"


def _extensions(kept: Iterable[tuple[str, list[Node]]], notes: Notes) -> list[Fields]:
    found = []
    for path, nodes in kept:
        extension = kept_extension(path, nodes)
        if len(extension["value"]) <= MAX_VALUE:
            found.append(extension)
        elif path != f"{HEADER}/To":  # names of recipients; the directory has them
            why = f"more than {MAX_VALUE} characters"
            notes.findings.append(
                finding("FIELD", line=nodes[0].line, element=nodes[0].name, why=why)
            )
    return found


def _own_fields(
    node: Node, fields: Fields, elements: Sequence[tuple[Group, list[Node]]], notes: Notes
) -> Fields:
    """What our own element adds; what would change the meaning of another element is left out."""
    try:
        given = json.loads(node.text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        notes.findings.append(
            finding("VALUE", line=node.line, element=OWN_NAME, value=node.text, wanted="JSON")
        )
        return {}
    accepted: Fields = {}
    for name, value in sorted(given.items()):
        if name == "extensions":
            listed = value if isinstance(value, list) else []
            accepted[name] = [each for each in listed if not _is_element(each)]
        elif not name.startswith("_") and _agrees(elements, fields, {**fields, name: value}):
            accepted[name] = value
        else:
            wanted = "what the other elements say"
            notes.findings.append(
                warning("VALUE", line=node.line, element=OWN_NAME, value=name, wanted=wanted)
            )
    return accepted


def _agrees(elements: Sequence[tuple[Group, list[Node]]], fields: Fields, changed: Fields) -> bool:
    """Whether changed fields would be written as the elements stand, or as before."""
    return all(
        _written(group, changed) in (_written(group, fields), _shapes(nodes))
        for group, nodes in elements
    )


def _is_element(extension: object) -> bool:
    name = extension.get("name") if isinstance(extension, dict) else None
    return str(name).startswith(PREFIX)


def _written(group: Group, fields: Fields) -> list[Shape] | None:
    """What the elements of these fields say; None when they cannot be written."""
    update = fields.get("_operation") == ActionKind.UPDATE  # its target is known when it is written
    given_anew = _OF_THE_OPERATION - {"_target"} if update else _OF_THE_OPERATION
    known = {name: value for name, value in fields.items() if name not in given_anew}
    try:
        return _shapes(group.write(known))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _own_element(fields: Fields, groups: Sequence[Group], header: Node) -> Node | None:
    """What the other elements do not say of a record; None when they say all."""
    told: Fields = {}
    for group in groups:
        nodes = [node for node in header if node.is_named(*group.names)]
        if group.place == TRACE:
            nodes = [node for node in group.write(fields) if node]
        if nodes:
            told |= group.read(nodes, Notes())
    left = {
        name: value
        for name, value in fields.items()
        if not name.startswith("_") and name != "extensions" and told.get(name) != value
    }
    others = [each for each in fields.get("extensions", ()) if not _is_element(each)]
    left |= {"extensions": others} if others else {}
    if not left:
        return None
    text = json.dumps(left, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return element(OWN_NAME, text, namespace=OWN)


def _same(group: Group, kept: Sequence[Node], nodes: Sequence[Node]) -> bool:
    """Whether kept elements say what the fields say."""

    def said(some: Sequence[Node]) -> Fields:
        found = group.read(some, Notes()) if some else {}
        if found.get("_operation") == ActionKind.NEW:
            found.pop("_target", None)  # means nothing there
        return {name: value for name, value in found.items() if name not in _NOT_COMPARED}

    usable = all(node.is_named(*group.names) for node in kept)
    return usable and said(kept) == said(nodes)


def _shapes(nodes: Iterable[Node | None]) -> list[Shape]:
    return [shape(node) for node in nodes if node]


def _set_moment(fields: Fields, notes: Notes, layout: Layout) -> None:
    """With "hỏa tốc hẹn giờ": the due moment is when it must be in the recipient's hands."""
    due = fields.pop("_due_moment", "")
    if not fields.pop("_scheduled", False) or "deliver_by" in fields:
        return
    if due:
        fields["deliver_by"] = due
        return
    other = layout.message.first("OtherInfo")
    line = other.line if other else 0
    notes.findings.append(
        warning("VALUE", line=line, element="Priority", value="4", wanted="DueDate")
    )


def envelope_of(fields: Fields) -> tuple[ActionKind, Urgency]:
    """Operation and urgency that were read."""
    kind = ActionKind(fields.get("_operation", ActionKind.NEW))
    return kind, Urgency(fields.get("_urgency", Urgency.NORMAL))
