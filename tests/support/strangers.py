"""Somebody without a certificate who speaks HTTP/2 by hand: opens calls, says little, and late."""

import contextlib
import select
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions

DIRECTORY = "/edocnet.directory.v1.DirectoryService"
LOOK_EVERY_S = 0.02
WITNESS = "/edocnet.directory.v1.WitnessService"


class Stranger:
    """One connection to a server, opened from an address of this machine; answers its pings."""

    def __init__(self, address: str, *, comes_from: str = "127.0.0.1") -> None:
        """Connects; whoever answers is believed.

        Args:
            address: host:port.
            comes_from: Where the connection begins; Linux has all of 127.0.0.0/8.
        """
        host, _, port = address.rpartition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((host, int(port)), 20, source_address=(comes_from, 0))
        self._socket = context.wrap_socket(plain)
        self._socket.setblocking(False)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()
        self._lock = threading.Lock()  # of what follows and of writing
        self._ends: dict[int, str] = {}
        self._send()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        """Is there already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Goes away without a word."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reading.join()
        self._socket.close()

    def opens(self, path: str) -> int:
        """Begins a call and says nothing more."""
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path),
            (":authority", "registry"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        with self._lock:
            stream = self._http.get_next_available_stream_id()
            self._http.send_headers(stream, headers)
            self._send()
        return stream

    def says(self, stream: int, message: bytes, *, less: int = 0, ends: bool = False) -> None:
        """Sends a message of a call.

        Args:
            less: How many of its last bytes are left out.
            ends: Nothing follows.
        """
        framed = b"\0" + len(message).to_bytes(4, "big") + message
        with self._lock, contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            self._http.send_data(stream, framed[: len(framed) - less], end_stream=ends)
            self._send()

    def end_of(self, stream: int, within_s: float) -> str:
        """The status with which the server ended a call: a number, "reset" or "closed".

        Raises:
            AssertionError: It has not within the time.
        """
        deadline = time.monotonic() + within_s
        while stream not in self._ends:
            if not self._reading.is_alive():
                return "closed"
            assert time.monotonic() < deadline, f"the call is still open after {within_s} s"
            time.sleep(LOOK_EVERY_S)
        return self._ends[stream]

    def has_ended(self, stream: int) -> bool:
        """Whether the server has ended a call."""
        return stream in self._ends or not self._reading.is_alive()

    def _read(self) -> None:
        """Reads in turns with whoever writes: two threads at once would break the connection."""
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            while self._read_some():
                select.select([self._socket], [], [], LOOK_EVERY_S)

    def _read_some(self) -> bool:
        with self._lock:
            try:
                data = self._socket.recv(65_536)
            except ssl.SSLWantReadError:
                return True
            for event in self._http.receive_data(data):
                self._note(event)
            self._send()
        return bool(data)

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.StreamReset):
            self._ends.setdefault(event.stream_id, "reset")
        if isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
            found = dict(event.headers).get("grpc-status")
            if found is not None:
                self._ends.setdefault(event.stream_id, str(found))

    def _send(self) -> None:
        data = memoryview(self._http.data_to_send())
        while data:
            try:
                data = data[self._socket.send(data) :]
            except ssl.SSLWantWriteError:
                select.select([], [self._socket], [], LOOK_EVERY_S)
