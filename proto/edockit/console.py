"""What every command promises: data on stdout, talk on stderr, the exit code tells what happened.

``run`` is the only place where an error becomes an exit code. With ``--json`` data are objects
with a ``schema``; a failed command leaves stdout empty and ends stderr with one line of
``edoc.error/v1``. Commands come from each program; nothing heavy is imported here, so that
``--help`` answers at once.

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 not reachable, 6 conflict
(``edoccore.errors.ExitCode``); 130 when interrupted.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edoccore.errors import EdocError, ExitCode, RequestInvalidError
from edockit import tls13  # noqa: F401 - entry points import this module before any of gRPC
from edockit.language import (
    LOCAL_TIME,
    VIET_NAM,
    _,
    choose_language,
    is_english,
    speak,
    told,
)

if TYPE_CHECKING:
    import typer

ERROR_SCHEMA = "edoc.error/v1"
INTERRUPTED = 130  # 128 + SIGINT, as shells tell it
TRACEBACK_VARIABLE = "EDOC_TRACEBACK"  # set: a fault prints where it happened
# Options that may stand before or after the subcommand, and whether a value follows.
GLOBAL_OPTIONS: Mapping[str, bool] = {
    "--data": True,
    "--json": False,
    "--lang": True,
    "--token-file": True,
}


@dataclass(frozen=True, slots=True)
class Console:
    """Where a command puts its data and its talk."""

    as_json: bool = False

    def data(self, document: Mapping[str, Any], text: str) -> None:
        """Prints the result of a command.

        Args:
            document: With ``schema``; printed with ``--json``, on one line.
            text: The same for people, printed otherwise; without a newline at its end.
        """
        shown = json.dumps(document, ensure_ascii=False) if self.as_json else text
        sys.stdout.write(f"{shown}\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Tells a person what is being done; never part of the data."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def error(self, error: EdocError) -> None:
        """Tells why the command failed and what to do."""
        if self.as_json:
            self.say(json.dumps(error_object(error), ensure_ascii=False))
            return
        self.say(f"{told('error:')} {told(error.message)}")
        if error.hint:
            self.say(f"{told('hint:')} {told(error.hint)}")


def new_app(help_text: str) -> "typer.Typer":
    """Makes a group of commands that keeps this contract: plain help, no pretty tracebacks."""
    import typer  # noqa: PLC0415

    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def error_object(error: EdocError) -> dict[str, str]:
    """Returns an error as ``edoc.error/v1``."""
    return {
        "schema": ERROR_SCHEMA,
        "reason": error.reason,
        "message": told(error.message),
        "hint": told(error.hint),
    }


def run(
    app: "typer.Typer",
    *,
    name: str,
    catalogues: Sequence[str] = (),
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs a command line and returns its exit code.

    Args:
        app: The commands.
        name: Of the program, for its usage text.
        catalogues: Import names of the packages whose messages it tells, beside this one.
        arguments: Without the program's name; default: those of this process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(as_json="--json" in _before_separator(given))
    speak(choose_language(_option(given, "--lang"), os.environ), ("edockit", *catalogues))
    try:
        return _invoke(app, name, hoisted(given), console=console)
    except EdocError as error:
        console.error(error)
        return error.exit_code.value
    except KeyboardInterrupt:
        console.say(_("interrupted"))
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return ExitCode.FAILED.value
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        console.error(_fault(error))
        return ExitCode.FAILED.value


def hoisted(arguments: Sequence[str], options: Mapping[str, bool] = GLOBAL_OPTIONS) -> list[str]:
    """Moves global options to the front, where the root command reads them.

    What follows ``--`` stays. An option without its value stays too, and is told by the parser.
    """
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word not in options:
            (front if word.partition("=")[0] in options else rest).append(word)
        elif options[word]:
            front += [word, *_one(words)]
        else:
            front.append(word)
    return front + rest


def local_time(moment: datetime) -> str:
    """Returns a moment for JSON, as clocks in Viet Nam show it: RFC 3339, ``+07:00``.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a time without a time zone cannot be shown: {moment!r}")
    return moment.astimezone(VIET_NAM).isoformat(timespec="milliseconds")


def local_time_text(moment: datetime) -> str:
    """Returns a moment for people: ``23/11/2026 10:04:05``, Viet Nam time.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a time without a time zone cannot be shown: {moment!r}")
    return moment.astimezone(VIET_NAM).strftime(LOCAL_TIME)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lays out rows under headings for people; imports the layout library when called."""
    from rich import box  # noqa: PLC0415
    from rich.console import Console as RichConsole  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    layout = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        layout.add_column(column, overflow="fold")
    for row in rows:
        layout.add_row(*(_cell(value) for value in row))
    terminal = sys.stdout.isatty()
    width = None if terminal else 10_000  # a file or pipe gets whole lines
    out = RichConsole(width=width, no_color=True, highlight=False, markup=False, emoji=False)
    with out.capture() as captured:
        out.print(layout)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def _invoke(app: "typer.Typer", name: str, arguments: list[str], *, console: Console) -> int:
    """Runs the commands; usage errors and interruption become their exit codes."""
    from typer.exceptions import TyperException  # noqa: PLC0415
    from typer.main import get_command  # noqa: PLC0415

    command = get_command(app)
    if not is_english():
        from edockit.help_language import translate_help  # noqa: PLC0415

        translate_help(command)
    try:
        result = command.main(arguments, prog_name=name, standalone_mode=False)
    except TyperException as error:
        _usage_error(error.format_message(), name, console)
        return ExitCode.USAGE.value
    except SystemExit as ended:  # the reader of stdout went away
        return ended.code if isinstance(ended.code, int) else ExitCode.FAILED.value
    if result == INTERRUPTED:
        console.say(_("interrupted"))
    return result if isinstance(result, int) else ExitCode.DONE.value


def _usage_error(message: str, name: str, console: Console) -> None:
    if "\n" in message and not console.as_json:  # no arguments: the message is the help text
        console.say(message)
        return
    text = message.partition("\n")[0] if "\n" in message else message
    console.error(RequestInvalidError(text, hint=f"see: {name} --help"))


def _fault(error: Exception) -> EdocError:
    """Names a fault of the program itself, without what its text may hold."""
    return EdocError(
        f"a fault of this program: {type(error).__name__}",
        hint=f"run it again with {TRACEBACK_VARIABLE}=1 and report what it prints",
    )


def _before_separator(arguments: Sequence[str]) -> list[str]:
    words = list(arguments)
    return words[: words.index("--")] if "--" in words else words


def _option(arguments: Sequence[str], name: str) -> str | None:
    """The value of a global option, wherever it stands; None without it."""
    words = _before_separator(arguments)
    for place, word in enumerate(words):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name:
            return words[place + 1] if place + 1 < len(words) else None
    return None


def _one(words: Iterator[str]) -> list[str]:
    """Returns the value that follows an option, if there is one."""
    value = next(words, None)
    return [] if value is None else [value]


def _cell(value: object) -> str:
    return local_time_text(value) if isinstance(value, datetime) else str(value)


def _drop_stdout() -> None:
    """Keeps the interpreter from flushing into a pipe that nobody reads."""
    with contextlib.suppress(OSError):  # closed already
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
