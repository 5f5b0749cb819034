"""Services that work in threads, on a server whose callers prove nothing by TLS.

A thread is taken once the whole request is here and given back before the answer leaves, so however
many calls are opened and left alone, and however slowly answers are read, threads are for those who
asked something. What an open call costs is memory; how many one caller may have is bounded.
"""

from __future__ import annotations  # gRPC types are generic for the type checker only

import asyncio
import contextlib
import inspect
import ipaddress
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from edoccore.errors import LimitExceededError, QuotaError
from edockit.connections import cut_connection
from edockit.grpc_peer import (
    Behaviour,
    Context,
    Handler,
    behaviour_of,
    end_call,
    only_request,
    rebuilt,
    require_tls13,
)

CALL_LIMIT_S = 120.0  # for all of a call, with the time in which its answer is read
CALLS_OF_ONE = 64  # open at once; many nodes may stand behind one address
NETWORK_BITS = 64  # of an IPv6 address: what one line has

Result = TypeVar("Result")
_END = object()


def caller_of(peer: str) -> str:
    """The address of a caller as gRPC names it, without its port; of IPv6 its network.

    Returns:
        Such as ``ipv4:10.0.0.1`` or ``ipv6:2001:db8::/64``.
    """
    kind, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0].replace("%5B", "[").replace("%5D", "]").strip("[]")
    if kind != "ipv6":
        return f"{kind}:{host}"
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return f"{kind}:{host}"
    if address.ipv4_mapped is not None:
        return f"ipv4:{address.ipv4_mapped}"
    return f"ipv6:{ipaddress.IPv6Network((address, NETWORK_BITS), strict=False)}"


class ThreadedCallInterceptor(grpc.aio.ServerInterceptor):
    """Asks for TLS 1.3, bounds calls, runs synchronous behaviours in threads, tells errors.

    A behaviour that is a coroutine function is awaited on the event loop instead; it takes the
    messages of a stream as they come.
    """

    def __init__(
        self, threads: int, *, limit_s: float = CALL_LIMIT_S, of_one: int = CALLS_OF_ONE
    ) -> None:
        """Begins without a thread.

        Args:
            threads: Calls that are worked on at the same time.
            limit_s: Seconds that a call may take; whoever does not read its answer loses the
                connection.
            of_one: Calls of one caller that are open at the same time.
        """
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        self._limit_s = limit_s
        self._of_one = of_one
        self._open: Counter[str] = Counter()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Puts all of it around the handler of a method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return rebuilt(handler, self._around(handler), always_stream=True)

    def _around(self, handler: Handler) -> Behaviour:
        answers = self._answers_of(handler)

        async def writing(requests: AsyncIterator[Any], context: Context) -> None:
            is_sending = False
            try:
                require_tls13(context.auth_context())
                with self._room(caller_of(context.peer())):
                    async with asyncio.timeout(self._limit_s):
                        async with contextlib.aclosing(answers(requests, context)) as found:
                            async for answer in found:
                                is_sending = True
                                await context.write(answer)
                                is_sending = False
            except grpc.aio.AbortError:
                raise
            except TimeoutError:
                if is_sending:  # nothing can follow what the caller does not read
                    cut_connection(context.peer())
                    raise asyncio.CancelledError from None
                await end_call(context, LimitExceededError("The call took too long."))
            except Exception as error:  # noqa: BLE001 - top of a call
                await end_call(context, error)

        return writing

    def _answers_of(
        self, handler: Handler
    ) -> Callable[[AsyncIterator[Any], Context], AsyncGenerator[Any]]:
        behaviour = behaviour_of(handler)

        async def answers(requests: AsyncIterator[Any], context: Context) -> AsyncGenerator[Any]:
            if inspect.iscoroutinefunction(behaviour):
                yield await behaviour(requests, context)
                return
            request = await only_request(requests)
            if not handler.response_streaming:
                yield await self._in_thread(lambda: behaviour(request, context))
                return
            found: Iterator[Any] = await self._in_thread(lambda: iter(behaviour(request, context)))
            while (answer := await self._in_thread(lambda: next(found, _END))) is not _END:
                yield answer

        return answers

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextlib.contextmanager
    def _room(self, caller: str) -> Iterator[None]:
        if self._open[caller] >= self._of_one:
            raise QuotaError(
                f"{self._of_one} calls from this address are open already.",
                hint="Wait until some of them have ended, then call again.",
            )
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
