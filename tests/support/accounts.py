"""Offices with accounts of their own behind a running node."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from edockit.grpc_client import unix_channel
from edocnet.access.v1 import access_service_pb2 as access
from edocnet.access.v1 import access_service_pb2_grpc as access_services
from edocnet.office.v1 import office_service_pb2_grpc as office_services
from edocnode.rpc.introducing import Introduction
from tests.support.nodes import TestNode

Metadata = tuple[tuple[str, str | bytes], ...]


@contextlib.asynccontextmanager
async def administrator(node: TestNode) -> AsyncIterator[access_services.AccessServiceStub]:
    """The administrator's side of a node."""
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        yield access_services.AccessServiceStub(channel)


async def account(
    node: TestNode, name: str, *agencies: str, may: Sequence[str] = ("all",), subtree: bool = False
) -> Metadata:
    """Makes an account; returns what its calls carry."""
    async with administrator(node) as stub:
        answer = await stub.AddAccount(
            access.AddAccountRequest(
                name=name, agencies=agencies, may=may, subtree=subtree, actor="quản trị"
            )
        )
    return carrying(answer.token)


def named(*accounts: str, may: str = "") -> list[access.NamedAccount]:
    """Whom a restriction names; rights are separated by commas, none: to read."""
    rights = may.split(",") if may else []
    return [access.NamedAccount(account=name, may=rights) for name in accounts]


def carrying(token: str) -> Metadata:
    """What calls with a token carry."""
    return Introduction(actor="văn thư", token=token).metadata


async def administer(node: TestNode, request: Any) -> Any:
    """Carries out one request of access/v1, told by its type."""
    call = type(request).__name__.removesuffix("Request")
    async with administrator(node) as stub:
        return await getattr(stub, call)(request)


@contextlib.asynccontextmanager
async def offices(node: TestNode) -> AsyncIterator[office_services.OfficeServiceStub]:
    """The socket for offices of a node."""
    assert node.where is not None
    assert node.where.office is not None
    async with unix_channel(node.where.office) as channel:
        yield office_services.OfficeServiceStub(channel)


class AsOffice:
    """Calls of office/v1 with the token of an account."""

    def __init__(self, stub: office_services.OfficeServiceStub, metadata: Metadata) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, call: str) -> Any:
        method = getattr(self._stub, call)
        return lambda *request, **options: method(*request, metadata=self._metadata, **options)
