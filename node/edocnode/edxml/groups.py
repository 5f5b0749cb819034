"""The elements of an edXML header and the fields of a record: one table, read in both directions.

A group is one element, or all elements of one name, in ``MessageHeader`` or ``TraceHeaderList``.
Names that begin with an underscore are no fields of the record: they belong to the envelope or to
the operation.

Source: QCVN 102:2016/BTTTT; Decree 30/2020/ND-CP, Appendix VI, part II.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edoccore.signing.statements import Urgency
from edocnode.edxml.document_types import DocumentTypes
from edocnode.edxml.findings import finding, warning
from edocnode.edxml.model import ActionKind, Fields, Notes, Target
from edocnode.edxml.tree import Node, element, group, optional
from edocnode.edxml.values import (
    day,
    day_text,
    identifier,
    is_id,
    moment_text,
    number,
    office,
    office_node,
    parse_moment,
    record_time,
    reference,
    reference_node,
    staff,
    staff_node,
    target,
    texts,
    told,
    without_empty,
)

HEADER = "MessageHeader"
TRACE = "TraceHeaderList"
PRIORITIES = (Urgency.NORMAL, Urgency.KHAN, Urgency.THUONG_KHAN, Urgency.HOA_TOC, Urgency.HOA_TOC)
SCHEDULED = 4  # hỏa tốc hẹn giờ
OPERATIONS = (ActionKind.NEW, ActionKind.REVOKE, ActionKind.UPDATE, ActionKind.REPLACE)
_SIGNER = {"authority": "Competence", "position": "Position", "full_name": "FullName"}
_OTHER = {"circulation_scope": "SphereOfPromulgation", "typist": "TyperNotation"}
_COUNTS = {"issued_count": "PromulgationAmount", "page_count": "PageAmount"}
_YES = {"true": True, "1": True, "false": False, "0": False}

Read = Callable[[Sequence[Node], Notes], Fields]
Write = Callable[[Fields], Sequence[Node | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One name of elements and what it means.

    Attributes:
        place: ``MessageHeader`` or ``TraceHeaderList``.
        many: Whether the element may be repeated.
    """

    place: str
    names: tuple[str, ...]
    read: Read
    write: Write
    many: bool = False

    @property
    def path(self) -> str:
        """How an extension of the record names it."""
        return f"{self.place}/{self.names[0]}"


def header_groups(types: DocumentTypes) -> tuple[Group, ...]:
    """All groups, in the order in which they are written."""

    def type_read(nodes: Sequence[Node], notes: Notes) -> Fields:
        found = texts(nodes[0], {"document_type": "TypeName"}, notes)
        return {name: types.code(text) for name, text in found.items()}

    def type_write(fields: Fields) -> Sequence[Node | None]:
        if not fields.get("document_type"):
            return []
        kind, name = types.written(str(fields["document_type"]))
        return [group("DocumentType", optional("Type", kind), optional("TypeName", name))]

    return (
        _group("From", _from_read, lambda fields: [office_node("From", fields.get("issuer", {}))]),
        _group("To", _to_read, _to_write, many=True),
        _group("Code", _code_read, _code_write),
        _group("PromulgationInfo", _issue_read, _issue_write),
        _group("DocumentType", type_read, type_write),
        _text_group("Subject", "subject"),
        _group(
            "Content", _content_read, lambda fields: [optional("Content", fields.get("content"))]
        ),
        _group("SignerInfo", _signer_read, _signer_write),
        _group("DueDate", _due_read, _due_write),
        _group("ToPlaces", _places_read, _places_write),
        _group("OtherInfo", _other_read, _other_write),
        _group("ResponseFor", _answers_read, _answers_write, many=True),
        _group("ResponseForTask", _task_read, _task_write),
        _group("SteeringType", _steering_read, _steering_write),
        _text_group("ApplicationType", "application"),
        _group("DocumentId", _id_read, _id_write),
        _group("TraceHeader", _trace_read, _trace_write, many=True, place=TRACE),
        _group("Bussiness", _business_read, _business_write, "Business", place=TRACE),
    )


def _group(
    name: str, read: Read, write: Write, *more: str, many: bool = False, place: str = HEADER
) -> Group:
    return Group(place=place, names=(name, *more), read=read, write=write, many=many)


def _text_group(name: str, key: str) -> Group:
    def read(nodes: Sequence[Node], notes: Notes) -> Fields:
        notes.places[key] = (nodes[0].line, name)
        return without_empty({key: told(nodes[0], notes)})

    return _group(name, read, lambda fields: [optional(name, fields.get(key))])


def _from_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    return without_empty({"issuer": office(nodes[0], notes, path="issuer.")})


def _to_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    codes = [told(node.first("OrganId"), notes) for node in nodes]
    return without_empty({"_to": list(dict.fromkeys(code for code in codes if code))})


def _to_write(fields: Fields) -> Sequence[Node | None]:
    return [element("To", element("OrganId", code)) for code in fields.get("_to", ())]


def _code_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    return texts(nodes[0], {"number": "CodeNumber", "notation": "CodeNotation"}, notes)


def _code_write(fields: Fields) -> Sequence[Node | None]:
    number_node = optional("CodeNumber", fields.get("number"))
    return [group("Code", number_node, optional("CodeNotation", fields.get("notation")))]


def _issue_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    found = texts(nodes[0], {"issued_place": "Place"}, notes)
    return without_empty({**found, "issued_date": day(nodes[0].first("PromulgationDate"), notes)})


def _issue_write(fields: Fields) -> Sequence[Node | None]:
    when = optional("PromulgationDate", day_text(fields.get("issued_date")))
    return [group("PromulgationInfo", optional("Place", fields.get("issued_place")), when)]


def _content_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    notes.places["content"] = (nodes[0].line, "Content")
    return without_empty({"content": nodes[0].text if told(nodes[0], notes) else ""})


def _signer_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    return without_empty({"signer": texts(nodes[0], _SIGNER, notes, path="signer.")})


def _signer_write(fields: Fields) -> Sequence[Node | None]:
    signer = fields.get("signer", {})
    return [group("SignerInfo", *(optional(tag, signer.get(key)) for key, tag in _SIGNER.items()))]


def _due_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    found = day(nodes[0], notes)
    text = nodes[0].line_text
    moment = parse_moment(text) if ":" in text else parse_moment(f"{found} 23:59:59")
    return without_empty(
        {"due_date": found, "_due_moment": record_time(moment) if found and moment else ""}
    )


def _due_write(fields: Fields) -> Sequence[Node | None]:
    due, moment = fields.get("due_date"), parse_moment(str(fields.get("deliver_by", "")))
    text = moment_text(moment) if moment else ""
    timed = text.startswith(f"{day_text(due)} ") and not text.endswith("23:59:59")
    return [optional("DueDate", text if due and timed else day_text(due))]


def _places_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    notes.places["to_places"] = (nodes[0].line, "ToPlaces")
    found = [told(node, notes) for node in nodes[0].all("Place")]
    return without_empty({"to_places": [place for place in found if place]})


def _places_write(fields: Fields) -> Sequence[Node | None]:
    return [group("ToPlaces", *(optional("Place", each) for each in fields.get("to_places", ())))]


def _other_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    node = nodes[0]
    found = texts(node, _OTHER, notes)
    found |= {key: number(node.first(tag), notes) for key, tag in _COUNTS.items()}
    found |= _priority(node.first("Priority"), notes)
    lists = [inner for outer in node.all("Appendixes") for inner in outer.all("Appendix")]
    notes.places["appendices"] = (node.line, "Appendixes")
    found["appendices"] = [text for inner in lists if (text := told(inner, notes))]
    found["is_direction"] = _YES.get(node.of("Direction").lower())
    codes = [told(inner, notes) for inner in node.all("ReferenceCodes") if not list(inner)]
    found["references"] = [identifier(code) for code in codes if code]
    return without_empty(found)


def _priority(node: Node | None, notes: Notes) -> Fields:
    stated = number(node, notes)
    if stated is None or node is None:
        return {}
    if stated > SCHEDULED:
        value, wanted = node.line_text, "0, 1, 2, 3, 4"
        notes.findings.append(
            finding("VALUE", line=node.line, element="Priority", value=value, wanted=wanted)
        )
        return {}
    return {"_urgency": PRIORITIES[stated].value, "_scheduled": stated == SCHEDULED}


def _other_write(fields: Fields) -> Sequence[Node | None]:
    urgency = Urgency(fields.get("_urgency", Urgency.NORMAL))
    priority = SCHEDULED if fields.get("deliver_by") else PRIORITIES.index(urgency)
    direction = fields.get("is_direction")
    named = [
        each.get("document_code") or each.get("document_id")
        for each in fields.get("references", ())
    ]
    return [
        group(
            "OtherInfo",
            element("Priority", str(priority)),
            *(optional(tag, fields.get(key)) for key, tag in _OTHER.items()),
            *(optional(tag, fields.get(key)) for key, tag in _COUNTS.items()),
            group(
                "Appendixes", *(optional("Appendix", one) for one in fields.get("appendices", ()))
            ),
            optional("Direction", None if direction is None else str(direction).lower()),
            *(optional("ReferenceCodes", code) for code in named),
        )
    ]


def _answers_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    notes.places["in_reply_to"] = (nodes[0].line, "ResponseFor")
    found = [reference(node, notes) for node in nodes]
    named = [target(node, Notes()) for node in nodes]
    return without_empty({"in_reply_to": [each for each in found if each], "_named": named})


def _answers_write(fields: Fields) -> Sequence[Node | None]:
    return [reference_node(each) for each in fields.get("in_reply_to", ())]


def _task_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    return texts(nodes[0], {"task_code": "TaskCode"}, notes)


def _task_write(fields: Fields) -> Sequence[Node | None]:
    return [group("ResponseForTask", optional("TaskCode", fields.get("task_code")))]


def _steering_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    return without_empty({"steering_type": number(nodes[0], notes)})


def _steering_write(fields: Fields) -> Sequence[Node | None]:
    return [optional("SteeringType", fields.get("steering_type"))]


def _id_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    notes.places["document_code"] = (nodes[0].line, "DocumentId")
    found = told(nodes[0], notes)
    return without_empty({"_id" if is_id(found) else "document_code": found})


def _id_write(fields: Fields) -> Sequence[Node | None]:
    return [optional("DocumentId", fields.get("document_code") or fields.get("_id"))]


def _trace_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    hops = []
    for node in nodes:
        code, text = node.of("OrganId"), node.of("Timestamp")
        moment = parse_moment(text)
        if code and moment:
            hops.append({"agency": code, "time": record_time(moment)})
        elif text and not moment:
            wanted = "yyyy/MM/dd HH:mm:ss"
            notes.findings.append(
                warning("VALUE", line=node.line, element="Timestamp", value=text, wanted=wanted)
            )
    return without_empty({"trace": hops})


def _trace_write(fields: Fields) -> Sequence[Node | None]:
    return [
        element(
            "TraceHeader",
            element("OrganId", hop["agency"]),
            optional("Timestamp", _hop_time(hop["time"])),
        )
        for hop in fields.get("trace", ())
    ]


def _hop_time(text: str) -> str:
    moment = parse_moment(text)
    return moment_text(moment) if moment else ""


def _business_read(nodes: Sequence[Node], notes: Notes) -> Fields:
    node = nodes[0]
    kind = number(node.first("BussinessDocType", "BusinessDocType"), notes)
    if kind is not None and kind >= len(OPERATIONS):
        facts: dict[str, object] = {"value": kind, "wanted": "0, 1, 2, 3"}
        notes.findings.append(finding("VALUE", line=node.line, element="BussinessDocType", **facts))
        kind = None
    reason = node.first("BussinessDocReason", "BusinessDocReason")
    notes.places["reason"] = ((reason or node).line, "BussinessDocReason")
    target_id, replaced = node.first("DocumentId"), _replaced_read(node)
    notes.places["_target"] = ((target_id or node).line, "DocumentId")
    return without_empty(
        {
            "_operation": OPERATIONS[kind].value if kind is not None else "",
            "reason": told(reason, notes),
            "recipient_changes": _changes_read(node, notes),
            "_target": told(target_id, notes),
            "staff": staff(node.first("StaffInfo"), notes),
            "paper_also_sent": _YES.get(node.of("Paper").lower()),
            "replaces": [identifier(each.document_code) for each in replaced],
            "_replaced": replaced,
        }
    )


def _changes_read(node: Node, notes: Notes) -> list[Fields]:
    info = node.first("BussinessDocumentInfo", "BusinessDocumentInfo")
    listed = info.first("ReceiverList") if info else None
    found = []
    for receiver in listed.all("Receiver") if listed else ():
        code, kind = receiver.of("OrganId"), number(receiver.first("ReceiverType"), notes)
        if code and kind in (0, 1):
            found.append({"code": code, "change": "added" if kind else "removed"})
    return found


def _replaced_read(node: Node) -> list[Target]:
    """What a replacement replaces, and for whom."""
    found = []
    listed = node.first("ReplacementInfoList")
    for each in listed.all("ReplacementInfo") if listed else ():
        inner = [code for outer in each.all("OrganIdList") for code in outer.all("OrganId")]
        target_id = each.first("DocumentId")
        if target_id and target_id.line_text:
            found.append(
                Target(
                    receiver="",
                    document_code=target_id.line_text,
                    receivers=tuple(code.line_text for code in inner if code.line_text),
                    line=target_id.line,
                )
            )
    return found


def _business_write(fields: Fields) -> Sequence[Node | None]:
    operation = ActionKind(fields.get("_operation", ActionKind.NEW))
    paper = fields.get("paper_also_sent")
    replaced = [
        each.get("document_code") or each.get("document_id") for each in fields.get("replaces", ())
    ]
    return [
        group(
            "Bussiness",
            element("BussinessDocType", str(OPERATIONS.index(operation))),
            optional("BussinessDocReason", fields.get("reason")),
            _changes_write(fields, updated=operation is ActionKind.UPDATE),
            optional("DocumentId", fields.get("_target")),
            staff_node(fields.get("staff")),
            optional("Paper", None if paper is None else int(paper)),
            group(
                "ReplacementInfoList",
                *(group("ReplacementInfo", optional("DocumentId", code)) for code in replaced),
            ),
        )
    ]


def _changes_write(fields: Fields, *, updated: bool) -> Node | None:
    """What an update changes: the document, its receivers, or both."""
    changes = fields.get("recipient_changes", ())
    if not (changes or updated):
        return None
    receivers = [
        element(
            "Receiver",
            element("OrganId", each["code"]),
            element("ReceiverType", "1" if each["change"] == "added" else "0"),
        )
        for each in changes
    ]
    return element(
        "BussinessDocumentInfo",
        element("DocumentInfo", "1") if updated else None,
        element("DocumentReceiver", "1" if changes else "0"),
        group("ReceiverList", *receivers),
    )
