"""Values inside edXML elements, both ways: days, moments, numbers, agencies, persons."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from edoccore.signing.statements import time_text
from edocnode.edxml.findings import warning
from edocnode.edxml.model import Fields, Notes, Target
from edocnode.edxml.tree import Node, group, optional

VIET_NAM = timezone(timedelta(hours=7))
_DAY = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})(?!\d)", re.ASCII)
_CLOCK = re.compile(r"[T ]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?$", re.ASCII)
_NUMBER = re.compile(r"\d{1,16}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLACEHOLDERS = frozenset({"n/a", "na", "null", "none", "undefined", "...", "-", "?"})

_OFFICE = {
    "code": "OrganId",
    "parent": "OrganizationInCharge",
    "name": "OrganName",
    "address": "OrganAdd",
    "email": "Email",
    "phone": "Telephone",
    "fax": "Fax",
    "website": "Website",
}
_STAFF = {
    "department": "Department",
    "department_id": "DepartmentId",
    "full_name": "Staff",
    "staff_id": "StaffId",
    "phone": "Mobile",
    "email": "Email",
}


def texts(node: Node | None, names: Mapping[str, str], notes: Notes, *, path: str = "") -> Fields:
    """The texts of elements by field; empty ones are left out.

    Args:
        path: Of the group in the record, such as ``issuer.``.
    """
    found: Fields = {}
    for name, tag in names.items():
        inner = node.first(tag) if node else None
        text = told(inner, notes)
        if text and inner:
            found[name] = text
            notes.places[path + name] = (inner.line, inner.name)
    return found


def told(node: Node | None, notes: Notes) -> str:
    """The text of an element on one line, with a warning when it is a placeholder."""
    text = node.line_text if node else ""
    if node and text.casefold() in _PLACEHOLDERS:
        _warn(notes, "PLACEHOLDER", node, value=text)
    return text


def number(node: Node | None, notes: Notes) -> int | None:
    """A number from 0 on; None when there is none, with a warning when it is something else."""
    text = told(node, notes)
    if not text or node is None:
        return None
    if not _NUMBER.fullmatch(text):
        _warn(notes, "VALUE", node, value=text, wanted="0, 1, 2, ...")
        return None
    return int(text)


def day(node: Node | None, notes: Notes) -> str:
    """A day as the record has it; empty when there is none."""
    text = told(node, notes)
    if not text or node is None:
        return ""
    found = parse_day(text)
    if found is None:
        _warn(notes, "VALUE", node, value=text, wanted="yyyy/MM/dd")
        return ""
    return found.isoformat()


def parse_day(text: str) -> date | None:
    """A day in one of the forms that are written; None when it is none."""
    found = _DAY.match(text)
    parts = found.groups() if found else None
    if parts is None and (other := _DAY_FIRST.match(text)):
        parts = other.groups()[::-1]
    if parts is None:
        return None
    try:
        return date(*map(int, parts))
    except ValueError:
        return None


def parse_moment(text: str) -> datetime | None:
    """A moment, in Viet Nam's zone unless it says another; a day alone is its beginning."""
    found = parse_day(text)
    if found is None:
        return None
    clock = _CLOCK.search(text)
    hour, minute, second, zone = clock.groups() if clock else ("0", "0", "0", None)
    stated = zone.replace("Z", "+00:00") if zone else "+07:00"
    try:
        return datetime.fromisoformat(
            f"{found.isoformat()}T{int(hour):02}:{int(minute):02}:{int(second or 0):02}{stated}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def moment_text(moment: datetime) -> str:
    """A moment as edXML writes it."""
    return moment.astimezone(VIET_NAM).strftime("%Y/%m/%d %H:%M:%S")


def record_time(moment: datetime) -> str:
    """A moment as the record has it."""
    return time_text(moment)


def day_text(iso: object) -> str:
    """A day of the record as edXML writes it; empty for none."""
    return str(iso).replace("-", "/") if iso else ""


def office(node: Node | None, notes: Notes, *, path: str = "") -> Fields:
    """An agency."""
    return texts(node, _OFFICE, notes, path=path)


def office_node(name: str, fields: Fields) -> Node | None:
    """An agency as an element."""
    return group(name, *(optional(tag, fields.get(key)) for key, tag in _OFFICE.items()))


def staff(node: Node | None, notes: Notes) -> Fields:
    """The person who acts."""
    return texts(node, _STAFF, notes, path="staff.")


def staff_node(fields: Fields | None) -> Node | None:
    """The person who acts as an element."""
    given = fields or {}
    return group("StaffInfo", *(optional(tag, given.get(key)) for key, tag in _STAFF.items()))


def target(node: Node, notes: Notes) -> Target:
    """The document that a ``ResponseFor`` names."""
    return Target(
        receiver=node.of("OrganId"),
        document_code=node.of("DocumentId"),
        number_and_notation=node.of("Code"),
        issued_date=day(node.first("PromulgationDate"), notes),
        line=node.line,
    )


def reference(node: Node, notes: Notes) -> Fields:
    """The document that a ``ResponseFor`` names, as the record has it."""
    named = target(node, notes)
    first, _, rest = named.number_and_notation.partition("/")
    found: Fields = {
        "agency": named.receiver,
        "number": first,
        "notation": rest,
        "issued_date": named.issued_date,
        **identifier(named.document_code),
    }
    return {name: value for name, value in found.items() if value}


def identifier(text: str) -> Fields:
    """An identifier of a document: the exchange's own id, or an official code."""
    if not text:
        return {}
    return {"document_id" if is_id(text) else "document_code": text}


def is_id(text: str) -> bool:
    """Whether it is an id of the exchange and no official code."""
    return bool(_UUID.fullmatch(text))


def reference_node(fields: Fields) -> Node | None:
    """A reference of the record as a ``ResponseFor``."""
    code = "/".join(str(fields[name]) for name in ("number", "notation") if fields.get(name))
    return group(
        "ResponseFor",
        optional("OrganId", fields.get("agency")),
        optional("Code", code),
        optional("PromulgationDate", day_text(fields.get("issued_date"))),
        optional("DocumentId", fields.get("document_code") or fields.get("document_id")),
    )


def target_node(named: Target) -> Node | None:
    """A target as a ``ResponseFor``."""
    return group(
        "ResponseFor",
        optional("OrganId", named.receiver),
        optional("Code", named.number_and_notation),
        optional("PromulgationDate", day_text(named.issued_date)),
        optional("DocumentId", named.document_code),
    )


def without_empty(fields: Mapping[str, Any]) -> Fields:
    """Leaves out what is not there."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _warn(notes: Notes, code: str, node: Node, **facts: object) -> None:
    notes.findings.append(warning(code, line=node.line, element=node.name, **facts))
