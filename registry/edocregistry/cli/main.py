"""The root command of ``edocregistry`` and its entry point."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edockit.console import Console, run
from edockit.language import Language
from edocregistry.cli import (
    agencies,
    drafts,
    extending,
    keeping,
    keys,
    officer_keys,
    outside,
    reorganising,
    running,
    witnesses,
)
from edocregistry.cli.context import CommandContext

NAME = "edocregistry"


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = typer.Typer(
        name=NAME,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Says which agencies exist and with which keys; never sees a document.",
    )
    app.callback()(_root)
    app.command()(running.init)
    app.command()(running.serve)
    app.command()(running.status)
    app.command()(drafts.publish)
    app.command()(drafts.draft)
    app.command()(drafts.sign)
    app.command()(keeping.backup)
    app.command()(keeping.restore)
    app.command()(keeping.rebuild)
    app.add_typer(officer_keys.build_app(), name="key")
    of_agencies = agencies.build_app()
    of_agencies.command()(reorganising.reorganise)
    app.add_typer(of_agencies, name="agency")
    app.add_typer(outside.build_app(), name="outside")
    app.add_typer(witnesses.build_app(), name="witness")
    app.add_typer(witnesses.build_log_app(), name="log")
    app.command()(keys.invite)
    app.command()(keys.revoke)
    app.command()(extending.extend)
    app.add_typer(keys.build_ca_app(), name="ca")
    return app


def _root(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="EDOCREGISTRY_DATA", help="Data folder of the registry."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print data as JSON, errors as edoc.error/v1.")
    ] = False,
    _language: Annotated[  # chosen before the options are read, so that their errors speak it too
        Language | None,
        typer.Option("--lang", help="Language of messages; default: by LC_ALL, LANG."),
    ] = None,
) -> None:
    context.obj = CommandContext(data, Console(as_json=as_json))


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    sys.exit(run(build_app(), name=NAME, catalogues=("edocregistry",)))
