"""Calls a running node about the sub-agencies of its agency, over its socket.

Synchronous; answers are plain values as ``--json`` prints them.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from edoccore.errors import NodeNotRunningError
from edoccore.wire.status import raise_for
from edockit.console import local_time
from edockit.grpc_client import unix_channel_sync
from edocnet.admin.v1 import subagency_service_pb2 as messages
from edocnet.admin.v1 import subagency_service_pb2_grpc as services
from edocnode.domain.subagencies import Order, OrderKind
from edocnode.rpc.office_messages import moment_from

LIST_SCHEMA = "edoc.subagencies-list/v1"
CHANGE_SCHEMA = "edoc.subagencies-change/v1"
CALL_TIMEOUT_S = 30.0
REGISTRY_TIMEOUT_S = 90.0  # the registry publishes before it answers

Json = dict[str, Any]  # as json.dumps takes it

_ACTIONS = {
    OrderKind.ADD: messages.SUBAGENCY_ACTION_ADD,
    OrderKind.RENAME: messages.SUBAGENCY_ACTION_RENAME,
    OrderKind.CLOSE: messages.SUBAGENCY_ACTION_CLOSE,
}
_STATES = {
    messages.SUBAGENCY_STATE_OPEN: "open",
    messages.SUBAGENCY_STATE_CLOSED: "closed",
    messages.SUBAGENCY_STATE_WAITING: "waiting",
}


class SubagencyClient:
    """Calls of one node's administrator. Each raises what the node says, an ``EdocError``."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Takes an open channel; ``open_subagencies`` makes one."""
        self._stub = services.SubagencyServiceStub(channel)

    def listed(self) -> Json:
        """The list, ``edoc.subagencies-list/v1``."""
        with _errors():
            answer = self._stub.ListSubagencies(
                messages.ListSubagenciesRequest(), timeout=CALL_TIMEOUT_S
            )
        return {
            "schema": LIST_SCHEMA,
            "spaces": list(answer.spaces),
            "published": answer.published,
            "subagencies": [_subagency(item) for item in answer.subagencies],
        }

    def change(self, orders: Sequence[Order], actor: str) -> Json:
        """Carries orders out, all or none, ``edoc.subagencies-change/v1``."""
        request = messages.ChangeSubagenciesRequest(
            orders=[
                messages.SubagencyOrder(
                    action=_ACTIONS[item.kind],
                    code=item.code,
                    name=item.name,
                    aliases=item.aliases,
                )
                for item in orders
            ],
            actor=actor,
        )
        with _errors():
            answer = self._stub.ChangeSubagencies(request, timeout=REGISTRY_TIMEOUT_S)
        return {
            "schema": CHANGE_SCHEMA,
            "codes": list(answer.codes),
            "published": answer.directory_version > 0,
            "directory_version": answer.directory_version or None,
        }


@contextlib.contextmanager
def open_subagencies(socket: Path) -> Iterator[SubagencyClient]:
    """Opens a connection for a block; whether the node runs shows at the first call."""
    with unix_channel_sync(socket) as channel:
        yield SubagencyClient(channel)


def _subagency(item: messages.Subagency) -> Json:
    closed = local_time(moment_from(item.close_time)) if item.HasField("close_time") else None
    return {
        "code": item.code,
        "name": item.name,
        "aliases": list(item.aliases),
        "state": _STATES[item.state],
        "closed_at": closed,
    }


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise raise_for(error, unreachable=NodeNotRunningError) from error
