"""The command that extends an expired directory: extend, on a machine without any network."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edoccore.errors import FileExistsHereError, RequestInvalidError
from edockit.language import _
from edocregistry.cli.context import CommandContext, now
from edocregistry.cli.officer_keys import PinFile

if TYPE_CHECKING:
    from edoccore.directory.view import Directory
    from edocregistry.domain.extending import Extended

EXTEND_SCHEMA = "edoc.registry-extend/v1"


def extend(
    context: typer.Context,
    *,
    key: Annotated[
        list[Path], typer.Option("--key", help="An officer's root key; may be repeated.")
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write; never overwritten.")],
    days: Annotated[
        int, typer.Option("--days", min=0, max=90, help="How long it counts; from now.")
    ] = 0,
    reason: Annotated[str, typer.Option("--reason", help="Why; every node shows it.")] = "",
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            help="File of: edocnode directory export; default: the registry's own.",
        ),
    ] = None,
    add: Annotated[
        Path | None,
        typer.Option("--add", help="Extension of another officer, to sign it too."),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", help="Private file with the passphrase of the keys."),
    ] = None,
    pin_file: PinFile = None,
) -> None:
    """Lets an expired directory count for some days more, when the registry is lost.

    Needs as many root keys as a new root does, and no network. Nodes take the file by: edocnode
    directory import FILE
    """
    from edocregistry.app.signing import open_keys
    from edocregistry.cli.passphrases import passphrase_of, pin_of
    from edocregistry.domain import extending

    options: CommandContext = context.obj
    if (add is None) == (days == 0) or (add is None and not reason):
        raise RequestInvalidError(
            "An extension is either made or signed too.",
            hint="To make one: --days N --reason TEXT; to sign one that another made: --add FILE.",
        )
    found = _directory(options, directory)
    with open_keys(key, passphrase_of(passphrase_file), pin_of(pin_file)) as signers:
        if add is not None:
            made = extending.add(found, _read(add), signers)
        else:
            life = timedelta(days=days)
            made = extending.begin(found, signers, now=now(), life=life, reason=reason)
    _write_new(out, made.data)
    _tell(options, out, found, made)


def _tell(options: CommandContext, out: Path, directory: "Directory", made: "Extended") -> None:
    from edockit.console import local_time, local_time_text

    options.console.data(
        {
            "schema": EXTEND_SCHEMA,
            "path": str(out),
            "network": directory.network,
            "directory": {"version": directory.mark.version, "sha256": directory.mark.hash},
            "root_sha256": directory.chain.anchor,
            "until": local_time(made.until),
            "reason": made.reason,
            "signed": made.signed,
            "threshold": made.threshold,
            "sha256": sha256(made.data).hexdigest(),
        },
        _(
            "{path}: directory version {version} of {network} is extended until {until}\n"
            "root      {root}\nreason    {reason}\nsigned by {signed} of {threshold} officers",
            path=str(out),
            version=directory.mark.version,
            network=directory.network,
            until=local_time_text(made.until),
            root=directory.chain.anchor,
            reason=made.reason,
            signed=made.signed,
            threshold=made.threshold,
        ),
    )
    if made.missing:
        options.console.say(
            _(
                "Officers who must still sign it: {missing}; each by: edocregistry extend --add "
                "{path} --key FILE --out FILE",
                missing=made.missing,
                path=str(out),
            )
        )
    else:
        options.console.say(_("On each node: edocnode directory import {path}", path=str(out)))


def _directory(options: CommandContext, path: Path | None) -> "Directory":
    """The directory to be extended: of a file, or the registry's own; all its signatures hold."""
    from edoccore.directory.bundle import decode_bundle
    from edoccore.directory.loading import load

    files = options.folder().directory.bundle() if path is None else decode_bundle(_read(path))
    roots = {int(name.split(".")[0]): name for name in files if name.endswith(".root.json")}
    if not roots:
        raise RequestInvalidError("There is no root in the directory.", hint="Take another file.")
    return load(files, sha256(files[roots[min(roots)]]).hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be read: {error.strerror}.") from error


def _write_new(path: Path, data: bytes) -> None:
    from edockit.files import write_file_atomic

    if path.exists():
        raise FileExistsHereError(
            f"{path} is already there and is not overwritten.",
            hint="Choose another name for --out.",
            path=str(path),
        )
    write_file_atomic(path, data)
