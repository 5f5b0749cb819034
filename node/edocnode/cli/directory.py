"""Commands about the directory: directory import, export."""

from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import _
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.operating import directory_text
from edocnode.cli.proving import write_new
from edocnode.cli.wording import clock

EXPORT_SCHEMA = "edoc.directory_export/v1"
Actor = Annotated[str, typer.Option("--actor", help="Who decides; default: you.")]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Brings the directory in and out as a file, when no network does.")
    app.command("import")(import_file)
    app.command()(export)
    return app


def import_file(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A directory, or the officers' extension.")
    ],
    actor: Actor = "",
) -> None:
    """Takes a directory or its extension from a file, once its signatures are checked."""
    options: CommandContext = context.obj
    with _opened(file) as opened, options.admin() as node:
        found = node.import_directory(opened, actor or operating_system_user())
    if found["extended_until"]:
        text = _("The directory is extended until {until}.", until=clock(found["extended_until"]))
    elif found["changed"]:
        text = _("The directory of the file is in force.")
    else:
        text = _("The directory of the file was in force already.")
    shown = _("directory {text}", text=directory_text(found["directory"]))
    options.console.data(found, f"{text}\n{shown}")


def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; must not be.")],
) -> None:
    """Writes the directory in hand to a file, for a node that reaches nobody.

    It holds no secret, and whoever carries it cannot change it unseen.
    """
    from edocnode.storage.directory_files import BUNDLE_NAME, DirectoryFiles

    options: CommandContext = context.obj
    folder = options.folder()
    directory = DirectoryFiles(folder.directory, folder.identity().root_sha256).load()
    write_new(file, [(folder.directory / BUNDLE_NAME).read_bytes()])
    found = {
        "schema": EXPORT_SCHEMA,
        "path": str(file),
        "version": directory.mark.version,
        "sha256": directory.mark.hash,
    }
    options.console.data(
        found,
        _("{path}: directory version {version}", path=found["path"], version=found["version"]),
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be read: {error.strerror}.") from error
