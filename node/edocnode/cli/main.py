"""The root command of ``edocnode`` and its entry point."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edockit.console import Console, new_app, run
from edockit.language import Language
from edocnode.cli import (
    access,
    alarming,
    bridging,
    checking,
    codes,
    configuring,
    counting,
    deciding,
    demo,
    directory,
    directory_log,
    doctoring,
    exporting,
    holding,
    keys,
    late,
    moving,
    numbering,
    operating,
    proving,
    quarantining,
    reading,
    registering,
    retaining,
    retiring,
    retrying,
    revoking,
    running,
    saving,
    sending,
    subagencies,
    superseding,
)
from edocnode.cli.context import CommandContext
from edocnode.cli.grouping import GroupedCommand

NAME = "edocnode"


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Exchanges sealed official documents with the nodes of other agencies.")
    app.callback()(_root)
    app.command()(running.init)
    app.command()(running.serve)
    app.command()(operating.status)
    app.command()(doctoring.doctor)
    app.command(cls=GroupedCommand)(sending.send)
    app.command(cls=GroupedCommand)(superseding.update)
    app.command(cls=GroupedCommand)(superseding.replace)
    app.command(cls=GroupedCommand)(reading.inbox)
    app.command(cls=GroupedCommand)(reading.outbox)
    app.command()(reading.show)
    app.command()(late.late)
    app.command()(registering.register)
    app.command()(counting.stats)
    app.command()(saving.save)
    app.command()(exporting.export)
    app.command()(retrying.retry)
    app.command()(quarantining.scan)
    app.command()(deciding.accept)
    app.command()(deciding.assign)
    app.command()(deciding.process)
    app.command()(deciding.finish)
    app.command()(deciding.reject)
    app.command()(codes.codes)
    app.command()(revoking.revoke)
    app.command()(revoking.agree)
    app.command()(revoking.decline)
    app.command()(operating.peers)
    app.command()(operating.ping)
    app.command()(operating.takeover)
    app.command()(retiring.retire)
    app.command()(demo.demo)
    _add_groups(app)
    return app


def _add_groups(app: typer.Typer) -> None:
    app.add_typer(directory.build_app(), name="directory")
    app.add_typer(directory_log.build_witness_app(), name="witness")
    app.add_typer(access.build_app(), name="access")
    app.add_typer(alarming.build_app(), name="alarms")
    app.add_typer(keys.build_app(), name="keys")
    app.add_typer(subagencies.build_app(), name="subagency")
    app.add_typer(moving.build_app(), name="move")
    app.add_typer(holding.build_app(), name="hold")
    app.add_typer(retaining.build_app(), name="retention")
    app.add_typer(quarantining.build_app(), name="quarantine")
    app.add_typer(proving.build_evidence_app(), name="evidence")
    app.add_typer(proving.build_journal_app(), name="journal")
    app.add_typer(numbering.build_app(), name="numbers")
    app.add_typer(checking.build_app(), name="signatures")
    app.add_typer(bridging.build_app(), name="edxml")
    app.add_typer(configuring.build_app(), name="config")


def _root(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="EDOCNODE_DATA", help="Data folder of the node."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print data as JSON, errors as edoc.error/v1.")
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            envvar="EDOCNODE_TOKEN_FILE",
            help="Call as the account of this token.",
        ),
    ] = None,
    _language: Annotated[  # chosen before the options are read, so that their errors speak it too
        Language | None,
        typer.Option("--lang", help="Language of messages; default: by LC_ALL, LANG."),
    ] = None,
) -> None:
    context.obj = CommandContext(data, Console(as_json=as_json), token_file)


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    sys.exit(run(build_app(), name=NAME, catalogues=("edocnode",)))
