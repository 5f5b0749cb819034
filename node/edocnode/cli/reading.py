"""Commands that show documents: inbox, outbox, show."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.signing.statements import Urgency
from edockit.language import _, marked, told
from edocnode.cli import moments, record
from edocnode.cli.context import CommandContext
from edocnode.cli.signature_words import legal_line, short_status, signature_lines
from edocnode.cli.wording import (
    SHOWN,
    URGENCY,
    clock,
    copy_line,
    day,
    delivery_trouble,
    files,
    link_pairs,
    official_number,
    plain,
    several,
    short_ids,
    size,
    state_counts,
    step_line,
    taken_back_words,
    version_line,
)

if TYPE_CHECKING:
    from edocnode.rpc.office_client import OfficeClient, Wanted

REVOKED = "revoked"
FIELD_WIDTH = 14  # of labels and the blanks behind them, at least
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many.")]
After = Annotated[str, typer.Option("--after", help="Where the page before ended.")]
Agency = Annotated[str, typer.Option("--agency", help="Only of this agency; default: all here.")]
_WANTED = marked("What is looked for")
Search = Annotated[
    str,
    typer.Option(
        "--search",
        help="Words in any order; case and marks do not count: quyet dinh.",
        rich_help_panel=_WANTED,
    ),
]
Type = Annotated[
    str, typer.Option("--type", help="Of this type, as in send.", rich_help_panel=_WANTED)
]
Fast = Annotated[
    Urgency | None, typer.Option("--urgency", help="As fast as this.", rich_help_panel=_WANTED)
]
Since = Annotated[
    str,
    typer.Option("--since", help="From this day or time on: 2026-12-01.", rich_help_panel=_WANTED),
]
Until = Annotated[
    str,
    typer.Option("--until", help="Up to the end of this day, or a time.", rich_help_panel=_WANTED),
]
DueBefore = Annotated[
    str, typer.Option("--due-before", help="Due before this day.", rich_help_panel=_WANTED)
]
Number = Annotated[
    str,
    typer.Option("--number", help="With this number: 28, or 05/QĐ-UBND.", rich_help_panel=_WANTED),
]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters.")
]


def inbox(
    context: typer.Context,
    limit: Limit = 100,
    after: After = "",
    state: Annotated[
        str,
        typer.Option("--state", help="received, accepted, ...; see: edocnode codes states."),
    ] = "",
    agency: Agency = "",
    *,
    search: Search = "",
    sender: Annotated[
        str, typer.Option("--from", help="Sent by this agency.", rich_help_panel=_WANTED)
    ] = "",
    document_type: Type = "",
    urgency: Fast = None,
    since: Since = "",
    until: Until = "",
    due_before: DueBefore = "",
    number: Number = "",
) -> None:
    """Lists received documents, newest first."""
    options: CommandContext = context.obj
    wanted = _wanted(
        options,
        search=search,
        other_agency=sender,
        document_type=document_type,
        urgency=urgency,
        since=since,
        until=until,
        due_before=due_before,
        number=number,
    )
    with options.office() as office:
        found = office.inbox(agency=agency, state=state, limit=limit, after=after, wanted=wanted)
    options.console.data(found, _inbox_text(found["documents"]))
    _tell_of_more(options, found, "inbox")


def outbox(
    context: typer.Context,
    limit: Limit = 100,
    after: After = "",
    state: Annotated[
        str,
        typer.Option("--state", help="queued, delivered, ...; see: edocnode codes deliveries."),
    ] = "",
    agency: Agency = "",
    *,
    search: Search = "",
    to: Annotated[
        str, typer.Option("--to", help="Sent to this agency.", rich_help_panel=_WANTED)
    ] = "",
    document_type: Type = "",
    urgency: Fast = None,
    since: Since = "",
    until: Until = "",
    due_before: DueBefore = "",
    number: Number = "",
) -> None:
    """Lists sent documents and their deliveries.

    Newest first; says where each delivery stands, since when, why, and when it goes on.
    """
    options: CommandContext = context.obj
    wanted = _wanted(
        options,
        search=search,
        other_agency=to,
        document_type=document_type,
        urgency=urgency,
        since=since,
        until=until,
        due_before=due_before,
        number=number,
    )
    with options.office() as office:
        found = office.outbox(agency=agency, state=state, limit=limit, after=after, wanted=wanted)
    options.console.data(found, _outbox_text(found["documents"], state))
    _tell_of_more(options, found, "outbox")


def show(
    context: typer.Context,
    document: Id,
    *,
    state: Annotated[str, typer.Option("--state", help="Only deliveries in this state.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=5000, help="At most this many deliveries.")
    ] = SHOWN,
) -> None:
    """Shows all that is known here of one document."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.document(document)
        if found["sent"] is not None:
            listed = office.deliveries(document, state=state, limit=limit)
            found["sent"]["deliveries"] = listed["deliveries"]
        record = _record(office, document, found)
    options.console.data({**found, "record": record}, _show_text(found, record))


def _record(office: "OfficeClient", document: str, found: dict[str, Any]) -> dict[str, Any]:
    """The record of a document; nothing of one that was received and destroyed."""
    received = found["received"]
    if received and received[0]["state"] == REVOKED and found["sent"] is None:
        return {}
    record: dict[str, Any] = json.loads(b"".join(office.part(document, 0)))
    return record


def _wanted(
    options: CommandContext,
    *,
    search: str,
    other_agency: str,
    document_type: str,
    urgency: Urgency | None,
    since: str,
    until: str,
    due_before: str,
    number: str,
) -> "Wanted":
    from edocnode.rpc.office_client import Wanted

    return Wanted(
        text=search,
        other_agency=other_agency,
        document_types=_spellings(options, document_type),
        urgency=urgency,
        since=moments.beginning(since, "--since"),
        until=moments.end(until, "--until"),
        due_before=record.day(due_before, "--due-before"),
        number=record.nfc(number),
    )


def _spellings(options: CommandContext, document_type: str) -> tuple[str, ...]:
    """How a type may stand in documents: its code, its name, or what was typed."""
    from edocnode.domain.codes import CodeList, CodeUnknownError, find_code

    if not document_type:
        return ()
    typed = record.nfc(document_type)
    try:
        entry = find_code(options.code_lists(), CodeList.TYPES, typed)
    except CodeUnknownError:  # software of other agencies may write any text
        return (typed,)
    return tuple(dict.fromkeys((entry.code, entry.vi, entry.vi.partition(" (")[0], typed)))


def _tell_of_more(options: CommandContext, found: dict[str, Any], command: str) -> None:
    if found["next"] and not options.console.as_json:
        text = _(
            "More: the same edocnode {command} with --after {next}",
            command=command,
            next=found["next"],
        )
        options.console.say(text)


def _inbox_text(documents: list[dict[str, Any]]) -> str:
    from edockit.console import table

    if not documents:
        return _("Nothing here.")
    named = _names(documents)
    ids = short_ids(named)
    rows = [
        (
            ids[name],
            str(item["arrival_number"] or ""),
            clock(item["received_at"]),
            item["sender"],
            URGENCY[item["urgency"]],
            plain(official_number(item)),
            plain(item["subject"]) or _destroyed(),
            day(item["due_date"]),
            files(item["parts"]),
            short_status(item["legal_status"]),
            told(item["state"]),
            plain(item["assignee"]),
            ", ".join(each[:13] for each in item["duplicate_of"]),
            _related(item),
        )
        for name, item in zip(named, documents, strict=True)
    ]
    return table(*_without_empty(_inbox_headings(), rows))


def _names(documents: Sequence[dict[str, Any]]) -> list[str]:
    """The id that names each: the document's, by which others refer to it too.

    One that several agencies of this node received is named by the message.
    """
    times = Counter(item["document_id"] for item in documents)
    return [
        item["document_id"] if times[item["document_id"]] == 1 else item["message_id"]
        for item in documents
    ]


def _inbox_headings() -> list[str]:
    return [
        *(_("id"), _("arrival"), _("received at"), _("from"), _("urgency"), _("number")),
        *(_("subject"), _("due date"), _("files"), _("legal"), _("state"), _("given to")),
        *(_("duplicate of"), _("related")),
    ]


def _outbox_text(documents: list[dict[str, Any]], state: str) -> str:
    from edockit.console import table

    if not documents:
        return _("Nothing here.")
    ids = short_ids(item["document_id"] for item in documents)
    rows = [
        (
            ids[item["document_id"]],
            clock(item["created_at"]),
            URGENCY[item["urgency"]],
            plain(official_number(item)),
            plain(item["subject"]),
            _related(item),
            *columns,
        )
        for item in documents
        for columns in _delivery_columns(item, state)
    ]
    headings = [
        *(_("id"), _("sent at"), _("urgency"), _("number"), _("subject"), _("related"), _("to")),
        *(_("state"), _("since"), _("remark")),
    ]
    return table(*_without_empty(headings, rows))


def _delivery_columns(item: dict[str, Any], state: str) -> list[tuple[str, str, str, str]]:
    """Recipient, state, since, remark of deliveries; of many the counts and what was asked for."""
    deliveries = item["deliveries"]
    total = sum(item["counts"].values())
    lines = []
    if total > len(deliveries):
        later = _("to be sent {at}", at=clock(item["send_at"])) if item["send_at"] else ""
        counts = ", ".join(f"{number} {told(name)}" for name, number in item["counts"].items())
        agencies = _("{count} agencies", count=total)
        lines = [(agencies, counts, clock(item["created_at"]), later)]
        deliveries = [each for each in deliveries if each["state"] == state]
    return lines + [
        (each["recipient"], told(each["state"]), clock(each["since"]), delivery_trouble(each))
        for each in deliveries
    ]


def _without_empty(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Leaves out columns in which nothing stands, so that lines stay short."""
    used = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    return [headings[place] for place in used], [[row[place] for place in used] for row in rows]


def _show_text(found: dict[str, Any], record: dict[str, Any]) -> str:
    sent = found["updates"][-1] if found["updates"] else found["sent"]
    document = found["received"][0] if found["received"] else sent
    lines = [plain(document["subject"]) or _destroyed(), ""]
    lines += _fields(
        [
            (_("document id"), document["document_id"]),
            (_("from"), document["sender"]),
            (_("number"), official_number(document)),
            (_("type"), document["type"]),
            (_("urgency"), URGENCY[document["urgency"]]),
            (_("issued"), day(document["issued_date"])),
            (_("due date"), day(document["due_date"])),
            (_("code"), document["document_code"]),
            (_("issuer"), _issuer(record)),
            (_("to"), several(record.get("recipients", []))),
            (_("in reply to"), _replies(record)),
        ]
    )
    for entry in found["received"]:
        lines += _received_lines(entry)
    if found["sent"] is not None:
        if not found["received"]:
            head = _("Sent by {sender}", sender=found["sent"]["sender"])
            lines += ["", head, *_signatures(found["sent"])]
        lines += _sent_lines(found["sent"])
        for later in found["updates"]:
            head = _("Updated {at}", at=clock(later["created_at"]))
            lines += ["", head, *_signatures(later), *_sent_lines(later)]
    lines += ["", _("Files")]
    lines += [
        f"  {part['index']}. {plain(part['name'])}  {size(part['size_bytes'])}"
        + (f"  {_('encrypted')}" if part["encrypted"] else "")
        for part in document["parts"]
    ] or [f"  {_('none')}"]
    return "\n".join(lines)


def _received_lines(entry: dict[str, Any]) -> list[str]:
    fields = [
        (_("message id"), entry["message_id"]),
        (_("received at"), clock(entry["received_at"])),
        (_("arrival number"), str(entry["arrival_number"] or "")),
        (_("duplicate of"), ", ".join(entry["duplicate_of"])),
        (_("taken back"), _taken_back(entry)),
        *link_pairs(entry["links"]),
    ]
    state = told(entry["state"])
    versions = [
        f"  {_('version  {version}', version=version_line(item))}" for item in entry["versions"]
    ]
    return [
        "",
        _("Received for {recipient}: {state}", recipient=entry["recipient"], state=state),
        *_fields(fields),
        *_signatures(entry),
        *versions,
        *(f"  {step_line(step)}" for step in entry["steps"]),
    ]


def _sent_lines(sent: dict[str, Any]) -> list[str]:
    lines = [
        *_fields([(_("taken back"), _taken_back(sent)), *link_pairs(sent["links"])]),
        "",
        _("Deliveries, {counts}", counts=state_counts(sent["counts"])),
        *(_delivery_line(item) for item in sent["deliveries"]),
    ]
    if sum(sent["counts"].values()) > len(sent["deliveries"]):
        lines.append(f"  {_('... for others: --state STATE, --limit NUMBER')}")
    return lines


def _fields(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of what has a value; the values stand below each other."""
    shown = [(name, plain(value)) for name, value in pairs if value]
    width = max(FIELD_WIDTH, *(len(name) + 2 for name, _value in shown), 0)
    return [f"  {name:<{width}}{value}" for name, value in shown]


def _related(item: dict[str, Any]) -> str:
    """What replaces or corrects a document, or is by it, with the beginnings of the ids."""
    pairs = link_pairs(item["links"])
    return ", ".join(f"{label} {document_id[:13]}" for label, document_id in pairs)


def _issuer(record: dict[str, Any]) -> str:
    issuer = record.get("issuer", {})
    return str(issuer.get("name") or issuer.get("code", ""))


def _taken_back(entry: dict[str, Any]) -> str:
    return taken_back_words(entry["taken_back"]) if entry["taken_back"] else ""


def _signatures(document: dict[str, Any]) -> list[str]:
    return [f"  {line}" for line in [legal_line(document), *signature_lines(document)]]


def _replies(record: dict[str, Any]) -> str:
    return ", ".join(_named(item) for item in record.get("in_reply_to", []))


def _named(reference: dict[str, Any]) -> str:
    names = ("number", "notation", "document_id")
    number, notation, document_id = (reference.get(name, "") for name in names)
    known = official_number({"number": number, "notation": notation})
    return known or reference.get("document_code", "") or document_id


def _delivery_line(item: dict[str, Any]) -> str:
    remark = delivery_trouble(item)
    head = _(
        "{recipient}: {state}, since {at}",
        recipient=item["recipient"],
        state=told(item["state"]),
        at=clock(item["since"]),
    )
    message = _("message id {message_id}", message_id=item["message_id"])
    steps = item["timeline"] if len(item["timeline"]) > 1 else ()  # the arrival is told in the head
    lines = [f"  {head}; {remark}" if remark else f"  {head}", f"    {message}"]
    copies = (copy_line(copy) for copy in item["copies"])
    return "\n".join([*lines, *(f"    {line}" for line in (*map(step_line, steps), *copies))])


def _destroyed() -> str:
    """What stands where the subject stood."""
    return _("(taken back and destroyed)")
