"""How a command calls as an office: its token, and the socket for offices."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from edoccore.errors import KeyUnusableError, NodeNotRunningError

MAX_TOKEN_FILE_BYTES = 4096


def read_token(path: Path) -> str:
    """Reads the token of an account; the file is not for others.

    Raises:
        KeyUnusableError: It cannot be read, others may read it, or it holds no token.
    """
    try:
        with path.open("rb") as file:
            is_open = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o007
            token = file.read(MAX_TOKEN_FILE_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise KeyUnusableError(
            f"The token file {path} cannot be read: {error.strerror}.",
            hint="Name another with --token-file or EDOCNODE_TOKEN_FILE.",
            path=str(path),
        ) from error
    if is_open:
        raise KeyUnusableError(
            f"Others may read the token file {path}.", hint=f"chmod 600 {path}", path=str(path)
        )
    if not token or not token.isascii() or not token.isprintable():
        raise KeyUnusableError(
            f"The file {path} holds no token.",
            hint="Put there what `edocnode access add` or `access renew` printed.",
            path=str(path),
        )
    return token


def office_socket(set_here: Callable[[], Path | None]) -> Path:
    """The socket for offices: named by the environment, or by the settings of a data folder.

    Args:
        set_here: Reads those settings.

    Raises:
        NodeNotRunningError: None is named, or nothing is there.
    """
    from edocnode.settings import OFFICE_SOCKET_VARIABLE

    named = os.environ.get(OFFICE_SOCKET_VARIABLE, "")
    path = Path(named) if named.startswith("/") else None
    path = path or set_here()
    if path is None:
        raise NodeNotRunningError(
            "No socket for offices was named.",
            hint="Set EDOCNODE_OFFICE_SOCKET to its path; the node's setting office_socket has it.",
        )
    if not path.is_socket():
        raise NodeNotRunningError(
            f"No node offers the socket {path} to offices.",
            hint="Ask the node's administrator whether it runs and has the setting office_socket.",
            path=str(path),
        )
    return path
