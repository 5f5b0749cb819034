"""Commands about the directory: directory import, export, accept, evidence, verify, log."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from edoccore.errors import (
    ExitCode,
    FileUnknownError,
    NodeNotRunningError,
    RequestInvalidError,
)
from edockit.console import new_app
from edockit.language import _
from edocnode.cli import directory_log
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.operating import directory_text
from edocnode.cli.saving import write_new
from edocnode.cli.wording import clock

if TYPE_CHECKING:
    from edoccore.directory.equivocation import Equivocation
    from edoccore.directory.log_fork import LogFork
    from edocnode.storage.directory_files import DirectoryFiles

EXPORT_SCHEMA = "edoc.directory_export/v1"
PROOFS_SCHEMA = "edoc.directory_proofs/v1"
PROOF_SCHEMA = "edoc.directory_proof/v1"
Actor = Annotated[str, typer.Option("--actor", help="Who decides; default: you.")]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Brings the directory in and out as a file; shows proofs against the registry.")
    app.command("import")(import_file)
    app.command()(export)
    app.command()(accept)
    app.command()(evidence)
    app.command()(verify)
    app.command("log")(directory_log.show)
    return app


def import_file(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A directory, or the officers' extension.")
    ],
    actor: Actor = "",
) -> None:
    """Takes a directory or its extension from a file, once its signatures are checked.

    The running node takes it, or the folder of a stopped one.
    """
    options: CommandContext = context.obj
    who = actor or operating_system_user()
    with _opened(file) as opened:
        try:
            with options.admin() as node:
                found = node.import_directory(opened, who)
        except NodeNotRunningError:
            opened.seek(0)
            with options.stopped() as node:
                found = node.import_directory(opened, who)
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
    """Writes directory and log in hand to a file, for a node that reaches nobody.

    It holds no secret, and whoever carries it cannot change it unseen.
    """
    from edoccore.directory.bundle import LOG_NAME, encode_bundle, encode_log

    options: CommandContext = context.obj
    directory, log = _files(options).load(), directory_log.files(options).kept_log()
    carried = {} if log is None else {LOG_NAME: encode_log(log)}
    write_new(file, [encode_bundle({**directory.files, **carried})])
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


def accept(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: these codes are this agency's.")
    ] = False,
    actor: Actor = "",
) -> None:
    """Accepts the codes that the directory lists for this agency, after an alarm about them."""
    if not yes:
        raise RequestInvalidError(
            "Whoever accepts codes takes documents for them.",
            hint="Ask the registry's officer whether the change is right, then add --yes.",
        )
    options: CommandContext = context.obj
    with options.admin() as node:
        found = node.accept_own_entry(actor or operating_system_user())
    text = _("Accepted: {codes}", codes=", ".join(found["codes"]) or "-")
    options.console.data(found, text)


def evidence(
    context: typer.Context,
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="Which to write; default: list all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; never overwritten.")
    ] = None,
    log: Annotated[
        bool, typer.Option("--log", help="Write the proof that the registry keeps two logs.")
    ] = False,
) -> None:
    """Lists proofs against the registry, or writes one: two directories of a version, two logs."""
    options: CommandContext = context.obj
    proofs: list[Equivocation | LogFork] = [
        *_files(options).proofs(),
        *directory_log.files(options).forks(),
    ]
    if (version is not None or log) != (out is not None):
        raise RequestInvalidError(
            "A proof is written by its version, or --log, and a file.",
            hint="Name both: edocnode directory evidence VERSION --out FILE",
        )
    if out is None:
        lines = [_proof_text(proof) for proof in proofs]
        found = {"schema": PROOFS_SCHEMA, "proofs": [_proof_json(proof) for proof in proofs]}
        options.console.data(
            found, "\n".join(lines) or _("There is no proof against the registry.")
        )
        return
    chosen = [proof for proof in proofs if _is_wanted(proof, version)]
    if not chosen:
        raise FileUnknownError(
            "There is no such proof.", hint="See which there are: edocnode directory evidence"
        )
    write_new(out, [chosen[0].data])
    options.console.data({"schema": PROOF_SCHEMA, **_proof_json(chosen[0])}, str(out))
    options.console.say(
        _("Check it anywhere: edocnode directory verify {out} --root SHA256", out=str(out))
    )


def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of: directory evidence.")],
    root: Annotated[
        str, typer.Option("--root", help="SHA-256 of the network's root; default: the node's.")
    ] = "",
) -> int:
    """Checks a proof against a registry, without any node or network.

    Exits with 0 when it proves what it says, with 4 when it does not.
    """
    options: CommandContext = context.obj
    anchor = root or (options.folder().identity().root_sha256 if options.data else "")
    with _opened(file) as opened:
        proof = _read_proof(opened.read(), anchor)
    options.console.data({"schema": PROOF_SCHEMA, **_proof_json(proof)}, _proof_text(proof))
    if anchor:
        return ExitCode.DONE.value
    options.console.say(
        _("No root was named: compare {root} with the network's own.", root=proof.anchor)
    )
    return ExitCode.REFUSED.value


def _read_proof(data: bytes, anchor: str) -> "Equivocation | LogFork":
    from edoccore.directory.equivocation import read_proof
    from edoccore.directory.log_fork import KIND, read_log_fork
    from edoccore.directory.wrapping import kind_of

    return read_log_fork(data, anchor) if kind_of(data) == KIND else read_proof(data, anchor)


def _is_wanted(proof: "Equivocation | LogFork", version: int | None) -> bool:
    """Whether it is of a version; None: of the log."""
    return getattr(proof, "version", None) == version


def _files(options: CommandContext) -> "DirectoryFiles":
    from edocnode.storage.directory_files import DirectoryFiles

    folder = options.folder()
    return DirectoryFiles(folder.directory, folder.identity().root_sha256)


def _proof_json(proof: "Equivocation | LogFork") -> dict[str, object]:
    from edoccore.directory.log_fork import LogFork

    if isinstance(proof, LogFork):
        return {
            "log": proof.log,
            "sizes": list(proof.sizes),
            "roots": list(proof.roots),
            "root_sha256": proof.anchor,
        }
    return {
        "version": proof.version,
        "hashes": list(proof.hashes),
        "roles": list(proof.roles),
        "root_sha256": proof.anchor,
    }


def _proof_text(proof: "Equivocation | LogFork") -> str:
    from edoccore.directory.log_fork import LogFork

    if isinstance(proof, LogFork):
        return _(
            "log {log}: of its checkpoints of {first} and {second} versions none continues the "
            "other",
            log=proof.log,
            first=proof.sizes[0],
            second=proof.sizes[1],
        )
    return _(
        "version {version}: the registry signed {first} and {second}; they differ in {roles}",
        version=proof.version,
        first=proof.hashes[0],
        second=proof.hashes[1],
        roles=", ".join(proof.roles) or "-",
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be read: {error.strerror}.") from error
