"""Connections of a process: how many it may have, and cutting one."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edockit.connections import LEAST_CONNECTIONS, cut_connection


@contextmanager
def connected(host: str, family: socket.AddressFamily) -> Iterator[tuple[socket.socket, str]]:
    """A connection whose accepted end lies in this process; yields the other, and its name."""
    with socket.create_server((host, 0), family=family) as listener:
        caller = socket.create_connection(listener.getsockname()[:2])
        accepted, _ = listener.accept()
        with caller, accepted:
            caller.settimeout(5)
            port = caller.getsockname()[1]
            yield (
                caller,
                f"ipv4:{host}:{port}"
                if family == socket.AF_INET
                else (f"ipv6:%5B{host}%5D:{port}"),
            )


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_the_named_connection_ends_at_once_and_no_other(
    host: str, family: socket.AddressFamily
) -> None:
    with connected(host, family) as (caller, name), connected(host, family) as (other, _):
        assert cut_connection(name)
        assert caller.recv(1) == b""
        other.settimeout(0.05)
        with pytest.raises(TimeoutError):
            other.recv(1)


def test_a_caller_over_ipv4_is_found_on_a_listener_for_both() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        caller = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
        accepted, _ = listener.accept()
        with caller, accepted:
            caller.settimeout(5)
            assert cut_connection(f"ipv4:127.0.0.1:{caller.getsockname()[1]}")
            assert caller.recv(1) == b""


@pytest.mark.parametrize("name", ["ipv4:127.0.0.1:1", "unix:", "ipv4:127.0.0.1", "", "ipv4::x"])
def test_a_caller_that_is_not_there_is_no_error(name: str) -> None:
    assert not cut_connection(name)


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [(64, 1024, 768), (300, 300, 150), (20, 20, LEAST_CONNECTIONS), (1024, 8192, 4096)],
)
def test_connections_leave_descriptors_for_everything_else(
    soft: int, hard: int, allowed: int
) -> None:
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from edockit.connections import connections_allowed\n"
        "print(connections_allowed(4096), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(allowed), str(hard)]
