"""Help texts and usage errors in the language that the process speaks.

The command line library writes headings and remarks in English; they are put into the other
language where help is laid out, the texts of commands and options before.
"""

import re

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from edockit.language import told

_REMARKS = re.compile(r"\[([^\[\]]+)\]$")  # [default: x; required] at the end of a description


class _SpokenFormatter(typer.Context.formatter_class):  # type: ignore[misc, valid-type]  # has no public name
    """Lays out help as the library does, with its own words translated."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Writes the usage line."""
        super().write_usage(prog, args, prefix or f"{told('Usage:')} ")

    def write_heading(self, heading: str) -> None:
        """Writes a heading such as Options."""
        super().write_heading(told(heading))

    def write_dl(
        self, rows: list[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Writes names with their descriptions."""
        super().write_dl([(name, _described(text)) for name, text in rows], col_max, col_spacing)


class SpokenContext(typer.Context):
    """The context of a command whose help is translated."""

    formatter_class = _SpokenFormatter


def translate_help(command: object) -> None:
    """Puts the help of a command, its options and all commands below it into the language."""
    if not isinstance(command, TyperCommand | TyperGroup):
        return
    command.context_class = SpokenContext
    command.help = _translated(command.help)
    command.epilog = _translated(command.epilog)
    for parameter in command.params:
        if isinstance(parameter, TyperOption | TyperArgument):
            parameter.help = _translated(parameter.help)
    if isinstance(command, TyperGroup):
        for below in command.commands.values():
            translate_help(below)


def _translated(text: str | None) -> str | None:
    return told(joined(text)) if text else text


def _described(text: str) -> str:
    remarks = _REMARKS.search(text)
    if remarks is None:
        return told(text)
    told_remarks = "; ".join(told(remark) for remark in remarks[1].split("; "))
    return f"{told(text[: remarks.start()])}[{told_remarks}]"


def joined(text: str) -> str:
    """Help as catalogues have it: each paragraph on one line."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
