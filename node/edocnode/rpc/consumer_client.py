"""What arrives at a running node, for a program on the same machine that takes all of it.

A consumer has a name and a place in the inbox that the node remembers; events have positions that
the program remembers. Synchronous, like ``office_client``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from edoccore.errors import NodeNotRunningError
from edoccore.signing.statements import uuid_text
from edoccore.wire.status import raise_for
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from edocnode.rpc.client_values import CALL_TIMEOUT_S, node_errors

_TELLING = frozenset(
    {
        messages.EVENT_KIND_DELIVERY_CHANGED,
        messages.EVENT_KIND_STATUS_RECEIVED,
        messages.EVENT_KIND_DOCUMENT_DECIDED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A received document that a consumer has not acknowledged."""

    position: int
    document_id: str
    message_id: str
    recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something new about a delivery of a document.

    Attributes:
        message_id: Empty: nothing that a consumer of statuses needs to know.
    """

    position: int
    document_id: str
    message_id: str


class Consumer:
    """One consumer of one node."""

    def __init__(self, channel: grpc.Channel, name: str) -> None:
        """Takes an open channel.

        Args:
            name: 1 to 64 of a-z, 0-9, dot, hyphen.
        """
        self._stub = services.OfficeServiceStub(channel)
        self._name = name

    def waiting(self, limit: int) -> list[Waiting]:
        """The oldest documents that were not acknowledged.

        Raises:
            EdocError: As the node says.
        """
        request = messages.FetchInboxRequest(consumer=self._name, limit=limit)
        with node_errors():
            answer = self._stub.FetchInbox(request, timeout=CALL_TIMEOUT_S)
        return [
            Waiting(
                position=item.position,
                document_id=uuid_text(item.document.document_id),
                message_id=uuid_text(item.message_id),
                recipient=item.recipient,
            )
            for item in answer.documents
        ]

    def acknowledge(self, position: int) -> None:
        """Says that all documents up to a position were taken; repeating changes nothing.

        Raises:
            EdocError: As the node says.
        """
        request = messages.AcknowledgeInboxRequest(consumer=self._name, position=position)
        with node_errors():
            self._stub.AcknowledgeInbox(request, timeout=CALL_TIMEOUT_S)

    def events(self, after: int, timeout_s: float) -> Iterator[list[Told]]:
        """What happens to deliveries after a position, until the time is over.

        Yields:
            Some at a time; the position of the last one is the place to go on from.

        Raises:
            EdocError: As the node says.
        """
        try:
            for answer in self._stub.Watch(messages.WatchRequest(after=after), timeout=timeout_s):
                yield [
                    Told(
                        position=event.position,
                        document_id=uuid_text(event.document_id),
                        message_id=uuid_text(event.message_id) if event.kind in _TELLING else "",
                    )
                    for event in answer.events
                ]
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise raise_for(error, unreachable=NodeNotRunningError) from error
