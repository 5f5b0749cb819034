"""Commands about official numbers: numbers reserve, list, void."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edockit.language import _, told
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.reading import Limit
from edocnode.cli.record import nfc
from edocnode.cli.wording import clock, plain

if TYPE_CHECKING:
    from edocnode.rpc.number_client import NumberSeries

Agency = Annotated[str, typer.Option("--agency", help="Of this agency; default: the node's own.")]
Year = Annotated[int, typer.Option("--year", min=0, max=9999, help="Default: this year.")]
Arrivals = Annotated[
    bool, typer.Option("--arrivals", help="Numbers of documents that arrived, not of own ones.")
]
Name = Annotated[str, typer.Option("--series", help="Series of its own of a document type.")]
Actor = Annotated[str, typer.Option("--actor", help="Who decides it; default: you.")]


def build_app() -> typer.Typer:
    """Puts the commands about official numbers together."""
    from edockit.console import new_app

    app = new_app("Reserves, lists and gives up official numbers.")
    app.command()(reserve)
    app.command(name="list")(list_numbers)
    app.command()(void)
    return app


def reserve(
    context: typer.Context,
    *,
    purpose: Annotated[str, typer.Option("--for", help="What for.")],
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many.")] = 1,
    agency: Agency = "",
    series: Name = "",
    arrivals: Arrivals = False,
    actor: Actor = "",
) -> None:
    """Gives the next numbers to paper; they are never given again."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.reserve_numbers(
            _series(agency, 0, series, arrivals),
            count=count,
            purpose=nfc(purpose),
            actor=actor or operating_system_user(),
        )
    options.console.data(found, "\n".join(str(number) for number in found["numbers"]))


def list_numbers(
    context: typer.Context,
    limit: Limit = 100,
    after: Annotated[int, typer.Option("--after", help="Where the page before ended.")] = 0,
    year: Year = 0,
    agency: Agency = "",
    arrivals: Arrivals = False,
) -> None:
    """Lists the numbers given in a year, newest first, with what became of them.

    A number that is taken but not used belongs to a document that was cut off: void, unless it is
    sent again with the same request id.
    """
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.numbers(_series(agency, year, "", arrivals), limit=limit, after=after)
    options.console.data(found, _text(found["numbers"]))
    if found["next"] and not options.console.as_json:
        options.console.say(
            _("More: the same edocnode numbers list with --after {next}", next=found["next"])
        )


def void(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1)],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; 10 characters or more.")],
    year: Year = 0,
    agency: Agency = "",
    series: Name = "",
    arrivals: Arrivals = False,
    actor: Actor = "",
) -> None:
    """Gives a number up that no document has; it stays in the book."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.void_number(
            _series(agency, year, series, arrivals),
            number,
            reason=nfc(reason),
            actor=actor or operating_system_user(),
        )
    text = (
        _("Number {number} was void already.", number=number)
        if found["repeated"]
        else _("Number {number} is void.", number=number)
    )
    options.console.data(found, text)


def _series(agency: str, year: int, name: str, arrivals: bool) -> "NumberSeries":
    from edocnode.rpc.number_client import NumberSeries

    return NumberSeries(agency=agency, year=year, name=nfc(name), arrivals=arrivals)


def _text(numbers: list[dict[str, Any]]) -> str:
    from edockit.console import table

    if not numbers:
        return _("No numbers.")
    rows = [
        (
            str(item["number"]),
            plain(item["series"]),
            _("taken, not used") if item["state"] == "taken" else told(item["state"]),
            clock(item["taken_at"]),
            (item["document_id"] or "")[:13],
            plain(item["note"]),
            plain(item["actor"]),
        )
        for item in numbers
    ]
    headings = (
        _("number"),
        _("series"),
        _("state"),
        _("given"),
        _("document"),
        _("for or why"),
        _("by"),
    )
    return table(headings, rows)
