"""Offices that hand in documents without end, while their nodes are killed under them.

An office is strict: it keeps what it hands in until the node has acknowledged it, and repeats a
request that broke off under the same request id, as every document-management system must.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import grpc

from edockit.grpc_client import unix_channel_sync
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from tests.support.network import Node

CHUNK_BYTES = 960 * 1024
SUBMIT_TIMEOUT_S = 60
PAGE = 1000
SMALL_BYTES = (200, 8_000)
LARGE_BYTES = (1 << 20, 5 << 20)
LARGE_SHARE = 0.02
PATIENCE_S = 60
RETRY_S = 0.05
# Not acknowledged, not refused either: the node died, or its database did.
UNANSWERED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A document that a node acknowledged."""

    document_id: str
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A document as a list of the node shows it: who has it, in which state, which content."""

    document_id: str
    states: tuple[tuple[str, int], ...]
    digests: tuple[str, ...]


class Office:
    """A document-management system at a node's socket."""

    def __init__(self, socket: Path) -> None:
        """Connects when used."""
        self._channel = unix_channel_sync(socket)
        self._stub = services.OfficeServiceStub(self._channel)

    def submit(
        self,
        *contents: bytes,
        to: Sequence[str],
        request_id: str,
        subject: str = "Thử tải",
        urgency: int = messages.URGENCY_UNSPECIFIED,
    ) -> Acknowledged:
        """Hands in a document.

        Raises:
            grpc.RpcError: It was not acknowledged; it may have been kept.
        """
        fields = f'{{"subject":"{subject}"}}'.encode()
        header = messages.SubmitHeader(
            request_id=request_id,
            recipients=to,
            urgency=urgency,
            record_size=len(fields),
            parts=[
                messages.PartDeclaration(name=f"Văn bản {number}.bin", size=len(content))
                for number, content in enumerate(contents, 1)
            ],
        )
        stream = b"".join([fields, *contents])
        requests = [messages.SubmitRequest(header=header)]
        requests += [
            messages.SubmitRequest(chunk=stream[start : start + CHUNK_BYTES])
            for start in range(0, len(stream), CHUNK_BYTES)
        ]
        answer = self._stub.Submit(iter(requests), timeout=SUBMIT_TIMEOUT_S)
        digests = tuple(sha256(content).hexdigest() for content in contents)
        return Acknowledged(str(UUID(bytes=answer.document_id)), digests)

    def inbox(self) -> Iterator[Listed]:
        """All received documents."""
        after = ""
        while True:
            page = self._stub.ListInbox(messages.ListInboxRequest(limit=PAGE, after=after))
            for item in page.documents:
                yield _listed(item.document, [(item.recipient, item.state)])
            if not (after := page.next):
                return

    def outbox(self, state: int = messages.DELIVERY_STATE_UNSPECIFIED) -> Iterator[Listed]:
        """All documents handed in."""
        after = ""
        while True:
            request = messages.ListOutboxRequest(limit=PAGE, after=after, state=state)
            page = self._stub.ListOutbox(request)
            for item in page.documents:
                yield _listed(
                    item.document, [(one.recipient, one.state) for one in item.deliveries]
                )
            if not (after := page.next):
                return

    def is_idle(self) -> bool:
        """Whether nothing waits for a recipient."""
        waiting = (messages.DELIVERY_STATE_QUEUED, messages.DELIVERY_STATE_SENDING)
        return not any(next(self.outbox(state), None) for state in waiting)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()


@contextlib.contextmanager
def office_of(node: Node) -> Iterator[Office]:
    """An office at a node that runs."""
    office = Office(node.socket)
    try:
        yield office
    finally:
        office.close()


@dataclass
class Load:
    """Threads that hand in documents at one node, for another, until they are stopped."""

    node: Node
    to: str
    threads: int = 2
    seed: int = 0
    pause_s: float = 0.0
    patient_with: frozenset[grpc.StatusCode] = UNANSWERED
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Starts handing in."""
        for number in range(self.threads):
            chance = random.Random(self.seed * 100 + number)
            thread = threading.Thread(target=self._run, args=(chance,), daemon=True)
            thread.start()
            self._running.append(thread)

    def stop(self) -> None:
        """Stops when what was begun has been acknowledged; the node must run."""
        self._stop.set()
        for thread in self._running:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a document was never acknowledged"
        assert not self.refused, self.refused

    def _run(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            large = chance.random() < LARGE_SHARE
            content = chance.randbytes(chance.randint(*(LARGE_BYTES if large else SMALL_BYTES)))
            try:
                self.acknowledged.append(self._until_acknowledged(content))
            except grpc.RpcError as error:
                self.refused.append(str(error))
                return
            time.sleep(self.pause_s)

    def _until_acknowledged(self, content: bytes) -> Acknowledged:
        request_id = str(uuid4())
        deadline = time.monotonic() + PATIENCE_S
        while True:
            office = Office(self.node.socket)
            try:
                return office.submit(content, to=[self.to], request_id=request_id)
            except grpc.RpcError as error:
                if error.code() not in self.patient_with or time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)
            finally:
                office.close()


def _listed(document: messages.Document, states: Sequence[tuple[str, int]]) -> Listed:
    return Listed(
        str(UUID(bytes=document.document_id)),
        tuple(states),
        tuple(part.sha256.hex() for part in document.parts if part.index > 0),
    )
