"""Commands about the agency's own list of sub-agencies: subagency add, rename, close, list."""

import csv
import io
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import EdocError, RequestInvalidError
from edockit.console import new_app
from edockit.language import _, marked, told
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import clock, plain

if TYPE_CHECKING:
    from edocnode.domain.subagencies import Order

    Row = tuple[int, Order]  # its line, and what it says

COLUMNS = ("code", "name", "aliases")
MAX_FILE_BYTES = 4 * 1024 * 1024
_WORDS = (marked("open"), marked("closed"), marked("waiting"))

Code = Annotated[str, typer.Argument(metavar="CODE", help="Code of the sub-agency: H29.5.")]
Alias = Annotated[
    list[str] | None,
    typer.Option("--alias", help="Another code of it, such as its old one; may be repeated."),
]
Actor = Annotated[str, typer.Option("--actor", help="Who decides; default: you.")]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Lists the sub-agencies that this node serves, without the registry's officers.")
    app.command()(add)
    app.command()(rename)
    app.command()(close)
    app.command("list")(list_all)
    return app


def add(
    context: typer.Context,
    code: Annotated[
        str, typer.Argument(metavar="[CODE]", help="Code of the sub-agency: H29.5.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Official name.")] = "",
    alias: Alias = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from-file",
            help="CSV file, UTF-8, first line code,name,aliases; aliases divided by spaces.",
        ),
    ] = None,
    actor: Actor = "",
) -> None:
    """Adds a sub-agency, or all of a file; senders know it when they have the next directory."""
    from edocnode.domain.subagencies import Order, OrderKind

    if (from_file is None) == (not code) or (from_file is not None and (name or alias)):
        raise RequestInvalidError(
            "A sub-agency is added by its code and name, or all of a file.",
            hint="edocnode subagency add CODE --name TEXT, or: add --from-file FILE",
        )
    if from_file is not None:
        _change_by_file(context, from_file, actor)
        return
    order = Order(kind=OrderKind.ADD, code=code, name=_text(name), aliases=tuple(alias or ()))
    _change(context, [order], actor)


def rename(
    context: typer.Context,
    code: Code,
    name: Annotated[str, typer.Option("--name", help="New official name.")],
    alias: Alias = None,
    actor: Actor = "",
) -> None:
    """Gives a sub-agency another name; its code stays."""
    from edocnode.domain.subagencies import Order, OrderKind

    order = Order(kind=OrderKind.RENAME, code=code, name=_text(name), aliases=tuple(alias or ()))
    _change(context, [order], actor)


def close(
    context: typer.Context,
    code: Code,
    yes: Annotated[bool, typer.Option("--yes", help="Really; it cannot be undone.")] = False,
    actor: Actor = "",
) -> None:
    """Ends a sub-agency for good: no new document goes to it, old ones keep their meaning."""
    from edocnode.domain.subagencies import Order, OrderKind

    if not yes:
        raise RequestInvalidError(
            f"Closing {code} cannot be undone, and its code is never used again.",
            hint="Add --yes to do it.",
            code=code,
        )
    _change(context, [Order(kind=OrderKind.CLOSE, code=code)], actor)


def list_all(context: typer.Context) -> None:
    """Lists the sub-agencies with their state, closed ones too."""
    from edockit.console import table

    options: CommandContext = context.obj
    with options.subagencies() as node:
        found = node.listed()
    rows = [
        (item["code"], _state(item), " ".join(item["aliases"]), plain(item["name"]))
        for item in found["subagencies"]
    ]
    columns = (_("code"), _("state"), _("other codes"), _("name"))
    options.console.data(found, table(columns, rows) if rows else _("The list is empty."))
    if found["spaces"]:
        spaces = ", ".join(found["spaces"])
        options.console.say(_("This agency lists codes in: {spaces}", spaces=spaces))
    if not found["published"]:
        options.console.say(
            _("Not all of it is in the directory yet; it is published when the registry answers.")
        )


def _change(context: typer.Context, orders: "list[Order]", actor: str) -> None:
    options: CommandContext = context.obj
    with options.subagencies() as node:
        found = node.change(orders, actor or operating_system_user())
    text = "\n".join(found["codes"]) or _("Nothing had to be changed.")
    options.console.data(found, text)
    if found["codes"] and not found["published"]:
        options.console.say(
            _("The registry does not answer. The list is sealed and kept, and published later.")
        )


def _change_by_file(context: typer.Context, path: Path, actor: str) -> None:
    """Takes all of a file or nothing; an error is told with its line."""
    lines: dict[str, int] = {}
    orders = []
    for number, order in _orders(path):
        orders.append(order)
        for code in (order.code, *order.aliases):
            lines.setdefault(ascii(code), number)  # as errors show what is no code
            lines.setdefault(code, number)
    try:
        _change(context, orders, actor)
    except EdocError as error:
        number = lines.get(error.fields.get("code", ""), 0)
        if number:
            options: CommandContext = context.obj
            options.console.say(_("{path}, line {number}:", path=path, number=number))
        raise


def _orders(path: Path) -> "Iterator[Row]":
    """The rows of a file with their lines."""
    from edocnode.domain.subagencies import Order, OrderKind

    reader = csv.DictReader(io.StringIO(_read(path), newline=""), strict=True)
    try:
        if tuple(reader.fieldnames or ()) not in (COLUMNS, COLUMNS[:2]):
            raise RequestInvalidError(
                f"The first line of {path} does not name the columns.",
                hint=f"Write: {','.join(COLUMNS)}",
            )
        for row in reader:
            if None in row or None in row.values():
                raise RequestInvalidError(
                    f"Line {reader.line_num} of {path} has another number of fields.",
                    hint="Put a name with a comma between quotation marks.",
                )
            order = Order(
                kind=OrderKind.ADD,
                code=row["code"].strip(),
                name=_text(row["name"].strip()),
                aliases=tuple(row.get("aliases", "").split()),
            )
            yield reader.line_num, order
    except csv.Error as error:
        raise RequestInvalidError(
            f"Line {reader.line_num} of {path} is no CSV: {error}.",
            hint="Save it again as CSV, UTF-8, divided by commas.",
        ) from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise RequestInvalidError(f"{path} is larger than {MAX_FILE_BYTES} bytes.")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RequestInvalidError(
            f"{path} is not in UTF-8.", hint="Save it again as CSV, UTF-8."
        ) from error


def _state(item: dict[str, Any]) -> str:
    if item["closed_at"]:
        return _("closed since {at}", at=clock(item["closed_at"]))
    return told(item["state"])


def _text(name: str) -> str:
    return unicodedata.normalize("NFC", name)
