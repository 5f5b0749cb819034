"""The command that shows statistics: stats."""

import csv
import io
import re
from datetime import date, timedelta
from typing import Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _, told
from edocnode.cli.context import CommandContext, now
from edocnode.cli.late import length, number_text
from edocnode.cli.wording import day, grouped, percentage
from edocnode.domain.calendar import day_in_viet_nam
from edocnode.domain.group_by import GroupBy

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_QUARTER = re.compile(r"([0-9]{4})-Q([1-4])")


def stats(
    context: typer.Context,
    *,
    month: Annotated[str, typer.Option("--month", help="Such as 2026-11; default: this one.")] = "",
    quarter: Annotated[str, typer.Option("--quarter", help="Such as 2026-Q4.")] = "",
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = "",
    agency: Annotated[
        str, typer.Option("--agency", help="Only of this agency and its sub-agencies.")
    ] = "",
    by: Annotated[GroupBy | None, typer.Option("--by", help="Divided by this.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print as CSV.")] = False,
    nation: Annotated[
        bool, typer.Option("--nation", help="Of all agencies that report to this node.")
    ] = False,
) -> None:
    """Counts what went out and came in, and how it was dealt with.

    Arrivals are counted on the day they arrived, with what became of them until now.
    """
    from edocnode.rpc.statistics import read_nation, read_statistics

    options: CommandContext = context.obj
    begin, end = period(month, quarter, first, last, today=day_in_viet_nam(now()))
    if nation and (agency or by):
        raise RequestInvalidError(
            "The nation's statistics are divided by agency.", hint="Leave out --agency and --by."
        )
    with options.office() as office:
        if nation:
            found = read_nation(office, begin, end)
            text = _csv(found["agencies"], "agency") if as_csv else _nation_text(found)
        else:
            found = read_statistics(office, first=begin, last=end, agency=agency, by=by)
            text = _csv_text(found, by) if as_csv else _text(found, by)
    options.console.data(found, text)
    if not found["complete"] and not options.console.as_json:
        options.console.say(_("There was too much to count at once: ask again in a minute."))


def period(month: str, quarter: str, first: str, last: str, *, today: date) -> tuple[date, date]:
    """First and last day of what was named; this month when nothing was.

    Raises:
        RequestInvalidError: More than one period was named, or one is none.
    """
    if bool(month) + bool(quarter) + bool(first or last) > 1 or bool(first) != bool(last):
        raise RequestInvalidError(
            "Name one period.", hint="Use --month, --quarter, or --from and --to."
        )
    if first:
        try:
            return date.fromisoformat(first), date.fromisoformat(last)
        except ValueError as error:
            raise RequestInvalidError(
                f"{first[:20]} to {last[:20]} is no period.", hint="Write days as YYYY-MM-DD."
            ) from error
    if quarter:
        found = _QUARTER.fullmatch(quarter)
        if found is None:
            raise RequestInvalidError(f"{quarter[:20]} is no quarter.", hint="Write 2026-Q4.")
        begins = int(found[2]) * 3 - 2
        return date(int(found[1]), begins, 1), _end(int(found[1]), begins + 2)
    found = _MONTH.fullmatch(month or today.isoformat()[:7])
    if found is None:
        raise RequestInvalidError(f"{month[:20]} is no month.", hint="Write 2026-11.")
    return date(int(found[1]), int(found[2]), 1), _end(int(found[1]), int(found[2]))


def _end(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return following - timedelta(days=1)


def _csv_text(found: dict[str, Any], by: GroupBy | None) -> str:
    if by:
        return _csv(found["groups"], by.value)
    return _csv({f"{found['first_day']}/{found['last_day']}": found["total"]}, "period")


def _csv(groups: dict[str, dict[str, int]], heading: str) -> str:
    from edocnode.domain.statistics import FIGURES

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([heading, *FIGURES])
    for key, figures in groups.items():
        writer.writerow([key, *(figures[name] for name in FIGURES)])
    return text.getvalue().rstrip("\n")


def _text(found: dict[str, Any], by: GroupBy | None) -> str:
    lines = {
        **_sent(found),
        **_arrivals(found),
        **_dealt_with(found),
        **_savings(found["savings"]),
    }
    first, last = day(found["first_day"]), day(found["last_day"])
    head = _("From {first} to {last}", first=first, last=last)
    width = max(map(len, lines)) + 2
    text = "\n".join([head, *(f"{name:<{width}}{value}" for name, value in lines.items())])
    return f"{text}\n\n{_table(found['groups'], by.value)}" if by else text


def _sent(found: dict[str, Any]) -> dict[str, str]:
    total = found["total"]
    return {
        _("sent"): _(
            "{documents} documents to {recipients} recipients; {on_time} on time, {paper} also on "
            "paper",
            documents=total["sent_documents"],
            recipients=total["sent"],
            on_time=_share(total["sent_on_time"], total["sent"]),
            paper=_share(total["paper"], total["sent_documents"]),
        ),
        _("sent and signed"): _signed(total, "sent", total["sent_documents"]),
        _("changed"): _(
            "{replacements} replace and {corrections} correct earlier ones; {updates} updates sent",
            replacements=total["replacements"],
            corrections=total["corrections"],
            updates=total["updates"],
        ),
        _("taken back"): _(
            "{revocations} revocations, {confirmed} confirmed",
            revocations=total["revocations"],
            confirmed=found["confirmed"],
        ),
    }


def _arrivals(found: dict[str, Any]) -> dict[str, str]:
    total = found["total"]
    return {
        _("received"): _(
            "{received}; {same_day} accepted or refused the same day, {updated} updates in force",
            received=total["received"],
            same_day=_share(total["acknowledged"], total["received"]),
            updated=total["updated"],
        ),
        _("received and signed"): _signed(total, "received", total["received"]),
        _("duplicates"): _(
            "{repeated} deliveries came again and were not shown, {alike} documents look like "
            "earlier ones",
            repeated=total["repeated"],
            alike=total["alike"],
        ),
    }


def _signed(total: dict[str, int], side: str, documents: int) -> str:
    return _(
        "{signed} by person and organisation, so that they replace paper; {checked} checked",
        signed=_share(total[f"{side}_signed"], documents),
        checked=total[f"{side}_checked"],
    )


def _dealt_with(found: dict[str, Any]) -> dict[str, str]:
    total = found["total"]
    return {
        _("accepted"): _(
            "{accepted}, half of them within {median}",
            accepted=total["accepted"],
            median=_median(found["accepting_median_s"]),
        )
        if total["accepted"]
        else "0",
        _("refused"): f"{total['refused']}{_reasons(found['refusals'])}",
        _("finished"): _(
            "{finished}, half of them within {median} of their acceptance",
            finished=total["finished"],
            median=_median(found["finishing_median_s"]),
        )
        if total["finished"]
        else "0",
        _("due"): _(
            "{due} with a due date; {kept} finished by it, {over} over it now",
            due=total["due"],
            kept=_share(total["finished_on_time"], total["due"]),
            over=number_text(found["overdue_now"]),
        ),
    }


def _savings(savings: dict[str, int]) -> dict[str, str]:
    return {
        _("saved"): _(
            "about {saved} VND, if a delivery on paper has {pages} pages at {page} VND, costs "
            "{postage} VND to post and {minutes} minutes of clerks at {minute} VND",
            saved=grouped(savings["saved_vnd"]),
            pages=savings["pages"],
            page=grouped(savings["page_vnd"]),
            postage=grouped(savings["postage_vnd"]),
            minutes=savings["handling_min"],
            minute=grouped(savings["minute_vnd"]),
        )
    }


def _nation_text(found: dict[str, Any]) -> str:
    missing = found["missing"]
    reported = _(
        "Reported for {month}: {count} agencies.",
        month=found["month"],
        count=len(found["agencies"]),
    )
    absent = _("Not reported: {agencies}.", agencies=", ".join(missing))
    agencies = _table({**found["agencies"], "": found["total"]}, "agency")
    return "\n".join([agencies, "", reported, absent if missing else _("Nobody is missing.")])


def _table(groups: dict[str, dict[str, int]], heading: str) -> str:
    from edockit.console import table

    columns = _columns()
    rows = [(key, *(str(figures[name]) for name in columns)) for key, figures in groups.items()]
    return table((told(heading), *columns.values()), rows)


def _columns() -> dict[str, str]:
    """The figures in tables, with their headings."""
    return {
        "sent": _("sent"),
        "sent_on_time": _("on time"),
        "sent_signed": _("signed"),
        "received": _("received"),
        "received_signed": _("signed"),
        "acknowledged": _("acknowledged"),
        "accepted": _("accepted"),
        "refused": _("refused"),
        "finished": _("finished"),
    }


def _share(part: int, whole: int) -> str:
    return f"{part} ({percentage(part / whole)})" if whole else str(part)


def _median(seconds: float | None) -> str:
    return "-" if seconds is None else length(timedelta(seconds=seconds))


def _reasons(refusals: dict[str, int]) -> str:
    return f": {', '.join(f'{count} {code}' for code, count in refusals.items())}" * bool(refusals)
