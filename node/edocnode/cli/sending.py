"""The command that hands a document in: send."""

import json
import re
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import ExitCode, RequestInvalidError
from edoccore.signing.statements import Urgency
from edocnode.cli.context import CommandContext
from edocnode.cli.wording import SHOWN, clock, plain, state_counts

if TYPE_CHECKING:
    from edocnode.rpc.office_client import OfficeClient, Outgoing

CHUNK_BYTES = 960 * 1024
PROGRESS_BYTES = 8 * 1024 * 1024  # smaller documents are sent before anybody looks
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_OPEN = frozenset({"queued", "sending"})


def send(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="The document."),
    ],
    *,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="Recipient's code; may be repeated.")
    ] = None,
    to_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--to-file", exists=True, dir_okay=False, help="File of recipients' codes, one a line."
        ),
    ] = None,
    subject: Annotated[str, typer.Option("--subject", help="What it is about (trích yếu).")],
    sender: Annotated[
        str, typer.Option("--from", help="Code to send from; default: the node's own.")
    ] = "",
    number: Annotated[str, typer.Option("--number", help="Number (số).")] = "",
    notation: Annotated[str, typer.Option("--notation", help="Notation (ký hiệu).")] = "",
    document_type: Annotated[
        str, typer.Option("--type", help="Type: CV, QĐ, quyet dinh; see: edocnode codes types.")
    ] = "",
    urgency: Annotated[Urgency, typer.Option("--urgency", help="How fast.")] = Urgency.NORMAL,
    due: Annotated[str, typer.Option("--due", help="Day by which it is due: 2026-12-05.")] = "",
    send_at: Annotated[
        str,
        typer.Option("--send-at", help="Send it then: 2026-12-01T08:00 (or with offset: +07:00)."),
    ] = "",
    reply_to: Annotated[str, typer.Option("--reply-to", help="Id of the answered document.")] = "",
    request_id: Annotated[
        str, typer.Option("--request-id", help="Your name for this request; makes repeating safe.")
    ] = "",
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Wait this many seconds for the receipts.")
    ] = 0,
) -> int:
    """Sends a document; done once safely queued."""
    from edocnode.rpc.office_client import Outgoing

    options: CommandContext = context.obj
    recipients = _recipients(to or (), to_file or ())
    moment = _moment(send_at)
    fields = _fields(
        subject=subject,
        number=number,
        notation=notation,
        document_type=_type(options, document_type),
        due_date=_day(due),
    )
    with options.office() as office:
        if reply_to:
            fields["in_reply_to"] = [_reference(office, reply_to)]
        outgoing = Outgoing(
            request_id=request_id or _new_request_id(options),
            sender=sender,
            recipients=recipients,
            urgency=urgency,
            fields=json.dumps(fields, ensure_ascii=False).encode(),
            files=tuple((_nfc(path.name), path.stat().st_size) for path in files),
            send_at=moment,
        )
        sent, position = office.submit(outgoing, _content(files, outgoing))
        if wait:
            _wait(office, sent, position, wait)
    options.console.data(sent, _sent_text(sent, moment))
    return _exit_code(sent).value if wait else ExitCode.DONE.value


def _new_request_id(options: CommandContext) -> str:
    import secrets

    made = secrets.token_hex(16)
    options.console.say(f"request id {made}; if this is cut off, repeat with --request-id {made}")
    return made


def _fields(**given: str) -> dict[str, Any]:
    return {name: _nfc(value) for name, value in given.items() if value}


def _type(options: CommandContext, text: str) -> str:
    """The code of a document type that was written in some way; empty when none was."""
    if not text:
        return ""
    from edocnode.domain.codes import CodeList, find_code

    return find_code(options.code_lists(), CodeList.TYPES, _nfc(text)).code


def _nfc(text: str) -> str:
    """Text in the one form that seals allow; keyboards and disks of some systems give another."""
    return unicodedata.normalize("NFC", text)


def _recipients(codes: Sequence[str], files: Sequence[Path]) -> tuple[str, ...]:
    """The codes given one by one and in files; each line of a file has one, or a comment (#).

    Raises:
        RequestInvalidError: There are none.
    """
    found = list(codes)
    for path in files:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        words = (line.partition("#")[0].strip() for line in lines)
        found += [word for word in words if word]
    if not found:
        raise RequestInvalidError(
            "No recipient was given.", hint="Add --to CODE, or --to-file FILE with codes in it."
        )
    return tuple(found)


def _moment(text: str) -> datetime | None:
    """A moment as people write it: RFC 3339, or local time of Viet Nam when no offset is given.

    Raises:
        RequestInvalidError: It is neither.
    """
    if not text:
        return None
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError("another form")
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise RequestInvalidError(
            f"{text[:80]!r} is no day and time.",
            hint="Write --send-at as 2026-12-01T08:00, or with its offset: 2026-12-01T08:00+07:00.",
        ) from error
    from edockit.console import VIET_NAM

    return found if found.tzinfo else found.replace(tzinfo=VIET_NAM)


def _day(text: str) -> str:
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise RequestInvalidError(
            f"{text!r} is no day.", hint="Write --due as 2026-12-05."
        ) from error


def _reference(office: "OfficeClient", document: str) -> dict[str, str]:
    """How the answered document is named in the record."""
    found = office.document(document)
    answered = found["received"][0] if found["received"] else found["sent"]
    names = ("document_id", "document_code", "number", "notation", "issued_date")
    given = {name: answered[name] for name in names if answered[name]}
    return {**given, "agency": answered["sender"]}


def _content(files: list[Path], outgoing: "Outgoing") -> Iterator[bytes]:
    """The bytes of all files, one chunk at a time; shows progress on a terminal."""
    total = sum(size for _, size in outgoing.files)
    shown = total >= PROGRESS_BYTES and sys.stderr.isatty()
    done = 0
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                done += len(chunk)
                if shown:
                    sys.stderr.write(f"\r{100 * done // total:3d} %")
    if shown:
        sys.stderr.write("\r     \r")


def _wait(office: "OfficeClient", sent: dict[str, Any], position: int, seconds: float) -> None:
    """Follows the deliveries until all have ended or the time is over; updates their states."""
    deadline = time.monotonic() + seconds
    by_message = {item["message_id"]: item for item in sent["deliveries"]}
    _update(office, sent["document_id"], by_message)
    still_open = {name for name, item in by_message.items() if item["state"] in _OPEN}
    while still_open and (left := deadline - time.monotonic()) > 0:
        for message_id, state in office.changes(sent["document_id"], position, left):
            if message_id in by_message and state not in _OPEN:
                still_open.discard(message_id)
            if not still_open:
                break
    _update(office, sent["document_id"], by_message)


def _update(
    office: "OfficeClient", document_id: str, by_message: dict[str, dict[str, Any]]
) -> None:
    for now in office.deliveries(document_id)["deliveries"]:
        if now["message_id"] in by_message:
            by_message[now["message_id"]]["state"] = now["state"]


def _exit_code(sent: dict[str, Any]) -> ExitCode:
    states = {item["state"] for item in sent["deliveries"]}
    if states == {"delivered"}:
        return ExitCode.DONE
    if "rejected" in states:
        return ExitCode.REFUSED
    return ExitCode.FAILED if "expired" in states else ExitCode.UNREACHABLE


def _sent_text(sent: dict[str, Any], moment: datetime | None) -> str:
    deliveries = sent["deliveries"]
    later = f" will be sent {clock(moment.isoformat())}" if moment else ""
    lines = [f"document {sent['document_id']}{later}"]
    if len(deliveries) > SHOWN:
        counts = Counter(item["state"] for item in deliveries)
        return "\n".join([*lines, f"  {state_counts(counts)}"])
    lines += [
        f"  {plain(item['recipient'])}: {item['state']}  (message {item['message_id']})"
        for item in deliveries
    ]
    return "\n".join(lines)
