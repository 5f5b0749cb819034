"""The command that shows code lists: codes. It works on a stopped node, and without one."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from edockit.language import _, told
from edocnode.cli.context import CommandContext
from edocnode.domain.codes import CodeList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edocnode.domain.codes import CodeEntry

CODES_SCHEMA = "edoc.codes/v1"


def codes(
    context: typer.Context,
    name: Annotated[CodeList, typer.Argument(metavar="LIST", help=", ".join(CodeList) + ".")],
) -> None:
    """Lists document types, reasons, states and other codes."""
    options: CommandContext = context.obj
    entries = options.code_lists()[name]
    options.console.data(
        {"schema": CODES_SCHEMA, "list": name, "codes": [asdict(entry) for entry in entries]},
        _text(entries),
    )


def _text(entries: "Sequence[CodeEntry]") -> str:
    from edockit.console import table

    rows = [
        (
            entry.code,
            entry.vi,
            entry.en,
            "" if entry.edxml is None else str(entry.edxml),
            "; ".join(
                filter(None, (_("unverified") if entry.unverified else "", told(entry.note)))
            ),
        )
        for entry in entries
    ]
    return table((_("code"), _("Vietnamese"), _("English"), "edXML", _("remark")), rows)
