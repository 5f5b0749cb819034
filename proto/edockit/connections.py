"""Connections of this process: how many it may have, and ending one from outside its server.

gRPC offers neither: its server never ends the connection of a caller that it refuses, and accepts
more than there are file descriptors for, after which no file can be opened either.
"""

import contextlib
import os
import resource
import socket
import stat
from urllib.parse import unquote

OWN_DESCRIPTORS = 256  # for the database, parts, calls to others and the office
MOST_DESCRIPTORS = 65_536
LEAST_CONNECTIONS = 16


def connections_allowed(most: int) -> int:
    """Takes as many file descriptors as the system lets it, and says how many may be connections.

    Args:
        most: More are never allowed.

    Returns:
        At least 16.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    room = most if soft == resource.RLIM_INFINITY else max(soft - OWN_DESCRIPTORS, soft // 2)
    return max(min(most, room), LEAST_CONNECTIONS)


def cut_connection(peer: str) -> bool:
    """Ends the TCP connection of a caller at once, with every call on it.

    Args:
        peer: As gRPC names it: ``ipv4:127.0.0.1:41234``, ``ipv6:%5B::1%5D:41234``.

    Returns:
        False when there is none, or no more.
    """
    kind, _, address = unquote(peer).partition(":")
    host, _, port = address.rpartition(":")
    if kind not in {"ipv4", "ipv6"} or not port.isdigit():
        return False
    wanted = (host.strip("[]"), int(port))
    return any(_cut(int(name), wanted) for name in os.listdir("/dev/fd"))


def _cut(descriptor: int, wanted: tuple[str, int]) -> bool:
    """Ends a connection if it is the wanted one.

    Asked and ended through a copy of the descriptor: the original may be closed, and its number
    stand for something else, at any moment.
    """
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            if connection.family in {socket.AF_INET, socket.AF_INET6}:
                found, port = connection.getpeername()[:2]
                if (found.removeprefix("::ffff:"), port) == wanted:
                    connection.shutdown(socket.SHUT_RDWR)
                    return True
    return False
