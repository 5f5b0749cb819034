"""The command that carries out a whole reform in one version: agency reorganise."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from edoccore.errors import RequestInvalidError
from edoccore.signing.readers import converted
from edockit.language import marked
from edocregistry.cli.agencies import At, Yes, tell_ends
from edocregistry.cli.context import (
    CommandContext,
    moment_of,
    operating_system_user,
    require_yes,
)

if TYPE_CHECKING:
    from edocregistry.domain.succession import Merger


class _Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One merger, as the file has it."""

    codes: tuple[str, ...]
    into: str
    name: str | None = None


class _Reform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    merge: tuple[_Merge, ...]


def reorganise(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="TOML file of mergers; see the README.",
        ),
    ],
    at: At = None,
    yes: Yes = False,
) -> None:
    """Carries out many mergers at once, in one version of the directory, or none of them."""
    from edocregistry.app import succession

    mergers = _read(file)
    require_yes(given=yes, what=marked(f"{len(mergers)} mergers"))
    options: CommandContext = context.obj
    ending = succession.reorganise(
        options.registry(),
        operating_system_user(),
        mergers,
        None if at is None else moment_of(at),
    )
    tell_ends(options, ending)


def _read(file: Path) -> "list[Merger]":
    from edocregistry.domain.succession import Merger

    try:
        found = converted(tomllib.loads(file.read_text(encoding="utf-8")), _Reform)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise RequestInvalidError(
            f"{file} cannot be read: {error}.",
            hint="Write for each: [[merge]] with codes, into, and a name if it is new; see the "
            "README.",
        ) from error
    return [Merger(codes=item.codes, into=item.into, name=item.name) for item in found.merge]
