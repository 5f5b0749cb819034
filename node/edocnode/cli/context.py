"""What every command shares: the data folder, the console, the running node, who runs it."""

import os
import pwd
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edoccore.errors import EdocError, NodeNotRunningError, RequestInvalidError
from edockit.console import Console

if TYPE_CHECKING:
    from edocnode.domain.codes import CodeLists
    from edocnode.rpc.access_client import AccessClient
    from edocnode.rpc.admin_client import AdminClient
    from edocnode.rpc.alarm_client import AlarmClient
    from edocnode.rpc.office_client import OfficeClient
    from edocnode.rpc.quarantine_client import QuarantineClient
    from edocnode.rpc.subagency_client import SubagencyClient
    from edocnode.settings import NodeSettings
    from edocnode.storage.folder import DataFolder


@dataclass(frozen=True, slots=True)
class CommandContext:
    """The global options of one call.

    Attributes:
        token_file: Of an account; the office's calls then go to the socket for offices.
    """

    data: Path | None
    console: Console
    token_file: Path | None = None

    def folder(self) -> "DataFolder":
        """The data folder that was named.

        Raises:
            RequestInvalidError: None was.
        """
        from edocnode.storage.folder import DataFolder

        if self.data is None:
            raise RequestInvalidError(
                "No data folder was named.", hint="Add --data DIR, or set EDOCNODE_DATA."
            )
        return DataFolder(self.data.absolute())

    def settings(self) -> "NodeSettings":
        """The settings of the node in the data folder.

        Raises:
            DataFolderError: There is no node.
            SettingsError: A setting cannot be used.
        """
        from edocnode.settings import read_settings

        folder = self.folder()
        folder.identity()
        return read_settings(folder.settings_file)

    def code_lists(self) -> "CodeLists":
        """The code lists: of the node in the data folder, or those of the program.

        Raises:
            DataFolderError: There is no node in the folder that was named.
            SettingsError: A setting, or the node's own lists, cannot be used.
        """
        from edocnode.storage.code_lists import builtin_lists, lists_with

        own = "" if self.data is None else self.settings().code_lists
        return lists_with(self.folder().path / own) if own else builtin_lists()

    @contextmanager
    def office(self, *, purpose: str = "") -> Iterator["OfficeClient"]:
        """The office's side of the running node, for a block.

        Args:
            purpose: ``save`` or ``export``, for the access history.

        Raises:
            DataFolderError: There is no node.
            NodeNotRunningError: It is stopped.
            KeyUnusableError: The token file cannot be used.
        """
        from edocnode.cli.offices import office_socket, read_token
        from edocnode.rpc.introducing import Introduction
        from edocnode.rpc.office_client import open_office

        token = "" if self.token_file is None else read_token(self.token_file)
        who = Introduction(actor=operating_system_user(), purpose=purpose, token=token)
        if token:
            with open_office(office_socket(self._office_socket), who) as client:
                yield client
            return
        with self._started(), open_office(self._socket(), who) as client:
            yield client

    @contextmanager
    def access(self) -> Iterator["AccessClient"]:
        """The administrator's side of the running node that is about access, for a block.

        Raises:
            DataFolderError: There is no node.
            NodeNotRunningError: It is stopped.
        """
        from edocnode.rpc.access_client import open_access

        with self._started(), open_access(self._socket()) as client:
            yield client

    @contextmanager
    def quarantine(self) -> Iterator["QuarantineClient"]:
        """The administrator's side of the running node that is about malware, for a block.

        Raises:
            DataFolderError: There is no node.
            NodeNotRunningError: It is stopped.
        """
        from edocnode.rpc.quarantine_client import open_quarantine

        with self._started(), open_quarantine(self._socket()) as client:
            yield client

    @contextmanager
    def admin(self) -> Iterator["AdminClient"]:
        """The operators' side of the running node, for a block.

        Raises:
            DataFolderError: There is no node.
            NodeNotRunningError: It is stopped.
        """
        from edocnode.rpc.admin_client import open_admin
        from edocnode.rpc.introducing import Introduction

        who = Introduction(actor=operating_system_user())
        with self._started(), open_admin(self._socket(), who) as client:
            yield client

    @contextmanager
    def alarms(self) -> Iterator["AlarmClient"]:
        """The administrator's side of the running node that is about alarms, for a block.

        Raises:
            DataFolderError: There is no node.
            NodeNotRunningError: It is stopped.
        """
        from edocnode.rpc.alarm_client import open_alarms

        with self._started(), open_alarms(self._socket()) as client:
            yield client

    @contextmanager
    def subagencies(self) -> Iterator["SubagencyClient"]:
        """The operators' side of the running node that is about sub-agencies, for a block.

        Raises:
            DataFolderError: There is no node.
            NodeNotRunningError: It is stopped.
        """
        from edocnode.rpc.subagency_client import open_subagencies

        with self._started(), open_subagencies(self._socket()) as client:
            yield client

    @contextmanager
    def _started(self) -> Iterator[None]:
        """Tells of a stopped node what starts it; a retired one answers from its folder."""
        try:
            with self._archive():
                yield
        except NodeNotRunningError as error:
            path = self.folder().path
            raise NodeNotRunningError(
                f"The node in {path} is not running.",
                hint=f"Start it: edocnode serve --data {shlex.quote(str(path))}",
                path=str(path),
            ) from error

    @contextmanager
    def _archive(self) -> Iterator[None]:
        """Has a retired node answer what only reads, for a block; of others nothing happens."""
        from edocnode.app.retired import RetiredFile, check_not_retired, retired_error

        folder = self.folder()
        mark = RetiredFile(folder).read() if folder.is_joined() else None
        if mark is None:
            yield
            return
        if not mark.retired_at:
            check_not_retired(folder)
        from edocnode.rpc.rest_gate import READING

        with self._at_rest(READING, retired_error(folder, mark)):
            yield

    @contextmanager
    def stopped(self) -> Iterator["AdminClient"]:
        """The operators' side of a stopped node, for a block: takes directories, and nothing else.

        Raises:
            DataFolderError: There is no node, or its directory is lost.
            FolderInUseError: It is starting, or another command is at work.
            NodeMovedError: It is elsewhere.
        """
        from edocnode.app.moving import check_not_moved
        from edocnode.rpc.admin_client import open_admin
        from edocnode.rpc.introducing import Introduction
        from edocnode.rpc.rest_gate import IMPORTING

        check_not_moved(self.folder())
        who = Introduction(actor=operating_system_user())
        refusal = NodeNotRunningError(f"The node in {self.folder().path} is not running.")
        with self._at_rest(IMPORTING, refusal), open_admin(self._socket(), who) as client:
            yield client

    @contextmanager
    def _at_rest(self, allowed: Collection[str], refusal: EdocError) -> Iterator[None]:
        from edockit.logs import LogFormat, set_up_logs
        from edocnode.app.at_rest import at_rest

        set_up_logs(LogFormat.TEXT, "ERROR")  # of the node that answers; commands tell the rest
        path, settings = self.folder().path, self.settings()
        with at_rest(path, settings, clock=now, allowed=allowed, refusal=refusal):
            yield

    def office_socket(self) -> Path:
        """Where the node answers on this machine, running or not.

        Raises:
            DataFolderError: There is no node.
        """
        return self._socket()

    def _office_socket(self) -> Path | None:
        """The one for offices, as the settings of the data folder have it, if one was named."""
        return None if self.data is None else self.settings().office_socket_path(self.data)

    def _socket(self) -> Path:
        from edockit.unix_socket import find_socket

        folder = self.folder()
        folder.identity()
        return find_socket(folder.path)


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def operating_system_user() -> str:
    """Name of the user who runs the command, for the journal; with ``sudo``, of both."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = f"user {user}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo by {behind})" if behind else name
