"""Commands that move a node to another host: move pack, unpack, cancel."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import _
from edocnode.cli.context import CommandContext, now, operating_system_user

if TYPE_CHECKING:
    from edocnode.app.moving import Packed

MOVE_SCHEMA = "edoc.move/v1"
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Where it is packed; - for a pipe, as into ssh.")
]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Moves a stopped node to another host.")
    app.command()(pack)
    app.command()(unpack)
    app.command()(cancel)
    return app


def pack(context: typer.Context, file: File) -> None:
    """Packs a stopped node, keys and all; it does not start here any more.

    Whoever has the file has the node's keys: it is for the new host alone, and to be removed.
    """
    from edocnode.app.moving import pack as pack_node

    options: CommandContext = context.obj
    folder = options.folder()
    with _writing(file) as target:
        packed = pack_node(folder, target, actor=operating_system_user(), now=now())
    text = _(
        "{agency} is packed: {files} files. On the new host: edocnode move unpack FILE --listen "
        "HOST:PORT",
        agency=packed.agency,
        files=packed.files,
    )
    if str(file) == "-":
        options.console.say(text)
        return
    options.console.data(_as_json(packed), text)


def unpack(
    context: typer.Context,
    file: File,
    listen: Annotated[
        str, typer.Option("--listen", help="host:port to bind here; default: as before.")
    ] = "",
    advertise: Annotated[
        str, typer.Option("--advertise", help="host:port for others; default: as before.")
    ] = "",
) -> None:
    """Makes a node of what was packed on its old host, at a new address if one is given."""
    from edocnode.app.moving import unpack as unpack_node

    options: CommandContext = context.obj
    path = options.folder().path
    with _reading(file) as source:
        packed = unpack_node(source, path, listen=listen, advertise=advertise)
    text = _(
        "{agency} is here: {files} files. Start: edocnode serve",
        agency=packed.agency,
        files=packed.files,
    )
    options.console.data(_as_json(packed), text)


def cancel(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: it never started on the other host.")
    ] = False,
) -> None:
    """Lets a node that was packed run here again."""
    from edocnode.app.moving import reopen

    if not yes:
        raise RequestInvalidError(
            "Two copies of a node must never run.",
            hint="If it never started on the other host, add --yes.",
        )
    options: CommandContext = context.obj
    was_packed = reopen(options.folder())
    options.console.data(
        {"schema": MOVE_SCHEMA, "reopened": was_packed}, _("Start: edocnode serve")
    )


def _writing(file: Path) -> AbstractContextManager[BinaryIO]:
    if str(file) == "-":
        return nullcontext(sys.stdout.buffer)
    try:
        return open(file, "xb", opener=_private)
    except OSError as error:
        raise RequestInvalidError(
            f"{file} cannot be made: {error.strerror}.", hint="Name a new file."
        ) from error


def _reading(file: Path) -> AbstractContextManager[BinaryIO]:
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise RequestInvalidError(
            f"{file} cannot be read: {error.strerror}.", hint="Check its name and who owns it."
        ) from error


def _private(path: str, flags: int) -> int:
    import os

    return os.open(path, flags, 0o600)


def _as_json(packed: "Packed") -> dict[str, object]:
    return {
        "schema": MOVE_SCHEMA,
        "agency": packed.agency,
        "files": packed.files,
        "size_bytes": packed.size_bytes,
    }
