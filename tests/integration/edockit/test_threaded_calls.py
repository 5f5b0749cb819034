"""What a server of services in threads lets a caller cost. Real sockets."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import grpc

from edockit import grpc_server
from edockit.grpc_threads import ThreadedCallInterceptor
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
from tests.support.pki import tls_leaf
from tests.support.strangers import Stranger

INVALID_ARGUMENT, RESOURCE_EXHAUSTED = "3", "8"
PATIENT_S = 60


@asynccontextmanager
async def serving(interceptor: ThreadedCallInterceptor, **methods: object) -> AsyncIterator[str]:
    """A server of some methods; gives its address."""
    leaf = tls_leaf("REGISTRY")
    tls = TlsProvider(
        TlsMaterial(leaf.certificate_pem, leaf.key_pem), client_auth=ClientAuth.NOT_REQUESTED
    )
    server = grpc.aio.server(interceptors=[interceptor])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    port = grpc_server.bind(server, "127.0.0.1:0", tls)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def say(request: bytes, context: object) -> bytes:
    return request


SAY = grpc.unary_unary_rpc_method_handler(say)


def with_strangers(address: str, *acts: Callable[[Stranger], str]) -> list[str]:
    """What strangers from an address each hear, with all connections open."""
    strangers = [Stranger(address) for _ in acts]
    try:
        return [act(stranger) for act, stranger in zip(acts, strangers, strict=True)]
    finally:
        for stranger in strangers:
            stranger.__exit__(None, None, None)


async def test_one_caller_opens_so_many_calls_and_another_is_answered() -> None:
    def opens_five(stranger: Stranger) -> str:
        calls = [stranger.opens("/t.T/Say") for _ in range(5)]
        return stranger.end_of(calls[4], PATIENT_S)

    def asks(stranger: Stranger) -> str:
        call = stranger.opens("/t.T/Say")
        return stranger.end_of(call, PATIENT_S)

    async with serving(ThreadedCallInterceptor(1, of_one=4), Say=SAY) as address:
        heard = await asyncio.to_thread(with_strangers, address, opens_five, asks)
        assert heard == [RESOURCE_EXHAUSTED] * 2  # from the same address

        def elsewhere() -> str:
            with Stranger(address, comes_from="127.0.0.9") as stranger:
                call = stranger.opens("/t.T/Say")
                stranger.says(call, b"x", ends=True)
                return stranger.end_of(call, PATIENT_S)

        assert await asyncio.to_thread(elsewhere) == "0"


async def test_call_whose_request_never_comes_whole_is_ended_and_took_no_thread() -> None:
    def drips(stranger: Stranger) -> str:
        call = stranger.opens("/t.T/Say")
        stranger.says(call, b"hello", less=1)
        return stranger.end_of(call, PATIENT_S)

    async with serving(ThreadedCallInterceptor(1, limit_s=0.5), Say=SAY) as address:
        before = set(threading.enumerate())
        [heard] = await asyncio.to_thread(with_strangers, address, drips)
        assert heard in (INVALID_ARGUMENT, RESOURCE_EXHAUSTED)
        taken = {each.name for each in set(threading.enumerate()) - before}
        assert not [name for name in taken if name.startswith("grpc_")]


async def test_answer_that_nobody_takes_is_given_up_and_its_thread_works_for_others() -> None:
    def endless(request: bytes, context: object) -> Iterator[bytes]:
        while True:
            yield bytes(1 << 16)

    handler = grpc.unary_stream_rpc_method_handler(endless)
    interceptor = ThreadedCallInterceptor(1, limit_s=3)
    async with serving(interceptor, Endless=handler, Say=SAY) as address:

        def reads_nothing(stranger: Stranger) -> str:
            call = stranger.opens("/t.T/Endless")
            stranger.says(call, b"x", ends=True)  # and opens no window for what is answered
            with Stranger(address) as other:
                asked = other.opens("/t.T/Say")
                other.says(asked, b"x", ends=True)
                assert other.end_of(asked, PATIENT_S) == "0"
            assert not stranger.has_ended(call)
            return stranger.end_of(call, PATIENT_S)

        assert await asyncio.to_thread(with_strangers, address, reads_nothing) == ["closed"]
