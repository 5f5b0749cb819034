"""How values read on a terminal: times, sizes, short ids, troubles. The same words everywhere."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from edockit.language import _, is_english, marked, told
from edocnode.domain.reasons import DECLINE_CODES, REJECT_CODES

URGENCY = {
    "normal": "",
    "khan": "KHẨN",
    "thuong_khan": "THƯỢNG KHẨN",
    "hoa_toc": "HỎA TỐC",
}  # Decree 30/2020, Appendix I, 7
SCHEDULED = "SCHEDULED"  # reason of a delivery that is to be sent later
SHOWN = 20  # deliveries of one document; of more the text has counts
_ID_LENGTHS = (13, 18, 23, 36)  # whole groups of an id; 13 are its time to the millisecond
_BRIEF = 80  # characters of a remark in a table
_STILL_HELD = (  # sealed in both languages; what a person reads of it in one
    (
        re.compile(
            r"Bản sao lưu được tạo trước khi thu hồi \(backups made before the revocation\)\."
        ),
        marked("backups made before the revocation"),
    ),
    (
        re.compile(r"Văn bản bị giữ theo yêu cầu pháp lý: (?P<hold>.*) \(legal hold\)\."),
        marked("legal hold: {hold}"),
    ),
)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def clock(text: str | None) -> str:
    """A time of the JSON for people: ``23/11/2026 10:04:05``."""
    from edockit.console import local_time_text

    return local_time_text(datetime.fromisoformat(text)) if text else "-"


def clock_or_text(text: str) -> str:
    """A time for people; what is none stays as it is, on one line."""
    try:
        return clock(text)
    except ValueError:
        return plain(text)


def day(text: str) -> str:
    """A day of the JSON as it stands on paper: ``05/12/2026``."""
    parts = text.split("-")
    return "/".join(reversed(parts)) if len(parts) == 3 else text


def size(count: int) -> str:
    """A size for people, such as ``1.4 MiB``."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """The shortest beginnings of ids that tell them apart, all of one length."""
    every = set(ids)
    for length in _ID_LENGTHS:
        if len({item[:length] for item in every}) == len(every):
            return {item: item[:length] for item in every}
    return {item: item for item in every}


def grouped(number: int) -> str:
    """A number with its thousands apart: ``39,000``, in Vietnamese ``39.000``."""
    text = f"{number:,}"
    return text if is_english() else text.replace(",", ".")


def percentage(share: float) -> str:
    """A share: ``97.5%``, in Vietnamese ``97,5%``."""
    text = f"{share:.1%}"
    return text if is_english() else text.replace(".", ",")


def official_number(document: dict[str, Any]) -> str:
    """Number and notation as they stand on paper: ``28/QĐ-UBND``, ``05/QĐ-UBND``."""
    from edocnode.domain.official import on_paper

    return "/".join(filter(None, (on_paper(document["number"]), document["notation"])))


def plain(text: str) -> str:
    """Text from another agency for one line of a terminal: nothing in it can act or hide."""
    return "".join(
        " " if letter in "\n\t" else letter
        for letter in text
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co")
    )


def files(parts: Sequence[dict[str, Any]]) -> str:
    """How many files, and how large together."""
    total = sum(part["size_bytes"] for part in parts)
    return f"{len(parts)} ({size(total)})" if parts else ""


def sentence(text: str) -> str:
    """A text that begins with a capital letter and ends with one full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def brief(text: str) -> str:
    """The beginning of an explanation, whole words; all of it is in the JSON."""
    if len(text) <= _BRIEF:
        return text.rstrip(".")
    return f"{text[:_BRIEF].rpartition(' ')[0].rstrip('.,;:')} …"


def state_counts(counts: Mapping[str, int]) -> str:
    """How many deliveries are in each state: ``3000: 2950 delivered, 50 queued``."""
    total = sum(counts.values())
    return f"{total}: " + ", ".join(f"{number} {told(state)}" for state, number in counts.items())


def several(items: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    shown = ", ".join(items[:SHOWN])
    if len(items) <= SHOWN:
        return shown
    return _("{items} and {count} more", items=shown, count=len(items) - SHOWN)


def peer_trouble(peer: dict[str, Any]) -> str:
    """Since when and why a peer does not answer, and when it is tried next; empty when it does."""
    if not peer["down_since"]:
        return ""
    return _(
        "no answer since {down_since}: {why} ({reason}){following}",
        down_since=clock(peer["down_since"]),
        why=brief(told(peer["message"] or peer["reason"])),
        reason=peer["reason"],
        following=_following(peer),
    )


def _following(waiting: dict[str, Any]) -> str:
    at = waiting["next_attempt_at"]
    return _(", next try {next_attempt_at}", next_attempt_at=clock(at)) if at else ""


def advice(delivery: dict[str, Any]) -> str:
    """What a person can do about a delivery, after what is wrong with it; empty when nothing."""
    return f"; {told(delivery['advice'])}" if delivery["advice"] else ""


def step_words(step: dict[str, Any]) -> str:
    """What a step did: ``accepted``, ``assigned to Phòng Hành chính``, ..."""
    if step["assignee"]:
        return _("{step} to {assignee}", step=told(step["step"]), assignee=plain(step["assignee"]))
    if step["code"]:
        return f"{told(step['step'])}, {code_words(step['code'])}"
    if step["step"] == "agreed":
        return _("destroyed") if step["state"] == "revoked" else _("updated")
    return told(str(step["step"]))


def code_words(code: str) -> str:
    """A reason code and how it reads: ``DUPLICATE (Văn bản đã được gửi trước đó)``."""
    known = REJECT_CODES.get(code) or DECLINE_CODES.get(code)
    if known is None:
        return plain(code)
    return f"{code} ({known.en if is_english() else known.vi})"


def step_line(step: dict[str, Any]) -> str:
    """A step in one line of a timeline."""
    reason = f": {plain(step['reason'])}" if step["reason"] else ""
    return _(
        "{time}  {step}{reason}  by {actor}",
        time=clock(step["time"]),
        step=step_words(step),
        reason=reason,
        actor=plain(step["actor"]),
    )


def delivery_trouble(delivery: dict[str, Any]) -> str:
    """Why a delivery is not done and when it goes on; what the recipient did when it is."""
    if delivery["revocation"]:
        return revocation_words(delivery)
    if delivery["state"] == "delivered":
        return _told(delivery) if delivery["recipient_state"] else ""
    if delivery["peer_down_since"]:
        return peer_trouble({**delivery, "down_since": delivery["peer_down_since"]})
    if delivery["reason"] == SCHEDULED:
        return _("to be sent {at}", at=clock(delivery["next_attempt_at"]))
    if not delivery["reason"]:
        return advice(delivery).removeprefix("; ")
    why = brief(plain(told(delivery["message"] or delivery["reason"])))
    return f"{why} ({delivery['reason']}){_following(delivery)}{advice(delivery)}"


def revocation_words(delivery: dict[str, Any]) -> str:
    """What became of a delivery since it was taken back."""
    match delivery["revocation"]:
        case "withdrawn":
            return _("taken back before it was sent")
        case "pending":
            return _(
                "taken back; not yet destroyed at {recipient}",
                recipient=plain(delivery["recipient"]),
            )
        case "agreed":
            held = "; ".join(_held_words(plain(text)) for text in delivery["still_held"])
            left = _("; still held there: {held}", held=held) if held else ""
            at = clock(delivery["revocation_at"])
            return _("destroyed there {revocation_at}{left}", revocation_at=at, left=left)
        case "declined":
            return _(
                "taken back, but kept there: {decline_reason}",
                decline_reason=plain(delivery["decline_reason"]),
            )
        case "not_reached":
            return _(
                "taken back, but the node that has it is not heard any more since its agency has "
                "ended; ask whoever follows {recipient} in writing to destroy it",
                recipient=plain(delivery["recipient"]),
            )
        case _:
            return _("taken back; the recipient had refused it and kept nothing")


def copy_line(copy: Mapping[str, Any]) -> str:
    """What is known of a copy at a node that was passed over, in one line."""
    node, at = plain(copy["node"]), clock(copy["at"])
    match copy["state"]:
        case "may_be_there":
            return _(
                "The node of {node} did not answer and was passed over {at}; it may have the same "
                "document.",
                node=node,
                at=at,
            )
        case "there":
            return _("The node of {node} has it too, and dealt with it {at}.", node=node, at=at)
        case "asked":
            return _(
                "The node of {node} may have it too; it is told to destroy it as soon as it "
                "answers.",
                node=node,
            )
        case "destroyed":
            return _("The node of {node} destroyed its copy {at}.", node=node, at=at)
        case "kept":
            reason = plain(copy["reason"])
            return _("The node of {node} keeps its copy: {reason}", node=node, reason=reason)
        case _:
            return _(
                "The node of {node} may have it too and is not heard any more; ask whoever follows "
                "that agency in writing to destroy it.",
                node=node,
            )


def _held_words(text: str) -> str:
    """What a recipient still has of a document, in the language of the reader."""
    for pattern, words in _STILL_HELD:
        if found := pattern.fullmatch(text):
            return _(words, **found.groupdict())
    return text


def link_pairs(links: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """How a document belongs to others, as label and id."""
    words = {
        "replaces": _("replaces"),
        "replaced_by": _("replaced by"),
        "corrects": _("corrects"),
        "corrected_by": _("corrected by"),
    }
    return [(words[link["kind"]], link["document_id"]) for link in links]


def version_line(version: Mapping[str, Any]) -> str:
    """A version of a document in one line."""
    reason = f": {plain(version['reason'])}" if version["reason"] else ""
    words = {
        "in_force": _("in force"),
        "superseded": _("superseded"),
        "pending": _("waits for an answer"),
        "declined": _("declined"),
    }
    state = words[version["state"]]
    return f"{clock(version['received_at'])}  {state}{reason}  {version['message_id']}"


def taken_back_words(found: dict[str, Any]) -> str:
    """Who took a document back, when and why."""
    return _(
        "{time} by {actor}: {reason}",
        time=clock(found["time"]),
        actor=plain(found["actor"]),
        reason=plain(found["reason"]),
    )


def _told(delivery: dict[str, Any]) -> str:
    """What a recipient did with a document, as far as it told."""
    reason = f": {plain(delivery['recipient_reason'])}" if delivery["recipient_reason"] else ""
    if delivery["recipient_state"] == "assigned":
        return _("assigned there to {assignee}", assignee=plain(delivery["assignee"])) + reason
    return _("{state} there", state=told(delivery["recipient_state"])) + reason
