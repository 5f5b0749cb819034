"""The command that writes the files of a document: save.

Names come from another agency. They were checked when the document arrived and are checked again
here; a file is made new (never through a link, never over another), and its bytes are compared
with the sealed digest while they are written.
"""

import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path, PurePath
from typing import Annotated, Any

import typer

from edoccore.errors import (
    DataFolderError,
    FileExistsHereError,
    PartDigestError,
    RequestInvalidError,
)
from edockit.language import _
from edocnode.cli.context import CommandContext

SAVE_SCHEMA = "edoc.save/v1"
FILE_MODE = 0o666  # less what the umask of the person takes away
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

ReadPart = Callable[[int], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    """One file to be written.

    Attributes:
        size: Bytes of the part as it was sealed, with the digest ``sha256``.
        encrypted: Those are of the encrypted bytes; whoever reads the content checks it.
    """

    index: int
    name: str
    size: int
    sha256: str
    encrypted: bool


def save(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters."),
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder to write to; made when missing.")],
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Writes the files of a document to a folder.

    Prints their paths. When one is there already, nothing is written.
    """
    options: CommandContext = context.obj
    with options.office(purpose="save") as office:
        found = office.document(document)
        shown = found["received"][0] if found["received"] else found["sent"]
        targets = choose_targets(shown["parts"])
        place = replace_file if force else make_file
        encrypted = {target.index for target in targets if target.encrypted}
        paths = write_targets(
            to,
            targets,
            lambda index: office.part(shown["document_id"], index, encrypted=index in encrypted),
            place=place,
        )
    files = [_written(path, target) for path, target in zip(paths, targets, strict=True)]
    options.console.data(
        {"schema": SAVE_SCHEMA, "document_id": shown["document_id"], "files": files},
        "\n".join(str(path) for path in paths) or _("The document has no files."),
    )


def _written(path: Path, target: Target) -> dict[str, Any]:
    found = {"path": str(path), "name": target.name}
    if not target.encrypted:
        return {**found, "size_bytes": target.size, "sha256": target.sha256}
    with path.open("rb") as file:
        return {
            **found,
            "size_bytes": path.stat().st_size,
            "sha256": file_digest(file, "sha256").hexdigest(),
        }


def choose_targets(parts: Iterable[dict[str, Any]]) -> list[Target]:
    """Chooses the file names of parts: their own, checked again; a second one gets `` (2)``.

    Raises:
        PartNameError: A name is unsafe.
    """
    from edoccore.signing.part_names import check_part_names

    targets: list[Target] = []
    taken: set[str] = set()
    for part in parts:
        check_part_names([part["name"]])
        name = _free_name(part["name"], taken)
        taken.add(name.casefold())
        targets.append(
            Target(part["index"], name, part["size_bytes"], part["sha256"], part["encrypted"])
        )
    return targets


def write_targets(
    folder: Path,
    targets: Iterable[Target],
    read: ReadPart,
    *,
    place: Callable[[int, str, "Callable[[int], None]"], None],
) -> list[Path]:
    """Writes files into a folder, all or, when one is in the way, none.

    Args:
        place: ``make_file`` or ``replace_file``.

    Raises:
        FileExistsHereError: A file of that name is there, and is not to be replaced.
        DataFolderError: The folder cannot be written to.
        PartDigestError: The bytes are not those that were sealed; the file is not kept.
    """
    wanted = list(targets)
    descriptor = _open_folder(folder)
    try:
        if place is make_file:
            for target in wanted:
                _check_free(descriptor, folder, target.name)
        for target in wanted:
            place(descriptor, target.name, partial(_copy, target, read))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return [folder / target.name for target in wanted]


def make_file(folder: int, name: str, fill: Callable[[int], None]) -> None:
    """Makes a file that is not there yet and fills it; removes it again when that fails.

    Args:
        folder: Open folder.

    Raises:
        FileExistsHereError: Something of that name is there, be it a link.
    """
    try:
        file = os.open(name, _NEW, FILE_MODE, dir_fd=folder)
    except FileExistsError as error:
        raise _exists(name) from error
    try:
        fill(file)
        os.fsync(file)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(file)


def replace_file(folder: int, name: str, fill: Callable[[int], None]) -> None:
    """Puts a file in the place of whatever has its name; a link is replaced, not followed."""
    beside = f".{secrets.token_hex(8)}.edocnode"
    make_file(folder, beside, fill)
    try:
        os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        os.unlink(beside, dir_fd=folder)
        raise FileExistsHereError(
            f"{name} cannot be replaced: {error.strerror}.", hint="Choose another folder."
        ) from error


def write_new(path: Path, chunks: Iterable[bytes], mode: int = 0o666) -> tuple[int, str]:
    """Writes a file that must not be there yet; returns its size and digest.

    Args:
        mode: Who may read it, less what the umask of the person takes away.
    """
    from edockit.files import write_all

    try:
        file = os.open(path, _NEW, mode)
    except FileExistsError as error:
        raise FileExistsHereError(
            f"{path} is already there and is not overwritten.",
            hint="Choose another name for --out.",
            path=str(path),
        ) from error
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be written: {error.strerror}.") from error
    digest, size = sha256(), 0
    try:
        for chunk in chunks:
            write_all(file, chunk)
            digest.update(chunk)
            size += len(chunk)
        os.fsync(file)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(file)
    return size, digest.hexdigest()


def _open_folder(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DataFolderError(
            f"The folder {folder} cannot be used: {error.strerror}.",
            hint="Choose a folder that you may write to.",
            path=str(folder),
        ) from error


def _check_free(folder: int, path: Path, name: str) -> None:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return
    raise _exists(str(path / name))


def _exists(name: str) -> FileExistsHereError:
    return FileExistsHereError(
        f"{name} is already there and is not overwritten.",
        hint="Choose another folder, or add --force to replace it.",
        path=name,
    )


def _copy(target: Target, read: ReadPart, file: int) -> None:
    from edockit.files import write_all

    digest = sha256()
    for chunk in read(target.index):
        digest.update(chunk)
        write_all(file, chunk)
    if not target.encrypted and digest.hexdigest() != target.sha256:
        raise PartDigestError(
            f"The bytes of {target.name} are not those that were sealed.",
            hint="Nothing was kept of it; run it again, then tell the operator.",
            name=target.name,
        )


def _free_name(name: str, taken: set[str]) -> str:
    """The name itself, or with `` (2)``, `` (3)`` ... before its ending."""
    path = PurePath(name)
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{path.stem} ({number}){path.suffix}"
    return candidate
