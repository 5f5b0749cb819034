"""The command that takes the content of encrypted files out of evidence: evidence open."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edocnode.cli.context import CommandContext
from edocnode.cli.saving import choose_targets, make_file, write_new, write_targets

if TYPE_CHECKING:
    from edocnode.evidence.opening import EncryptedPart, KeyBook

OPEN_SCHEMA = "edoc.evidence-open/v1"


def open_evidence(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The evidence.")
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder to write to; made when missing.")],
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            exists=True,
            dir_okay=False,
            help="Content keys that somebody gave you; default: the keys of this node.",
        ),
    ] = None,
    keys_out: Annotated[
        Path | None,
        typer.Option(
            "--keys-out",
            help="Write the content keys of these files too: who has them and the evidence reads "
            "these files and no others.",
        ),
    ] = None,
) -> None:
    """Writes the content of the encrypted files in an evidence file to a folder.

    Each is compared with what was sealed. Whether the seals hold says `edocnode evidence verify`.
    """
    from edocnode.evidence.container import open_container
    from edocnode.evidence.opening import encrypted_parts, write_keys

    options: CommandContext = context.obj
    book = _book(options, keys)
    with open_container(file) as container:
        parts = {each.part.index: each for each in encrypted_parts(container)}
        if not parts:
            raise RequestInvalidError(
                "No file in this evidence is encrypted.",
                hint="They lie in it as they are: unzip it, and see the folder parts.",
            )
        paths = write_targets(
            to,
            choose_targets(map(_shown, parts.values())),
            lambda index: parts[index].content(container, book),
            place=make_file,
        )
    if keys_out is not None:
        write_new(keys_out, [write_keys(book.used)], mode=0o600)
    data = {"schema": OPEN_SCHEMA, "files": [str(path) for path in paths]}
    options.console.data(data, "\n".join(str(path) for path in paths))


def _book(options: CommandContext, keys: Path | None) -> "KeyBook":
    """Content keys: those of a file, or whatever this node's keys unwrap."""
    from edocnode.cli.key_files import folder_of
    from edocnode.evidence.opening import MAX_KEYS_BYTES, KeyBook, given_key, read_keys
    from edocnode.storage.encryption_keys import SoftwareEncryptionKeys

    if keys is not None:
        with keys.open("rb") as file:
            given = read_keys(file.read(MAX_KEYS_BYTES))
        return KeyBook(lambda part, header: given_key(given, part, header))
    folder = folder_of(options)
    own = SoftwareEncryptionKeys(folder, folder.identity().agency)
    return KeyBook(lambda _part, header: own.content_key(header))


def _shown(each: "EncryptedPart") -> dict[str, Any]:
    part = each.part
    return {
        "index": part.index,
        "name": part.name,
        "size_bytes": part.size,
        "sha256": part.sha256,
        "encrypted": True,
    }
