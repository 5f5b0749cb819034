"""The Unix sockets of a running program: where they are, and who can open them.

Normally it is ``socket`` in the data folder. The system limits the length of a socket's path, and
gRPC reads some characters in it as more than themselves. A folder with a long or odd path
therefore holds a plain file ``socket`` instead, with the path of the socket in a private runtime
folder.
"""

import contextlib
import grp
import os
import shlex
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import grpc

from edoccore.errors import (
    AddressInUseError,
    DataFolderError,
    NodeNotRunningError,
    SettingsError,
)
from edockit import files

SOCKET_NAME = "socket"
MAX_SOCKET_PATH_BYTES = 90  # sun_path holds 108 on Linux, 104 elsewhere; temporary names included
_ODD_CHARACTERS = frozenset("%?#,;:")  # mean something in an address of gRPC
_RUNTIME_PREFIX = "edoc-run-"


def bind_unix(server: grpc.aio.Server, data_folder: Path) -> Path:
    """Gives a server the socket of a data folder, mode 0600; the folder's lock must be held.

    Returns:
        The path of the socket.

    Raises:
        DataFolderError: The socket cannot be made.
    """
    remove_socket(data_folder)
    path = data_folder.absolute() / SOCKET_NAME
    if not _fits(path):
        folder = tempfile.mkdtemp(prefix=_RUNTIME_PREFIX, dir=_runtime_parent())  # mode 0700
        path = Path(folder) / SOCKET_NAME
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise DataFolderError(
            f"the socket {path} cannot be made",
            hint="check who owns the data folder and that its disk knows sockets",
            path=str(path),
        ) from error
    path.chmod(files.PRIVATE_FILE_MODE)
    if path.parent != data_folder.absolute():
        files.write_file_atomic(data_folder / SOCKET_NAME, str(path).encode())
    return path


def find_socket(data_folder: Path) -> Path:
    """Returns the path of the socket of the program that runs on a data folder.

    Raises:
        NodeNotRunningError: None runs there, or it was killed and left nothing to find.
    """
    path = data_folder.absolute() / SOCKET_NAME
    if _is_socket(path):
        return path
    with contextlib.suppress(OSError, ValueError):
        moved = Path(path.read_text(encoding="utf-8"))
        if _is_socket(moved):
            return moved
    raise NodeNotRunningError(
        f"nothing runs on {data_folder}",
        hint=f"start it with: serve --data {shlex.quote(str(data_folder))}",
        path=str(data_folder),
    )


def remove_socket(data_folder: Path) -> None:
    """Removes what this or a killed process left; repeating it does nothing."""
    path = data_folder.absolute() / SOCKET_NAME
    if not path.is_socket() and path.is_file():
        moved = Path(path.read_text(encoding="utf-8"))
        if moved.parent.name.startswith(_RUNTIME_PREFIX):
            shutil.rmtree(moved.parent, ignore_errors=True)
    path.unlink(missing_ok=True)


def bind_group_socket(server: grpc.aio.Server, path: Path, *, group: str) -> None:
    """Gives a server a socket that a group may open, mode 0660.

    Its folder is made when it is missing, mode 0750, for the same group.

    Args:
        group: Name or number; empty: the group of this process.

    Raises:
        SettingsError: The path or group cannot be used.
        AddressInUseError: Another program listens there.
    """
    if not path.is_absolute() or not _fits(path):
        raise SettingsError(
            f"the path {path} cannot be that of a socket",
            hint=f"name an absolute one of at most {MAX_SOCKET_PATH_BYTES} bytes without "
            f"{' '.join(sorted(_ODD_CHARACTERS))}",
        )
    number = _group_number(group)
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o750)
            os.chown(path.parent, -1, number)
            path.parent.chmod(0o750)
        _remove_unused(path)
        _bind_privately(server, path)
        os.chown(path, -1, number)
        path.chmod(0o660)
    except OSError as error:
        raise SettingsError(
            f"the socket {path} cannot be made for the group {number}: {error.strerror}",
            hint="name a path in a folder of this user, and a group that it belongs to",
            path=str(path),
        ) from error


def remove_group_socket(path: Path) -> None:
    """Removes the socket; the folder stays."""
    path.unlink(missing_ok=True)


def _group_number(group: str) -> int:
    if not group:
        return os.getgid()
    if group.isascii() and group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SettingsError(
            f"there is no group {group!r} on this machine", hint="make it, or name another one"
        ) from None


def _bind_privately(server: grpc.aio.Server, path: Path) -> None:
    """Binds so that nobody else can connect before mode and group are right."""
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise SettingsError(
            f"the socket {path} cannot be made",
            hint="check who owns its folder and that its disk knows sockets",
            path=str(path),
        ) from error
    finally:
        os.umask(before)


def _remove_unused(path: Path) -> None:
    """Removes what a killed process left.

    Raises:
        AddressInUseError: Somebody listens there.
        SettingsError: It is no socket.
    """
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_socket():
        raise SettingsError(f"{path} is there and is no socket", hint="name another path")
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise AddressInUseError(
        f"the socket {path} belongs to another program", hint="stop it or name another path"
    )


def _runtime_parent() -> str:
    """The folder for temporary files, unless TMPDIR names one that is itself too long or odd."""
    chosen = tempfile.gettempdir()
    example = Path(chosen) / f"{_RUNTIME_PREFIX}12345678" / SOCKET_NAME
    return chosen if _fits(example) else "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it


def _fits(path: Path) -> bool:
    text = str(path)
    return not _ODD_CHARACTERS.intersection(text) and len(text.encode()) <= MAX_SOCKET_PATH_BYTES


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
