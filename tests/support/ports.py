"""Ports for programs of tests."""

import contextlib
import secrets
import socket

_PORTS = range(10_000, 30_000)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, of those that the system gives to no connection."""
    while True:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
