"""Commands about who watches over the log: witness add, remove, require, list."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edockit.language import _, marked
from edocregistry.cli import recovering
from edocregistry.cli.context import CommandContext, now, operating_system_user, require_yes

if TYPE_CHECKING:
    from edocregistry.app.witnesses import LogStatus

WITNESS_SCHEMA = "edoc.registry-witnesses/v1"
Code = Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency.")]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Chooses whose nodes watch over the log of published versions.",
    )
    app.command()(add)
    app.command()(remove)
    app.command()(require)
    app.command("list")(list_witnesses)
    return app


def build_log_app() -> typer.Typer:
    """Puts the commands about the log itself together."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Brings the log of published versions back from nodes, renews its key.",
    )
    app.command()(renew)
    app.command()(recovering.recover)
    app.command()(recovering.confirm)
    return app


def renew(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Really: the old key ends.")] = False,
) -> None:
    """Makes the log's next key; it signs once the directory lists it."""
    from edocregistry.app.witnesses import renew_log_key

    require_yes(given=yes, what=marked("Ending the log's key"))
    options: CommandContext = context.obj
    renew_log_key(options.registry(), operating_system_user())
    list_witnesses(context)


def add(
    context: typer.Context,
    code: Code,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The line of: edocnode witness enable")],
) -> None:
    """Lets an agency's node cosign the log, or replaces its key."""
    from edocregistry.app.witnesses import add_witness

    options: CommandContext = context.obj
    add_witness(options.registry(), operating_system_user(), code, key)
    list_witnesses(context)


def remove(
    context: typer.Context,
    code: Code,
    yes: Annotated[bool, typer.Option("--yes", help="Really: nodes alarm about it.")] = False,
) -> None:
    """Ends the watch of an agency; all nodes alarm, since fewer watch."""
    from edocregistry.app.witnesses import remove_witness

    require_yes(given=yes, what=marked(f"Removing the witness {code}"))
    options: CommandContext = context.obj
    remove_witness(options.registry(), operating_system_user(), code)
    list_witnesses(context)


def require(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="How many; 0: none.")],
) -> None:
    """Sets how many witnesses must cosign each version within a day."""
    from edocregistry.app.witnesses import require_witnesses

    options: CommandContext = context.obj
    require_witnesses(options.registry(), operating_system_user(), number)
    list_witnesses(context)


def list_witnesses(context: typer.Context) -> None:
    """Lists the witnesses of the published directory, and when each cosigned last."""
    from edocregistry.app.witnesses import log_status

    options: CommandContext = context.obj
    found = log_status(options.registry(), now())
    text = "\n".join(log_lines(found)) or _("The log has not begun.")
    options.console.data({"schema": WITNESS_SCHEMA, "log": log_object(found)}, text)


def log_object(found: "LogStatus | None") -> dict[str, Any] | None:
    """The log as JSON shows it."""
    from edockit.console import local_time

    if found is None:
        return None
    return {
        "size": found.size,
        "root": found.root,
        "complete": found.is_complete,
        "threshold": found.threshold,
        "witnessed_size": found.witnessed_size,
        "witnesses": [
            {
                "agency": item.agency,
                "cosigned_at": local_time(item.cosigned_at) if item.cosigned_at else None,
            }
            for item in found.witnesses
        ],
    }


def log_lines(found: "LogStatus | None") -> list[str]:
    """The log for people."""
    from edockit.console import local_time_text

    if found is None:
        return []
    lines = [
        _(
            "log       {size} versions, {witnessed} cosigned by {threshold} of {count} witnesses",
            size=found.size,
            witnessed=found.witnessed_size,
            threshold=found.threshold,
            count=len(found.witnesses),
        )
    ]
    for item in found.witnesses:
        at = local_time_text(item.cosigned_at) if item.cosigned_at else _("not the newest version")
        lines.append(_("witness   {agency}: {at}", agency=item.agency, at=at))
    return lines
