"""The command that writes registers: register."""

import csv
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from edoccore.errors import DataFolderError, FileExistsHereError, RequestInvalidError
from edockit.language import _
from edocnode.cli.context import CommandContext
from edocnode.cli.wording import day, official_number, plain

REGISTER_SCHEMA = "edoc.register/v1"
SHEET_ROWS = 1_000_000  # a sheet has room for 1,048,576
CELL_CHARACTERS = 32_000  # a cell takes 32,767
FORMULA = tuple("=+-@\t\r＝＋－＠")  # what a spreadsheet would run
# Where lists are separated by semicolons, a spreadsheet begins a cell behind each.
_NEXT_CELL = re.compile(r"(;[\s\"]*)(?=[=+\-@＝＋－＠])")


class Register(StrEnum):
    """The two registers."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


def register(
    context: typer.Context,
    which: Annotated[Register, typer.Argument(metavar="incoming|outgoing", help="Which one.")],
    *,
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .xlsx or .csv.")],
    agency: Annotated[str, typer.Option("--agency", help="Only of this agency here.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Writes the register of documents that came in or went out."""
    from edocnode.rpc.registers import read_register

    options: CommandContext = context.obj
    columns = _data()[which.value]
    if out.suffix.lower() not in (".xlsx", ".csv"):
        raise RequestInvalidError(
            f"A register cannot be written as {out.name}.", hint="Name it .xlsx or .csv."
        )
    if out.exists() and not force:
        raise _exists(out)
    write = write_xlsx if out.suffix.lower() == ".xlsx" else write_csv
    with options.office() as office:
        lines = read_register(
            office,
            incoming=which is Register.INCOMING,
            first=_day(first),
            last=_day(last),
            agency=agency,
        )
        rows = (cells(line, [column["field"] for column in columns]) for line in lines)
        titles = [str(column["title"]) for column in columns]
        count = _placed(out, lambda beside: write(beside, titles, rows), force=force)
    options.console.data(
        {"schema": REGISTER_SCHEMA, "register": which.value, "path": str(out), "lines": count},
        _("{out}: {count} lines.", out=out, count=count),
    )


def cells(line: dict[str, Any], fields: Sequence[str]) -> list[str]:
    """The cells of a line: texts in which nothing acts or hides."""
    words: dict[str, str] = _data()["words"]
    left = line["more_recipients"]
    more = words["more_recipients"].format(count=left) if left else ""
    values = {
        **{name: str(value) for name, value in line.items()},
        "official_number": official_number(line),
        "issued_day": day(line["issued_date"]),
        "type_and_subject": ": ".join(filter(None, (line["document_type"], line["subject"]))),
        "recipients": "; ".join(line["recipients"]) + more,
        "copies": str(line["copies"] or ""),
        "day": _local_day(line["at"]),
        "assigned_day": _local_day(line["assigned_at"]),
        "note": _note(line, words),
        "arrival_number": str(line["arrival_number"] or ""),
        "": "",
    }
    return [plain(values[field])[:CELL_CHARACTERS] for field in fields]


def harmless(cell: str) -> str:
    """A cell of a CSV file that no spreadsheet runs, however it separates cells."""
    begins = cell.startswith(FORMULA) or cell.lstrip().startswith(FORMULA)
    return _NEXT_CELL.sub(r"\1'", f"'{cell}" if begins else cell)


def write_csv(path: Path, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Writes UTF-8 with the mark by which Excel knows it; returns how many lines.

    What a spreadsheet would take for a formula gets an apostrophe before it.
    """
    count = 0
    with path.open("x", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(titles)
        for row in rows:
            writer.writerow(map(harmless, row))
            count += 1
    return count


def write_xlsx(path: Path, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Writes a workbook in constant memory, every cell a text; returns how many lines.

    Raises:
        RequestInvalidError: The extra ``office`` is not installed.
    """
    try:
        import xlsxwriter
    except ModuleNotFoundError as error:
        raise RequestInvalidError(
            "This installation cannot write .xlsx.",
            hint="Install edocnode[office], or write a .csv.",
        ) from error
    settings = {"constant_memory": True, "tmpdir": str(path.parent), "in_memory": False}
    count = 0
    with xlsxwriter.Workbook(str(path), settings) as book:
        bold = book.add_format({"bold": True, "text_wrap": True})
        sheet: Any = None
        for row in rows:
            if count % SHEET_ROWS == 0:
                sheet = _sheet(book, titles, bold)
            for column, cell in enumerate(row):
                sheet.write_string(count % SHEET_ROWS + 1, column, cell)
            count += 1
        if sheet is None:
            _sheet(book, titles, bold)
    return count


def _sheet(book: Any, titles: Sequence[str], bold: Any) -> Any:  # noqa: ANN401 - lazily imported
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(titles) - 1, 24)
    for column, title in enumerate(titles):
        sheet.write_string(0, column, title, bold)
    return sheet


def _placed(out: Path, write: Callable[[Path], int], *, force: bool) -> int:
    """Writes beside a file and puts it there whole; nothing is left when that fails."""
    beside = out.with_name(f".{secrets.token_hex(8)}.edocnode{out.suffix}")
    try:
        count = write(beside)
        if force:
            beside.replace(out)
        else:
            os.link(beside, out)
    except FileExistsError as error:
        raise _exists(out) from error
    except OSError as error:
        raise DataFolderError(
            f"The register {out} cannot be written: {error.strerror}.",
            hint="Choose a folder that you may write to, with enough room.",
            path=str(out),
        ) from error
    finally:
        beside.unlink(missing_ok=True)
    return count


def _exists(out: Path) -> FileExistsHereError:
    return FileExistsHereError(
        f"{out} is already there and is not overwritten.",
        hint="Choose another name, or add --force to replace it.",
        path=str(out),
    )


@cache
def _data() -> dict[str, Any]:
    """Columns and words of the registers."""
    text = files("edocnode.cli").joinpath("registers.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise RequestInvalidError(
            f"{text[:40]!r} is no day.", hint="Write it as YYYY-MM-DD."
        ) from error


def _local_day(moment: datetime | None) -> str:
    from edockit.console import local_time_text

    return local_time_text(moment)[:10] if moment else ""


def _note(line: dict[str, Any], words: dict[str, str]) -> str:
    parts = (words.get(line["state"], ""), line["reason"])
    due = words["due"].format(day=day(line["due_date"])) if line["due_date"] else ""
    return ". ".join(filter(None, (": ".join(filter(None, parts)), due)))
