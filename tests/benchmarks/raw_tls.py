"""The floor for large files: one TLS 1.3 socket whose other end hashes, writes and fsyncs.

The receiving end is a process of its own. The time ends when it has answered with the digest.
"""

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.big_file import MIB, pieces
from tests.benchmarks.observing import cpu_seconds
from tests.benchmarks.pair import FOLDER_VARIABLE
from tests.support.pki import Leaf, tls_leaf

SERVER, CLIENT = "H29", "G01"
DIGEST_BYTES = 32
WITHIN_S = 1800


def send(size_mib: int) -> tuple[float, float]:
    """Sends so many MiB.

    Returns:
        Seconds until they are kept and answered, and processor seconds of both ends.
    """
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER_VARIABLE)) as folder:
        server, client = _written(tls_leaf(SERVER), folder), _written(tls_leaf(CLIENT), folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.raw_tls", folder, server, client],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            before, own = cpu_seconds(process.pid), time.process_time()
            seconds = _send(port, client, server, size_mib)
            own = time.process_time() - own
            return seconds, own + cpu_seconds(process.pid) - before
        finally:
            process.kill()
            process.communicate()


def _send(port: int, own: str, other: str, size_mib: int) -> float:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, own, other)
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as bare,
        context.wrap_socket(bare) as connection,
    ):
        connection.sendall((size_mib * MIB).to_bytes(8, "big"))
        began = time.perf_counter()
        for piece in pieces(size_mib):
            connection.sendall(piece)
        _exactly(connection, DIGEST_BYTES)
        return time.perf_counter() - began


def _receive(folder: str, own: str, other: str) -> None:
    context = _context(ssl.PROTOCOL_TLS_SERVER, own, other)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        bare, _ = listener.accept()
    with bare, context.wrap_socket(bare, server_side=True) as connection:
        left = int.from_bytes(_exactly(connection, 8), "big")
        buffer, digest = memoryview(bytearray(MIB)), hashlib.sha256()
        with (Path(folder) / "received").open("wb", buffering=0) as file:
            while left:
                size = connection.recv_into(buffer, min(left, MIB))
                assert size, "the connection ended too soon"
                digest.update(buffer[:size])
                file.write(buffer[:size])
                left -= size
            os.fsync(file.fileno())
        connection.sendall(digest.digest())
    sys.stdin.read()  # until the other end has looked at the processor time


def _context(purpose: int, own: str, other: str) -> ssl.SSLContext:
    context = ssl.SSLContext(purpose)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(own)
    context.load_verify_locations(other)
    return context


def _exactly(connection: ssl.SSLSocket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        assert piece, "the connection ended too soon"
        found += piece
    return found


def _written(leaf: Leaf, folder: str) -> str:
    path = Path(folder) / f"{time.monotonic_ns()}.pem"
    path.write_bytes(leaf.key_pem + leaf.certificate_pem)
    return str(path)


if __name__ == "__main__":
    _receive(*sys.argv[1:])
