"""Commands about the keys that files for this node are encrypted to: keys encryption."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import UNSET

from edoccore.errors import RequestInvalidError
from edoccore.signing.statements import parse_time
from edockit.console import new_app
from edockit.language import _
from edocnode.cli.context import CommandContext, now
from edocnode.cli.key_files import folder_of
from edocnode.cli.wording import clock

if TYPE_CHECKING:
    from edocnode.storage.encryption_keys import KeyRow, SoftwareEncryptionKeys

ENCRYPTION_SCHEMA = "edoc.encryption-keys/v1"


def build_app() -> typer.Typer:
    """Puts the commands about encryption keys together."""
    app = new_app("Keys that others encrypt files to for this node; it publishes one of them.")
    app.command()(new)
    app.command("list")(list_keys)
    app.command()(retire)
    app.command("give-up")(give_up)
    return app


def new(context: typer.Context) -> None:
    """Makes an encryption key; the node publishes it within a minute, running or at its next start.

    The key before it stays, to read what was encrypted to it.
    """
    options: CommandContext = context.obj
    keys = _keys(options)
    row = keys.make(now())
    options.console.data(
        {"schema": ENCRYPTION_SCHEMA, "keys": [_row(keys, row)]},
        _("new encryption key {key}", key=row.sha256[:16]),
    )
    options.console.say(
        _(
            "Back up the folder {folder} now: who loses it can never again read what was encrypted "
            "to this key, and nobody else can help.",
            folder=keys.files(row)[0].parent,
        )
    )


def list_keys(context: typer.Context) -> None:
    """Lists the encryption keys, oldest first; one at the most is published."""
    options: CommandContext = context.obj
    keys = _keys(options)
    rows = [_row(keys, row) for row in keys.rows()]
    text = "\n".join(_line(row) for row in rows)
    options.console.data(
        {"schema": ENCRYPTION_SCHEMA, "keys": rows},
        text or _("None; make one: edocnode keys encryption new"),
    )


def retire(context: typer.Context) -> None:
    """Publishes no encryption key any more: nothing can be sent encrypted to this node.

    What was encrypted before can still be read.
    """
    options: CommandContext = context.obj
    keys = _keys(options)
    row = keys.retire(now())
    options.console.data(
        {"schema": ENCRYPTION_SCHEMA, "keys": [_row(keys, row)]},
        _(
            "retired the encryption key {key}; others learn of it within minutes",
            key=row.sha256[:16],
        ),
    )


def give_up(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The beginning of its digest.")],
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: there is no backup of it anywhere.")
    ] = False,
) -> None:
    """Notes that an encryption key is lost for good, which ends its alarm.

    What was encrypted to it stays unreadable. Files that are put back later are used all the same.
    """
    if not yes:
        raise RequestInvalidError(
            "What was encrypted to a lost key can be read only when it is restored from a backup.",
            hint="Look for one first; when there is none, add --yes.",
        )
    options: CommandContext = context.obj
    keys = _keys(options)
    row = keys.give_up(key, now())
    options.console.data(
        {"schema": ENCRYPTION_SCHEMA, "keys": [_row(keys, row)]},
        _("gave up the encryption key {key}", key=row.sha256[:16]),
    )


def _keys(options: CommandContext) -> "SoftwareEncryptionKeys":
    from edocnode.storage.encryption_keys import SoftwareEncryptionKeys

    folder = folder_of(options)
    return SoftwareEncryptionKeys(folder, folder.identity().agency)


def _row(keys: "SoftwareEncryptionKeys", row: "KeyRow") -> dict[str, Any]:
    return {
        "sha256": row.sha256,
        "created_at": row.created,
        "retired_at": None if row.retired is UNSET else row.retired,
        "given_up_at": None if row.given_up is UNSET else row.given_up,
        "files": [{"path": str(file), "is_here": file.exists()} for file in keys.files(row)],
    }


def _line(row: dict[str, Any]) -> str:
    made = _clock(row["created_at"])
    if row["given_up_at"]:
        at = _clock(row["given_up_at"])
        state = _("given up {at}: nothing encrypted to it can be read", at=at)
    elif not all(file["is_here"] for file in row["files"]):
        state = _("its files are missing: nothing encrypted to it can be read")
    elif row["retired_at"]:
        state = _("retired {at}, reads older documents", at=_clock(row["retired_at"]))
    else:
        state = _("published")
    return _("{key}: made {made}, {state}", key=row["sha256"][:16], made=made, state=state)


def _clock(text: str) -> str:
    return clock(parse_time(text).isoformat())
