"""Status messages, both ways: what a receiver tells the sender of a document.

01 is the receipt and 13 the taking back, which have no status of their own in the exchange; 02 to
06, 15 and 16 are steps (``STEP_CODES``).

Source: edXML (QCVN 102:2016/BTTTT); Decision 28/2018/QD-TTg, Articles 9 and 10(h).
"""

from collections.abc import Mapping

from edoccore.signing.records import STEP_CODES, StatusStep
from edocnode.edxml.findings import finding, vietnamese
from edocnode.edxml.layout import Layout
from edocnode.edxml.model import Notes, StatusMessage
from edocnode.edxml.tree import Node, element, optional
from edocnode.edxml.values import (
    moment_text,
    office,
    office_node,
    parse_moment,
    staff,
    staff_node,
    target,
    target_node,
    told,
)

ARRIVED = "01"
TAKE_BACK = "13"
CODES = frozenset({ARRIVED, TAKE_BACK, *STEP_CODES.values()})
STEPS: Mapping[str, StatusStep] = {  # 01 in a package says that it arrived: the receipt says so
    code: step for step, code in STEP_CODES.items() if code != ARRIVED
}


def words(code: str) -> str:
    """A code in Vietnamese words; an unknown one as it is."""
    return vietnamese(f"STATUS_{code}") if code in CODES else code


def read_status(layout: Layout, notes: Notes) -> StatusMessage | None:
    """The status message of a package; None, with what is wrong in the notes, when it is none."""
    node = layout.status
    about = node.first("ResponseFor") if node else None
    sender = node.first("From") if node else None
    if node is None or about is None or sender is None or not sender.of("OrganId"):
        what = "From/OrganId" if about else "ResponseFor"
        line = node.line if node else 0
        notes.findings.append(finding("MISSING", line=line, element="Status", what=what))
        return None
    code = told(node.first("StatusCode"), notes).zfill(2)
    if code not in CODES:
        notes.findings.append(
            finding("STATUS_CODE", line=node.line, element="StatusCode", value=code)
        )
        return None
    described = node.first("Description")
    return StatusMessage(
        target=target(about, notes),
        sender=office(sender, notes),
        code=code,
        description=described.text if described else "",
        time=parse_moment(node.of("Timestamp")),
        staff=staff(node.first("StaffInfo"), notes),
    )


def status_node(message: StatusMessage) -> Node:
    """A status message as the element that carries it."""
    return element(
        "Status",
        target_node(message.target),
        office_node("From", message.sender),
        element("StatusCode", message.code),
        optional("Description", message.description),
        optional("Timestamp", moment_text(message.time) if message.time else ""),
        staff_node(message.staff),
    )


def reason_of(message: StatusMessage) -> str:
    """The reason in the description, without the words of the code in front."""
    text = " ".join(message.description.split())
    return text.removeprefix(f"{words(message.code)}:").strip()
