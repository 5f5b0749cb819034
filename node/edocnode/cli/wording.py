"""How values read on a terminal: times, sizes, short ids, troubles. The same words everywhere."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

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
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def clock(text: str | None) -> str:
    """A time of the JSON for people: ``23/11/2026 10:04:05``."""
    from edockit.console import local_time_text

    return local_time_text(datetime.fromisoformat(text)) if text else "-"


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
    return f"{total}: " + ", ".join(f"{number} {state}" for state, number in counts.items())


def several(items: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def peer_trouble(peer: dict[str, Any]) -> str:
    """Since when and why a peer does not answer, and when it is tried next; empty when it does."""
    if not peer["down_since"]:
        return ""
    following = f", next try {clock(peer['next_attempt_at'])}" if peer["next_attempt_at"] else ""
    why = brief(peer["message"] or peer["reason"])
    return f"no answer since {clock(peer['down_since'])}: {why} ({peer['reason']}){following}"


def advice(delivery: dict[str, Any]) -> str:
    """What a person can do about a delivery, after what is wrong with it; empty when nothing."""
    return f"; {delivery['advice']}" if delivery["advice"] else ""


def step_words(step: dict[str, Any]) -> str:
    """What a step did: ``accepted``, ``assigned to Phòng Hành chính``, ..."""
    if step["assignee"]:
        return f"{step['step']} to {plain(step['assignee'])}"
    if step["code"]:
        return f"{step['step']}, {code_words(step['code'])}"
    return str(step["step"])


def code_words(code: str) -> str:
    """A reason code and how it reads: ``DUPLICATE (Văn bản đã được gửi trước đó)``."""
    known = REJECT_CODES.get(code) or DECLINE_CODES.get(code)
    return plain(code) if known is None else f"{code} ({known.vi})"


def step_line(step: dict[str, Any]) -> str:
    """A step in one line of a timeline."""
    reason = f": {plain(step['reason'])}" if step["reason"] else ""
    return f"{clock(step['time'])}  {step_words(step)}{reason}  by {plain(step['actor'])}"


def delivery_trouble(delivery: dict[str, Any]) -> str:
    """Why a delivery is not done and when it goes on; what the recipient did when it is."""
    if delivery["revocation"]:
        return revocation_words(delivery)
    if delivery["state"] == "delivered":
        return _told(delivery) if delivery["recipient_state"] else ""
    if delivery["peer_down_since"]:
        return peer_trouble({**delivery, "down_since": delivery["peer_down_since"]})
    if delivery["reason"] == SCHEDULED:
        return f"to be sent {clock(delivery['next_attempt_at'])}"
    if not delivery["reason"]:
        return advice(delivery).removeprefix("; ")
    following = (
        f", next try {clock(delivery['next_attempt_at'])}" if delivery["next_attempt_at"] else ""
    )
    why = brief(plain(delivery["message"] or delivery["reason"]))
    return f"{why} ({delivery['reason']}){following}{advice(delivery)}"


def revocation_words(delivery: dict[str, Any]) -> str:
    """What became of a delivery since it was taken back."""
    match delivery["revocation"]:
        case "withdrawn":
            return "taken back before it was sent"
        case "pending":
            return f"taken back; not yet destroyed at {plain(delivery['recipient'])}"
        case "agreed":
            held = "; ".join(plain(text) for text in delivery["still_held"])
            left = f"; still held there: {held}" if held else ""
            return f"destroyed there {clock(delivery['revocation_at'])}{left}"
        case "declined":
            return f"taken back, but kept there: {plain(delivery['decline_reason'])}"
        case _:
            return "taken back; the recipient had refused it and kept nothing"


def taken_back_words(found: dict[str, Any]) -> str:
    """Who took a document back, when and why."""
    return f"{clock(found['time'])} by {plain(found['actor'])}: {plain(found['reason'])}"


def _told(delivery: dict[str, Any]) -> str:
    """What a recipient did with a document, as far as it told."""
    given = (
        f" to {plain(delivery['assignee'])}" if delivery["recipient_state"] == "assigned" else ""
    )
    reason = f": {plain(delivery['recipient_reason'])}" if delivery["recipient_reason"] else ""
    return f"{delivery['recipient_state']} there{given}{reason}"
