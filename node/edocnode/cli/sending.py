"""The command that hands a document in: send."""

import json
import sys
import time
import unicodedata
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import ExitCode, RequestInvalidError
from edoccore.signing.statements import Urgency
from edocnode.cli.context import CommandContext
from edocnode.cli.wording import plain

if TYPE_CHECKING:
    from edocnode.rpc.office_client import OfficeClient, Outgoing

CHUNK_BYTES = 960 * 1024
PROGRESS_BYTES = 8 * 1024 * 1024  # smaller documents are sent before anybody looks
_OPEN = frozenset({"queued", "sending"})


def send(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="The document."),
    ],
    *,
    to: Annotated[list[str], typer.Option("--to", help="Recipient's code; may be repeated.")],
    subject: Annotated[str, typer.Option("--subject", help="What it is about (trích yếu).")],
    sender: Annotated[
        str, typer.Option("--from", help="Code to send from; default: the node's own.")
    ] = "",
    number: Annotated[str, typer.Option("--number", help="Number (số).")] = "",
    notation: Annotated[str, typer.Option("--notation", help="Notation (ký hiệu).")] = "",
    document_type: Annotated[str, typer.Option("--type", help="Type, such as CV or QĐ.")] = "",
    urgency: Annotated[Urgency, typer.Option("--urgency", help="How fast.")] = Urgency.NORMAL,
    due: Annotated[str, typer.Option("--due", help="Day by which it is due: 2026-12-05.")] = "",
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
    fields = _fields(
        subject=subject,
        number=number,
        notation=notation,
        document_type=document_type,
        due_date=_day(due),
    )
    with options.office() as office:
        if reply_to:
            fields["in_reply_to"] = [_reference(office, reply_to)]
        outgoing = Outgoing(
            request_id=request_id or _new_request_id(options),
            sender=sender,
            recipients=tuple(to),
            urgency=urgency,
            fields=json.dumps(fields, ensure_ascii=False).encode(),
            files=tuple((_nfc(path.name), path.stat().st_size) for path in files),
        )
        sent, position = office.submit(outgoing, _content(files, outgoing))
        if wait:
            _wait(office, sent, position, wait)
    options.console.data(sent, _sent_text(sent))
    return _exit_code(sent).value if wait else ExitCode.DONE.value


def _new_request_id(options: CommandContext) -> str:
    import secrets

    made = secrets.token_hex(16)
    options.console.say(f"request id {made}; if this is cut off, repeat with --request-id {made}")
    return made


def _fields(**given: str) -> dict[str, Any]:
    return {name: _nfc(value) for name, value in given.items() if value}


def _nfc(text: str) -> str:
    """Text in the one form that seals allow; keyboards and disks of some systems give another."""
    return unicodedata.normalize("NFC", text)


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
    _update(office, sent)
    while _is_open(sent) and (left := deadline - time.monotonic()) > 0:
        for _ in office.changes(sent["document_id"], position, left):
            _update(office, sent)
            if not _is_open(sent):
                return
        _update(office, sent)


def _update(office: "OfficeClient", sent: dict[str, Any]) -> None:
    now = office.document(sent["document_id"])["sent"]["deliveries"]
    states = {item["message_id"]: item["state"] for item in now}
    for item in sent["deliveries"]:
        item["state"] = states.get(item["message_id"], item["state"])


def _is_open(sent: dict[str, Any]) -> bool:
    return any(item["state"] in _OPEN for item in sent["deliveries"])


def _exit_code(sent: dict[str, Any]) -> ExitCode:
    states = {item["state"] for item in sent["deliveries"]}
    if states == {"delivered"}:
        return ExitCode.DONE
    if "rejected" in states:
        return ExitCode.REFUSED
    return ExitCode.FAILED if "expired" in states else ExitCode.UNREACHABLE


def _sent_text(sent: dict[str, Any]) -> str:
    lines = [f"document {sent['document_id']}"]
    lines += [
        f"  {plain(item['recipient'])}: {item['state']}  (message {item['message_id']})"
        for item in sent["deliveries"]
    ]
    return "\n".join(lines)
