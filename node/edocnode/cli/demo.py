"""The command that shows everything at work on this machine: demo."""

from typing import Annotated

import typer

from edocnode.cli.context import CommandContext


def demo(
    context: typer.Context,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with data, logs and evidence.")
    ] = False,
    attachment_mib: Annotated[
        int, typer.Option("--attachment-mib", min=64, max=8192, help="Size of the attachment, MiB.")
    ] = 200,
) -> None:
    """Runs a registry and two nodes here; breaks a transfer, resumes it, proves the receipt."""
    from edocnode.demo.running import run_demo

    options: CommandContext = context.obj
    run_demo(options.console, attachment_mib=attachment_mib, keep=keep)
