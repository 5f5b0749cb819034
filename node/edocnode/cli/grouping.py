"""Help of a command with many options: under headings, in plain text."""

from typing import Any

from typer.core import TyperCommand

DEFAULT = "Options"
Record = tuple[str, str]


class GroupedCommand(TyperCommand):
    """Shows options under the headings that ``rich_help_panel`` names, in order of the first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - see below
        """Writes arguments, then each group of options."""
        groups: dict[str, list[Record]] = {"Arguments": [], DEFAULT: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(_heading(parameter), []).append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _heading(parameter: Any) -> str:  # noqa: ANN401 - the library has no public type for it
    if parameter.param_type_name == "argument":
        return "Arguments"
    panel: str | None = getattr(parameter, "rich_help_panel", None)
    return panel or DEFAULT
