"""The network: gRPC calls as the product makes them, over lines that a seed makes worse.

Client and server code of the product run unchanged between the two ends; messages cross as bytes.
A line delays and may be cut in one direction or both: what was written waits, as TCP does, and
after ``NOTICED_S`` of silence both ends learn that the call broke. A node that dies breaks its
calls at once, or silently, like a machine without power.
"""

import asyncio
import contextvars
import inspect
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import grpc

from edoccore.errors import StorageFailedError
from edockit.grpc_peer import CallInterceptor, PeerCheck
from tests.simulation.loop import PROCESS
from tests.simulation.process import Process, ProcessKilled

NOTICED_S = 13.0  # a dead line is noticed after it (keepalive)
LOOK_AGAIN_S = 0.25  # at a line that is cut
ROOM = 16  # messages under way in one direction; more wait
FINISHED = "RPC already finished."


@dataclass
class Weather:
    """How bad the network is now.

    Attributes:
        delay_s: The longest a message takes, but for a few that take ten times as long.
        loss: Chance that a message breaks its call instead of arriving.
        cut: Directions (from, to) in which nothing passes, by names of nodes.
    """

    delay_s: float = 0.02
    loss: float = 0.0
    cut: set[tuple[str, str]] = field(default_factory=set)


class Network:
    """All lines, and who listens where."""

    def __init__(self, chance: random.Random, trace: Callable[[str, str], None]) -> None:
        """Begins in good weather.

        Args:
            trace: Takes the name of a node and what happened.
        """
        self.weather = Weather()
        self.chance = chance
        self.trace = trace
        self.servers: dict[str, Server] = {}
        self.watchers: list[Callable[[str, str, Any], None]] = []  # of what arrives at servers
        self._calls: list[Call] = []

    def blocked(self, one: str, other: str) -> bool:
        """Whether nothing passes from one node to another."""
        return (one, other) in self.weather.cut

    def cut(self, one: str, other: str) -> None:
        """Lets nothing pass from one node to another until ``heal``."""
        self.weather.cut.add((one, other))
        for call in self.calls():
            if {one, other} == {call.client, call.server}:
                call.watch()

    def heal(self, one: str, other: str) -> None:
        """Lets messages pass again."""
        self.weather.cut.discard((one, other))

    def calls(self) -> list["Call"]:
        """Calls that have not ended."""
        self._calls = [call for call in self._calls if not call.ended]
        return list(self._calls)

    def begin(self, call: "Call") -> None:
        """Counts a call."""
        self._calls.append(call)
        call.watch()

    def died(self, process: Process, *, silently: bool) -> None:
        """Breaks the calls of a process that ended."""
        for address, server in list(self.servers.items()):
            if server.process is process:
                del self.servers[address]
        for call in self.calls():
            if process in (call.client_process, call.server_process):
                call.lose(NOTICED_S if silently else self.delay())

    def delay(self) -> float:
        """How long the next message takes."""
        late = self.weather.delay_s * (10 if self.chance.random() < 0.01 else 1)
        return self.chance.random() * late


class Server:
    """Takes the place of ``grpc.aio.Server`` in one process."""

    def __init__(
        self,
        process: Process,
        check: PeerCheck | None,
        on_failure: Callable[[StorageFailedError], None] | None = None,
    ) -> None:
        """Takes who runs it, who may call, and who hears that the disk failed in a call."""
        self.process = process
        self.context = contextvars.copy_context()
        self._interceptor = CallInterceptor(check, on_failure=on_failure)
        self._handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Generated code offers its methods twice; see the other."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Takes the methods of a service."""
        for name, handler in handlers.items():
            self._handlers[f"/{service}/{name}"] = handler

    async def handler(self, path: str) -> Any:
        """The handler of a method, guarded as on a real server."""

        async def found(_details: object) -> Any:
            return self._handlers[path]

        details = SimpleNamespace(method=path)
        return await self._interceptor.intercept_service(found, details)


class Channel:
    """Takes the place of ``grpc.aio.Channel``."""

    def __init__(self, network: Network, client: str, address: str, certificate: bytes) -> None:
        """Connects when used.

        Args:
            certificate: TLS certificate of the caller, PEM.
        """
        self.network = network
        self.client = client
        self.address = address
        self.certificate = certificate
        self._calls: list[Call] = []

    def call(self, path: str, encode: Callable, decode: Callable) -> "Call":
        """Begins a call."""
        call = Call(self, path, encode, decode)
        self._calls = [item for item in self._calls if not item.ended] + [call]
        return call

    def unary_unary(
        self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        """A method with one request and one answer."""

        async def method(
            request: Any,
            timeout: float | None = None,  # noqa: ASYNC109 - as gRPC has it
        ) -> Any:
            call = self.call(path, request_serializer, response_deserializer)
            async with _deadline(call, timeout):
                await call.write(request)
                await call.done_writing()
                response = await call.read()
                if response is grpc.aio.EOF:
                    await call.raise_for_status()
                await call.code()
                return response

        return method

    def stream_unary(
        self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        """A method with many requests and one answer."""

        async def method(
            requests: Any,
            timeout: float | None = None,  # noqa: ASYNC109 - as gRPC has it
        ) -> Any:
            call = self.call(path, request_serializer, response_deserializer)
            async with _deadline(call, timeout):
                for request in requests:
                    await call.write(request)
                await call.done_writing()
                response = await call.read()
                if response is grpc.aio.EOF:
                    await call.raise_for_status()
                await call.code()
                return response

        return method

    def unary_stream(
        self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        """A method with one request and many answers."""

        def method(request: Any, timeout: float | None = None) -> "_Answers":
            call = self.call(path, request_serializer, response_deserializer)
            return _Answers(call, request, timeout)

        return method

    def stream_stream(
        self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        """A method with many of both."""

        def method(timeout: float | None = None) -> Call:
            call = self.call(path, request_serializer, response_deserializer)
            if timeout is not None:
                status = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
                asyncio.get_running_loop().call_later(timeout, call._end, *status)
            return call

        return method

    async def close(self) -> None:
        """Ends all calls, as the caller's own doing."""
        for call in self._calls:
            call.cancel()

    async def __aenter__(self) -> "Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Pipe:
    """One direction of a call: in order, each message after a delay, nothing while it is cut."""

    def __init__(self, call: "Call", source: str, target: str) -> None:
        """Connects two nodes."""
        self._call = call
        self._ends = source, target
        self._under_way: deque[bytes | None] = deque()
        self._arrived: deque[bytes | None] = deque()
        self._change = asyncio.Event()
        self._is_moving = False

    def put(self, message: bytes | None) -> None:
        """Sends a message; None is the end."""
        self._under_way.append(message)
        self._move_later()

    async def room(self) -> None:
        """Waits until more may be written."""
        while len(self._under_way) + len(self._arrived) >= ROOM and not self._call.ended:
            self._change.clear()
            await self._change.wait()

    async def get(self) -> bytes | None:
        """The next message; None at the end, or when the call has ended."""
        while not self._arrived and not self._call.ended:
            self._change.clear()
            await self._change.wait()
        if not self._arrived:
            return None
        message = self._arrived.popleft()
        self._change.set()
        return message

    def wake(self) -> None:
        """Lets waiters look at the call again."""
        self._change.set()

    def _move_later(self) -> None:
        if self._is_moving or not self._under_way:
            return
        self._is_moving = True
        delay = self._call.network.delay()
        asyncio.get_running_loop().call_later(delay, self._move)

    def _move(self) -> None:
        self._is_moving = False
        network = self._call.network
        if self._call.broken or not self._under_way:
            return
        if network.blocked(*self._ends):
            self._is_moving = True
            asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._move)
            return
        if network.weather.loss and network.chance.random() < network.weather.loss:
            self._call.lose(0.0)
            return
        self._arrived.append(self._under_way.popleft())
        self._change.set()
        self._move_later()


class Call:
    """One call: both ends. The client's methods are those of ``grpc.aio``'s calls."""

    def __init__(self, channel: Channel, path: str, encode: Callable, decode: Callable) -> None:
        """Begins; the server hears of it after a delay."""
        self.network = channel.network
        self.client = channel.client
        self.client_process = PROCESS.get()
        self.certificate = channel.certificate
        self.path = path
        self.broken = False
        self._encode = encode
        self._decode = decode
        self._loop = asyncio.get_running_loop()
        self._status: tuple[grpc.StatusCode, str, tuple] | None = None
        self._locally_cancelled = False
        self._ended = asyncio.Event()
        self._written = False
        self._work: asyncio.Task | None = None
        listener = self.network.servers.get(channel.address)
        self._listener = listener
        self.server_process = listener.process if listener else None
        self.server = channel.address
        self.requests = Pipe(self, self.client, self.server)
        self.responses = Pipe(self, self.server, self.client)
        self.network.begin(self)
        self._loop.call_later(self.network.delay(), self._connect)

    @property
    def ended(self) -> bool:
        """Whether the client knows a status."""
        return self._status is not None

    def _connect(self) -> None:
        if self.broken or self.ended:
            return
        if self.network.blocked(self.client, self.server):
            self._loop.call_later(LOOK_AGAIN_S, self._connect)
            return
        listener = self._listener
        if listener is None or not listener.process.alive:
            self.lose(0.0)
            return
        context = listener.context.copy()
        self._work = self._loop.create_task(self._serve(listener), context=context)

    # --- the line

    def watch(self) -> None:
        """Breaks the call when its line stays cut."""
        if self.network.blocked(self.client, self.server) or self.network.blocked(
            self.server, self.client
        ):
            self._loop.call_later(NOTICED_S, self._look, NOTICED_S)

    def _look(self, _after: float) -> None:
        cut = self.network.blocked(self.client, self.server) or self.network.blocked(
            self.server, self.client
        )
        if cut and not self.ended:
            self.lose(0.0)

    def lose(self, after: float) -> None:
        """Breaks the line now; both ends notice after some seconds."""
        self.broken = True
        self._loop.call_later(after, self._noticed)

    def _noticed(self) -> None:
        self._end(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        if self._work is not None:
            self._work.cancel()

    # --- the client's end

    def _effect(self, name: str) -> None:
        if self.client_process is not None:
            self.client_process.effect(name)

    async def write(self, message: Any) -> None:
        """Writes a message."""
        self._effect("call.write")
        if self._written:
            raise asyncio.InvalidStateError("RPC is half closed")
        if self.ended:
            raise asyncio.InvalidStateError(FINISHED)
        await self.requests.room()
        if self.ended:
            await self.raise_for_status()
        self.requests.put(self._encode(message))
        self._effect("call.written")

    async def done_writing(self) -> None:
        """Ends the requests."""
        if not self._written and not self.ended:
            self._written = True
            self.requests.put(None)

    async def read(self) -> Any:
        """Reads a message; EOF at the end of a call that went well."""
        if self.ended and not self.responses._arrived:
            await self.raise_for_status()
            return grpc.aio.EOF
        try:
            data = await self.responses.get()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._effect("call.read")
        if data is None:
            await self._ended.wait()
            await self.raise_for_status()
            return grpc.aio.EOF
        return self._decode(data)

    def cancel(self) -> bool:
        """Ends the call from here."""
        if self.ended:
            return False
        self._locally_cancelled = True
        self._end(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
        if not self.broken and not self.network.blocked(self.client, self.server):
            self._loop.call_later(self.network.delay(), self._cancelled)
        else:
            self._loop.call_later(NOTICED_S, self._cancelled)
        return True

    def _cancelled(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def raise_for_status(self) -> None:
        """Raises what a call ended with."""
        if self._locally_cancelled:
            raise asyncio.CancelledError
        code, details, trailing = await self._known_status()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=details)

    async def code(self) -> grpc.StatusCode:
        """The status code, once the call has ended."""
        return (await self._known_status())[0]

    async def details(self) -> str:
        """The status text."""
        return (await self._known_status())[1]

    async def initial_metadata(self) -> Any:
        """Nothing."""
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> Any:
        """What the server gave with the status."""
        return (await self._known_status())[2]

    async def _known_status(self) -> tuple[grpc.StatusCode, str, Any]:
        await self._ended.wait()
        assert self._status is not None
        return self._status

    def _end(self, code: grpc.StatusCode, details: str, trailing: Any = ()) -> None:
        if self._status is None:
            self._status = code, details, grpc.aio.Metadata(*trailing)
            self._ended.set()
            self.requests.wake()
            self.responses.wake()

    # --- the server's end

    async def _serve(self, server: Server) -> None:
        status: tuple = (grpc.StatusCode.OK, "", ())
        try:
            server.process.effect("call.begun")
            handler = await server.handler(self.path)
            await self._run(handler)
        except grpc.aio.AbortError as aborted:
            status = aborted.args
        except ProcessKilled:
            return
        except asyncio.CancelledError:
            status = (grpc.StatusCode.CANCELLED, "cancelled", ())
        if not server.process.alive:
            return
        self._responses_end(status)

    def _responses_end(self, status: tuple) -> None:
        self._last = status
        self.responses.put(None)
        self._loop.call_later(self.network.delay(), self._arrive_status)

    def _arrive_status(self) -> None:
        if self.broken or self.ended:
            return
        blocked = self.network.blocked(self.server, self.client)
        if blocked or self.responses._under_way:
            self._loop.call_later(LOOK_AGAIN_S if blocked else 0.001, self._arrive_status)
            return
        self._end(*self._last)

    async def _run(self, handler: Any) -> None:
        context = _ServerContext(self, handler)
        request: Any = context.requests()
        if not handler.request_streaming:
            request = await anext(request)
        if handler.response_streaming and handler.request_streaming:
            await handler.stream_stream(request, context)
        elif handler.response_streaming:
            answers = handler.unary_stream(request, context)
            if inspect.isawaitable(answers):  # it writes its answers itself
                await answers
                return
            async for response in answers:
                await context.write(response)
        else:
            await context.write(await handler.unary_unary(request, context))


class _ServerContext:
    """Takes the place of ``grpc.aio.ServicerContext``."""

    def __init__(self, call: Call, handler: Any) -> None:
        self._call = call
        self._handler = handler

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [self._call.certificate]}

    async def requests(self) -> Any:
        call = self._call
        while (data := await call.requests.get()) is not None:
            call.server_process.effect("call.received")
            message = self._handler.request_deserializer(data)
            for watcher in call.network.watchers:
                watcher(call.client, call.server_process.name, message)
            yield message

    async def write(self, message: Any) -> None:
        call = self._call
        call.server_process.effect("call.answer")
        await call.responses.room()
        call.responses.put(self._handler.response_serializer(message))
        call.server_process.effect("call.answered")

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing: Any = ()) -> None:
        error = grpc.aio.AbortError(code, details, trailing)
        raise error


class _Answers:
    """The answers to one request, as they come."""

    def __init__(self, call: Call, request: Any, timeout: float | None) -> None:
        self._call = call
        self._request = request
        self._timeout = timeout
        self._reading: Any = None

    async def __aiter__(self) -> Any:
        call = self._call
        async with _deadline(call, self._timeout):
            await call.write(self._request)
            await call.done_writing()
            while (response := await call.read()) is not grpc.aio.EOF:
                yield response

    async def read(self) -> Any:
        if self._reading is None:
            self._reading = aiter(self)
        return await anext(self._reading, grpc.aio.EOF)

    def cancel(self) -> bool:
        return self._call.cancel()


class _deadline:  # noqa: N801 - used like a function
    """Ends a call that takes too long with the status of gRPC."""

    def __init__(self, call: Call, seconds: float | None) -> None:
        self._call = call
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._over)

    def _over(self) -> None:
        self._call._end(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        self._call._cancelled()

    async def __aexit__(self, kind: type | None, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if kind is asyncio.CancelledError:
            self._call.cancel()
