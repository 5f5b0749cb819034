"""What nodes of these tests keep apart, asked as an administrator asks, and what a sender knows."""

import asyncio
from typing import Any
from uuid import UUID

from edocnet.office.v1 import office_service_pb2 as offices
from tests.integration.scanning.conftest import quarantine
from tests.support.nodes import Sent, TestNode, until

REASON = "Đã kiểm tra tay, không có mã độc"


def states(node: TestNode) -> dict[bytes, str]:
    """Where scans stand, by message."""
    return dict(node.rows("SELECT message_id, state FROM scan"))


async def came_to(node: TestNode, sent: Sent, state: str, *, within_s: float = 60) -> None:
    await until(lambda: states(node).get(sent.message_id) == state, within_s=within_s)


async def listed(node: TestNode) -> list[dict[str, Any]]:
    def ask() -> list[dict[str, Any]]:
        with quarantine(node) as client:
            found: list[dict[str, Any]] = client.documents(limit=100, after="")["documents"]
            return found

    return await asyncio.to_thread(ask)


async def released(node: TestNode, sent: Sent) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        with quarantine(node) as client:
            return client.release(str(UUID(bytes=sent.message_id)), REASON, "Lan")

    return await asyncio.to_thread(ask)


async def discarded(node: TestNode, sent: Sent, reason: str = REASON) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        with quarantine(node) as client:
            return client.discard(str(UUID(bytes=sent.message_id)), reason, "Lan")

    return await asyncio.to_thread(ask)


async def scanned_again(node: TestNode, sent: Sent | None = None) -> int:
    def ask() -> int:
        with quarantine(node) as client:
            name = "" if sent is None else str(UUID(bytes=sent.message_id))
            return int(client.scan(name)["documents"])

    return await asyncio.to_thread(ask)


async def told(node: TestNode, sent: Sent) -> list[tuple[str, str]]:
    """Steps of the recipient that the sender knows: step and code."""
    delivery = await node.delivery(sent)
    return [
        (offices.StepKind.Name(step.kind).removeprefix("STEP_KIND_").lower(), step.code)
        for step in delivery.timeline
        if step.order
    ]


async def told_rejected(sender: TestNode, sent: Sent) -> bool:
    return await told(sender, sent) == [("rejected", "MALWARE")]
