"""Answers those who manage the sub-agencies of this agency: admin/v1 on the node's own socket."""

from collections.abc import Sequence
from typing import Protocol

import grpc
from msgspec import UNSET

from edoccore.errors import RequestInvalidError
from edoccore.signing.statements import MAX_SUBAGENCIES, SubAgency, parse_time
from edocnet.admin.v1 import subagency_service_pb2 as messages
from edocnet.admin.v1 import subagency_service_pb2_grpc as services
from edocnode.domain.decisions import MAX_ACTOR
from edocnode.domain.subagencies import Done, Listed, Order, OrderKind
from edocnode.rpc.office_messages import timestamp

_KINDS = {
    messages.SUBAGENCY_ACTION_ADD: OrderKind.ADD,
    messages.SUBAGENCY_ACTION_RENAME: OrderKind.RENAME,
    messages.SUBAGENCY_ACTION_CLOSE: OrderKind.CLOSE,
}


class Lists(Protocol):
    """The list of this node's agency; see ``workers.subagencies``."""

    async def listed(self) -> Listed:
        """The list, and what of it peers do not know yet."""

    async def change(self, orders: Sequence[Order], actor: str) -> Done:
        """Carries orders out, all or none."""


class SubagencyServicer(services.SubagencyServiceServicer):
    """The sub-agencies of this node's agency."""

    def __init__(self, lists: Lists) -> None:
        """Takes the list."""
        self._lists = lists

    async def ListSubagencies(
        self,
        request: messages.ListSubagenciesRequest,
        context: grpc.aio.ServicerContext[
            messages.ListSubagenciesRequest, messages.ListSubagenciesResponse
        ],
    ) -> messages.ListSubagenciesResponse:
        """Lists the sub-agencies, closed ones too."""
        found = await self._lists.listed()
        return messages.ListSubagenciesResponse(
            subagencies=[_message(item, found) for item in found.entries],
            spaces=found.spaces,
            published=not found.waiting,
        )

    async def ChangeSubagencies(
        self,
        request: messages.ChangeSubagenciesRequest,
        context: grpc.aio.ServicerContext[
            messages.ChangeSubagenciesRequest, messages.ChangeSubagenciesResponse
        ],
    ) -> messages.ChangeSubagenciesResponse:
        """Changes the list."""
        if not 1 <= len(request.actor) <= MAX_ACTOR:
            raise RequestInvalidError("Who decides must be named.", hint="Add --actor NAME.")
        if not 1 <= len(request.orders) <= MAX_SUBAGENCIES:
            raise RequestInvalidError(f"A request has 1 to {MAX_SUBAGENCIES} changes.")
        done = await self._lists.change(list(map(_order, request.orders)), request.actor)
        return messages.ChangeSubagenciesResponse(codes=done.codes, directory_version=done.version)


def _order(message: messages.SubagencyOrder) -> Order:
    kind = _KINDS.get(message.action)
    if kind is None:
        raise RequestInvalidError(
            f"What is to be done with {message.code[:40]!a} is not known.",
            hint="Update the program that asks for it.",
        )
    return Order(
        kind=kind,
        code=message.code,
        name=message.name,
        aliases=tuple(message.aliases),
    )


def _message(item: SubAgency, found: Listed) -> messages.Subagency:
    state = messages.SUBAGENCY_STATE_OPEN
    if item.closed is not UNSET:
        state = messages.SUBAGENCY_STATE_CLOSED
    elif item.code in found.waiting:
        state = messages.SUBAGENCY_STATE_WAITING
    made = messages.Subagency(code=item.code, name=item.name, aliases=item.codes[1:], state=state)
    if isinstance(item.closed, str):
        made.close_time.CopyFrom(timestamp(parse_time(item.closed)))
    return made
