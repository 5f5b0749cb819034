"""The command that hands a document in: send."""

import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from edoccore.errors import EdocError, ExitCode, RequestInvalidError
from edoccore.signing.statements import Operation, Urgency
from edockit.language import _, marked, told
from edocnode.cli import moments, record, send_options
from edocnode.cli.context import CommandContext
from edocnode.cli.wording import SHOWN, clock, plain, state_counts
from edocnode.domain.secrecy import Secrecy, check_secrecy, secrecy_remarks

if TYPE_CHECKING:
    from edocnode.rpc.office_client import OfficeClient, Outgoing

ALIKE = 10  # documents with the same number that are looked at
CHUNK_BYTES = 960 * 1024
PROGRESS_BYTES = 8 * 1024 * 1024  # smaller documents are sent before anybody looks
_CODED = frozenset({"document_type", "copy_form", "signer"})  # fields with a code of a list
_OPEN = frozenset({"queued", "sending"})


AUTO = "auto"  # instead of a number: the node gives it


def send(
    context: typer.Context,
    files: send_options.Files,
    *,
    to: send_options.To = None,
    to_file: send_options.ToFile = None,
    subject: send_options.Subject = "",
    sender: send_options.Sender = "",
    document_type: send_options.Type = "",
    urgency: send_options.Fast = Urgency.NORMAL,
    secrecy: send_options.Marked = Secrecy.NONE,
    due: send_options.Due = "",
    fields_file: send_options.FieldsFile = None,
    encrypt: send_options.Encrypt = False,
    number: send_options.Number = "",
    notation: send_options.Notation = "",
    document_code: send_options.DocumentCode = "",
    issued_date: send_options.IssuedDate = "",
    issued_place: send_options.IssuedPlace = "",
    pages: send_options.Pages = None,
    copies: send_options.Copies = None,
    to_place: send_options.ToPlace = None,
    appendix: send_options.Appendix = None,
    language: send_options.Language = "",
    description: send_options.Description = "",
    paper_also_sent: send_options.PaperAlsoSent = False,
    signer: send_options.Signer = "",
    signer_position: send_options.SignerPosition = "",
    signer_authority: send_options.SignerAuthority = "",
    reply_to: send_options.ReplyTo = "",
    reference: send_options.Reference = None,
    corrects: send_options.Corrects = "",
    dossier: send_options.Dossier = "",
    deliver_by: send_options.DeliverBy = "",
    send_at: send_options.SendAt = "",
    request_id: send_options.RequestId = "",
    wait: send_options.Wait = 0,
) -> int:
    """Sends a document; done once safely queued."""
    options: CommandContext = context.obj
    check_secrecy(secrecy)
    recipients = _recipients(to or (), to_file or ())
    moment = moments.moment(send_at, "--send-at")
    given = {
        "subject": subject,
        "document_type": document_type,
        "due_date": record.day(due, "--due"),
        "number": "" if number == AUTO else number,
        "notation": notation,
        "document_code": document_code,
        "issued_date": record.day(issued_date, "--issued-date"),
        "issued_place": issued_place,
        "page_count": pages,
        "issued_count": copies,
        "to_places": record.texts(to_place),
        "appendices": record.texts(appendix),
        "language": language,
        "description": description,
        "paper_also_sent": paper_also_sent,
        "signer": {
            "full_name": signer,
            "position": signer_position,
            "authority": signer_authority,
        },
        "dossier_file": record.dossier(dossier),
        "deliver_by": record.time_of(_deliver_by(deliver_by, urgency)),
    }
    fields = record.merged(record.fields_in(fields_file), given)
    fields = checked(options, fields, document_type, numbered_here=number == AUTO)
    tell(options, secrecy_remarks(fields, [record.nfc(path.name) for path in files]))
    made = Made(
        *(fields, files, recipients, sender, urgency, moment, request_id, number == AUTO),
        encrypt=encrypt,
    )
    named = {"in_reply_to": [reply_to], "references": reference or [], "corrects": [corrects]}
    with options.office() as office:
        fields.update(record.references(office, named))
        return hand_in(options, office, made, wait=wait)


class Made(NamedTuple):
    """What the options say, put together."""

    fields: dict[str, Any]
    files: Sequence[Path]
    recipients: tuple[str, ...]
    sender: str
    urgency: Urgency
    send_at: datetime | None
    request_id: str
    number_here: bool
    operation: Operation = Operation.NEW
    earlier: str = ""
    encrypt: bool = False


def hand_in(options: CommandContext, office: "OfficeClient", made: Made, *, wait: float) -> int:
    """Hands a document in, says what became of it, and returns the exit code."""
    from edocnode.rpc.office_client import Outgoing

    outgoing = Outgoing(
        request_id=made.request_id or _new_request_id(options),
        sender=made.sender,
        recipients=made.recipients,
        urgency=made.urgency,
        fields=json.dumps(made.fields, ensure_ascii=False).encode(),
        files=tuple((record.nfc(path.name), path.stat().st_size) for path in made.files),
        send_at=made.send_at,
        number_here=made.number_here,
        operation=made.operation,
        earlier=made.earlier,
        encrypt=made.encrypt,
    )
    sent, position = office.submit(outgoing, _content(made.files, outgoing))
    if made.operation is not Operation.REPLACE or made.number_here:  # it may keep the number
        with contextlib.suppress(EdocError):  # it is sent: what follows is advice alone
            tell(options, _used_before(office, made.fields, sent))
    if wait:
        _wait(office, sent, position, wait)
    options.console.data(sent, _sent_text(sent, made.send_at))
    return _exit_code(sent).value if wait else ExitCode.DONE.value


def checked(
    options: CommandContext, fields: dict[str, Any], typed: str, *, numbered_here: bool
) -> dict[str, Any]:
    """Fields with the codes that were meant; says what a clerk should look at.

    Args:
        typed: Type given as an option, which has to be in a list; one in a file only is remarked.
        numbered_here: The node will add a number.

    Raises:
        RequestInvalidError: There is no subject.
        CodeUnknownError, RequestInvalidError: The type is in no list, or may be several.
    """
    from edocnode.domain.codes import CodeList
    from edocnode.domain.official import remarks

    if not fields.get("subject"):
        raise RequestInvalidError("The document has no subject.", hint="Add --subject TEXT.")
    lists = options.code_lists() if fields.keys() & _CODED else {}
    if typed:
        fields["document_type"] = record.code_of(lists, CodeList.TYPES, typed)
    signer = fields.get("signer")
    if isinstance(signer, dict) and isinstance(signer.get("authority"), str):
        fields["signer"] = {**signer, "authority": record.authority_of(lists, signer["authority"])}
    seen = {**fields, "number": "1"} if numbered_here else fields
    tell(options, remarks(seen, lists))
    return fields


def tell(options: CommandContext, remarks: Iterable[str]) -> None:
    """Says what a clerk should look at."""
    for remark in remarks:
        options.console.say(_("warning: {remark}", remark=plain(told(remark))))


def _used_before(
    office: "OfficeClient", fields: dict[str, Any], sent: dict[str, Any]
) -> Iterator[str]:
    """Whether another document of the same agency and year was sent with this number."""
    from edocnode.rpc.office_client import Wanted

    number, notation = sent["number"] or fields.get("number"), fields.get("notation")
    if not number or not notation:
        return
    named = f"{number}/{notation}"
    alike = office.outbox(agency="", state="", limit=ALIKE, after="", wanted=Wanted(number=named))[
        "documents"
    ]
    own = [item for item in alike if item["document_id"] == sent["document_id"]]
    others = [item for item in alike if item["document_id"] != sent["document_id"]]
    series = set(map(_series_of, own))
    if doubled := [item["document_id"] for item in others if _series_of(item) in series]:
        ids = ", ".join(doubled)
        yield marked(f"Another document was sent with the number {named} in this year: {ids}.")


def _series_of(document: dict[str, Any]) -> tuple[str, str]:
    return document["sender"], (document["issued_date"] or document["created_at"])[:4]


def _deliver_by(text: str, urgency: Urgency) -> datetime | None:
    if text and urgency is not Urgency.HOA_TOC:
        raise RequestInvalidError(
            "Only a document of the urgency hoa_toc has a time by which it must be there.",
            hint="Add --urgency hoa_toc, or leave out --deliver-by.",
        )
    return moments.moment(text, "--deliver-by")


def _new_request_id(options: CommandContext) -> str:
    import secrets

    made = secrets.token_hex(16)
    options.console.say(
        _("request id {made}; if this is cut off, repeat with --request-id {made}", made=made)
    )
    return made


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


def _content(files: Sequence[Path], outgoing: "Outgoing") -> Iterator[bytes]:
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
    _update(office, by_message)
    still_open = {name for name, item in by_message.items() if item["state"] in _OPEN}
    while still_open and (left := deadline - time.monotonic()) > 0:
        for message_id, state in office.changes(sent["document_id"], position, left):
            if message_id in by_message and state not in _OPEN:
                still_open.discard(message_id)
            if not still_open:
                break
    _update(office, by_message)


def _update(office: "OfficeClient", by_message: dict[str, dict[str, Any]]) -> None:
    """Asks by a message, which names the version it carries."""
    for now in office.deliveries(next(iter(by_message)))["deliveries"]:
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
    from edocnode.domain.official import on_paper

    deliveries = sent["deliveries"]
    number = on_paper(sent["number"]) if sent["number"] else ""
    later = clock(moment.isoformat()) if moment else ""
    remarks = [
        _("document {document_id}", document_id=sent["document_id"]),
        _("as number {number}", number=number) if number else "",
        _("to be sent {at}", at=later) if later else "",
    ]
    lines = [", ".join(filter(None, remarks))]
    if len(deliveries) > SHOWN:
        counts = Counter(item["state"] for item in deliveries)
        return "\n".join([*lines, f"  {state_counts(counts)}"])
    lines += [f"  {_recipient_line(item)}" for item in deliveries]
    return "\n".join(lines)


def _recipient_line(item: dict[str, Any]) -> str:
    return _(
        "{recipient}: {state}  (message {message_id})",
        recipient=plain(item["recipient"]),
        state=told(item["state"]),
        message_id=item["message_id"],
    )
