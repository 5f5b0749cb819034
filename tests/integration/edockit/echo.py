"""A service of plain bytes, so that plumbing is tested without any message of the protocol."""

from collections.abc import AsyncIterator

import grpc

from edoccore.errors import AgencyUnknownError
from edockit.grpc_peer import peer_identity

UNARY = "/test.Echo/Unary"
STREAM = "/test.Echo/Stream"
READ = "/test.Echo/Read"
WHO = "/test.Echo/Who"
FAIL = "/test.Echo/Fail"
FAIL_AT_LENGTH = "/test.Echo/FailAtLength"
BREAK = "/test.Echo/Break"
BREAK_STREAM = "/test.Echo/BreakStream"


async def unary(request: bytes, context: object) -> bytes:
    return request


async def stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def read(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
    async for request in requests:
        await context.write(request)


async def who(request: bytes, context: object) -> bytes:
    return peer_identity(str).encode()


async def fail(request: bytes, context: object) -> bytes:
    raise AgencyUnknownError("no agency Z99", hint="check the code", agency="Z99")


async def fail_at_length(request: bytes, context: object) -> bytes:
    fields = {f"field_{number}": "Ủy ban " * 500 for number in range(30)}
    raise AgencyUnknownError("Không tìm thấy " * 500, hint="Ủy ban " * 500, **fields)


async def break_down(request: bytes, context: object) -> bytes:
    raise KeyError("geheim")


async def break_stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request
        raise AgencyUnknownError("no agency Z99")


def handler() -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        "test.Echo",
        {
            "Unary": grpc.unary_unary_rpc_method_handler(unary),
            "Stream": grpc.stream_stream_rpc_method_handler(stream),
            "Read": grpc.stream_stream_rpc_method_handler(read),
            "Who": grpc.unary_unary_rpc_method_handler(who),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
            "FailAtLength": grpc.unary_unary_rpc_method_handler(fail_at_length),
            "Break": grpc.unary_unary_rpc_method_handler(break_down),
            "BreakStream": grpc.stream_stream_rpc_method_handler(break_stream),
        },
    )
