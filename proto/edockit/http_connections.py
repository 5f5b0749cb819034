"""What calls over HTTP share: an end to every wait."""

import contextlib
import socket


def break_off(waiting: socket.socket) -> None:
    """Ends a connection that another thread may be waiting on."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(waiting, socket.SHUT_RDWR)
