"""Commands for a data folder that may be an older copy: log recover, log confirm."""

from pathlib import Path
from typing import Annotated

import typer

from edockit.language import _, marked
from edocregistry.cli.context import CommandContext, now, operating_system_user, require_yes

RECOVERED_SCHEMA = "edoc.registry-log-recovered/v1"
CONFIRMED_SCHEMA = "edoc.registry-log-confirmed/v1"


def recover(
    context: typer.Context,
    mirror: Annotated[
        Path | None,
        typer.Option("--mirror", help="Directory of a node; default: what one gave back."),
    ] = None,
) -> None:
    """Brings an older copy of the data folder to what a node holds, and publishes."""
    from edocregistry.app.returning import recover as take_over

    options: CommandContext = context.obj
    found = take_over(options.registry(), mirror, actor=operating_system_user(), clock=now)
    options.console.data(
        {
            "schema": RECOVERED_SCHEMA,
            "before": found.before,
            "version": found.version,
            "logged": found.logged,
        },
        _(
            "{logged} published versions are back. The data folder had directory version {before}, "
            "published is {version}.",
            logged=found.logged,
            before=found.before,
            version=found.version,
        ),
    )
    options.console.say(
        _("Lost are invites and the audit since then; invite again who has not joined.")
    )


def confirm(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: if it is not, agencies have a proof against you.")
    ] = False,
) -> None:
    """Says that this data folder is the newest, without waiting for what nodes show."""
    require_yes(given=yes, what=marked("Taking this data folder for the newest"))
    options: CommandContext = context.obj
    registry = options.registry()
    registry.publisher.log.confirm()
    version = registry.folder.directory.mark()[0]
    options.console.data(
        {"schema": CONFIRMED_SCHEMA, "version": version},
        _("The registry goes on from directory version {version}.", version=version),
    )
