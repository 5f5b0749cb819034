"""The Unix socket of a running program: where it is, and that only its user can open it.

Normally it is ``socket`` in the data folder. The system limits the length of a socket's path, and
gRPC reads some characters in it as more than themselves. A folder with a long or odd path
therefore holds a plain file ``socket`` instead, with the path of the socket in a private runtime
folder.
"""

import contextlib
import shlex
import shutil
import stat
import tempfile
from pathlib import Path

import grpc

from edoccore.errors import DataFolderError, NodeNotRunningError
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
