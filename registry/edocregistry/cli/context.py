"""What every command shares: the data folder, the console, who runs it."""

import os
import pwd
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edoccore.errors import RequestInvalidError
from edockit.console import Console

if TYPE_CHECKING:
    from edocregistry.app.registry import Registry
    from edocregistry.storage.folder import DataFolder


@dataclass(frozen=True, slots=True)
class CommandContext:
    """The global options of one call."""

    data: Path | None
    console: Console

    def folder(self) -> "DataFolder":
        """The data folder that was named.

        Raises:
            RequestInvalidError: None was.
        """
        from edocregistry.storage.folder import DataFolder

        if self.data is None:
            raise RequestInvalidError(
                "No data folder was named.", hint="Add --data DIR, or set EDOCREGISTRY_DATA."
            )
        return DataFolder(self.data.absolute())

    def registry(self) -> "Registry":
        """The registry in the data folder.

        Raises:
            DataFolderError, SettingsError: There is none that can be worked with.
        """
        from edocregistry.app.registry import Registry
        from edocregistry.settings import read_settings

        folder = self.folder()
        folder.check()
        return Registry(folder, read_settings(folder.settings), now)


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def moment_of(text: str) -> datetime:
    """Reads a moment with its zone, as an option gives it.

    Raises:
        RequestInvalidError: It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RequestInvalidError(
            f"{text!r} is no time with a zone.", hint="Write 2026-11-23T10:00:00+07:00."
        )
    return moment.astimezone(UTC)


def operating_system_user() -> str:
    """Name of the user who runs the command, for the audit; with ``sudo``, of both."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = f"user {user}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo by {behind})" if behind else name


def require_yes(*, given: bool, what: str) -> None:
    """Lets a command that cannot be undone pass only with --yes.

    Raises:
        RequestInvalidError: It was not given.
    """
    if not given:
        raise RequestInvalidError(f"{what} cannot be undone.", hint="Add --yes to do it.")
