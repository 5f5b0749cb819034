"""Who is calling: the check of the caller on every call and every message, and its errors.

TLS lets in whoever is in the trust store at the moment of the handshake. Connections outlive
that moment, and resumed sessions are let in even after a certificate has expired, so the program
gives a check that is run again for each call and for each message of a stream.

The interceptors also end calls: an EdocError becomes its gRPC status, anything else is logged
and answered as an internal fault without its text.
"""

from __future__ import annotations  # gRPC types are generic for the type checker only

import asyncio
import contextlib
import functools
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

import grpc
import structlog
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from edoccore.errors import (
    EdocError,
    HelloMissingError,
    LimitExceededError,
    PeerNotTrustedError,
    QuotaError,
    RequestInvalidError,
    StorageFailedError,
)
from edoccore.wire.status import abort_status
from edockit.connections import cut_connection

AuthContext = Mapping[str, Iterable[bytes]]  # as gRPC gives it: names to values
PeerCheck = Callable[[AuthContext], object]  # returns who it is, raises PeerNotTrustedError
Identity = TypeVar("Identity")
Request = TypeVar("Request")


class CallGate(Protocol):
    """Decides how many calls each caller may make; knows what a caller is, this module does not."""

    def enter(self, identity: object, call: str) -> None:
        """Admits a call by its method's short name; ``leave`` follows.

        Raises:
            QuotaError: The caller may not make it now.
        """

    def leave(self, identity: object, call: str) -> None:
        """Notes that an admitted call has ended."""

    async def hold(self, identity: object) -> None:
        """Waits before a caller is told that a call was not admitted."""

    def fault(self, identity: object) -> bool:
        """Notes a call that its caller broke off, that was wrong, or that was not admitted.

        Returns:
            True when the caller's connection shall be cut.
        """


Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # interceptors serve every message type
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behaviour: TypeAlias = Any  # four shapes of function, told apart when they are wrapped

TLS_VERSION_KEY = "ssl_tls_version"
KNOWN_CERTIFICATES = 8_192  # of callers, looked at once each; a nation has some thousands
CERTIFICATE_KEY = "x509_pem_cert"
TLS13 = b"TLSv1.3"
REQUEST_WAIT_S = 10.0  # for the one request of a call that has begun
_FAULTS = (QuotaError, RequestInvalidError, LimitExceededError, HelloMissingError)
_TLS_USAGES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}

_log = structlog.get_logger(__name__)
_identity: ContextVar[object] = ContextVar("peer_identity")
_recheck: ContextVar[Callable[[], object]] = ContextVar("peer_recheck")


def require_tls13(auth_context: AuthContext) -> None:
    """Refuses a connection that is not TLS 1.3.

    Raises:
        PeerNotTrustedError: It is older, or not encrypted at all.
    """
    if list(auth_context.get(TLS_VERSION_KEY, ())) != [TLS13]:
        raise PeerNotTrustedError(
            "the connection does not use TLS 1.3", hint="update the calling node"
        )


def peer_certificate(auth_context: AuthContext) -> bytes:
    """Returns the caller's TLS certificate, DER.

    Raises:
        PeerNotTrustedError: It showed none.
    """
    certificates = list(auth_context.get(CERTIFICATE_KEY, ()))
    if len(certificates) != 1:
        raise PeerNotTrustedError("the caller showed no TLS certificate")
    return _read_pem(certificates[0])


@lru_cache(KNOWN_CERTIFICATES)
def _read_pem(certificate: bytes) -> bytes:
    """The same for every message of a connection."""
    return ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))


@lru_cache(KNOWN_CERTIFICATES)
def is_tls_certificate(certificate: bytes) -> bool:
    """Tells whether a certificate (DER) is meant for TLS clients and for no document signing.

    TLS does not ask this of a pinned certificate, so whoever trusts one must.
    """
    loaded = x509.load_der_x509_certificate(certificate)
    try:
        usage = loaded.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return set(usage) <= _TLS_USAGES and ExtendedKeyUsageOID.CLIENT_AUTH in usage


def peer_identity(kind: type[Identity]) -> Identity:
    """Returns who makes the current call, as the program's check named it.

    Raises:
        LookupError: Outside a checked call.
        TypeError: The check names callers by another type.
    """
    identity = _identity.get()
    if not isinstance(identity, kind):
        raise TypeError(f"the caller is a {type(identity).__name__}, not a {kind.__name__}")
    return identity


def check_peer_again() -> object:
    """Runs the program's check on the current call once more, at this moment.

    Raises:
        PeerNotTrustedError: The caller is no longer trusted.
        LookupError: Outside a checked call.
    """
    return _recheck.get()()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Checks the caller (when there is a check) and turns errors into gRPC status."""

    def __init__(
        self,
        check: PeerCheck | None = None,
        *,
        gate: CallGate | None = None,
        on_failure: Callable[[StorageFailedError], None] | None = None,
    ) -> None:
        """Takes the program's check; None on a socket where the system decides who may connect.

        Args:
            check: Run for each call and for each message that arrives or leaves on a stream.
            gate: Asked before the first message of a call is read; only with a check.
            on_failure: Called when the disk failed in a call: the program must not go on.
        """
        self._check = check
        self._gate = gate
        self._on_failure = on_failure

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Puts the check and the translation around the handler of a method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        behaviour = behaviour_of(handler)
        if self._gate is not None and not handler.request_streaming:
            behaviour = _as_stream(handler, behaviour)
            handler = rebuilt(handler, behaviour, always_stream=True)
        call = handler_call_details.method.rpartition("/")[2]
        if inspect.isasyncgenfunction(behaviour):
            return rebuilt(handler, self._around_generator(behaviour, call))
        return rebuilt(handler, self._around_coroutine(behaviour, call))

    def _around_coroutine(self, behaviour: Behaviour, call: str) -> Behaviour:
        async def guarded(request: object, context: Context) -> object:
            try:
                async with self._admitted(request, context, call) as checked:
                    return await behaviour(checked, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - top of a call
                self._report(error)
                await end_call(context, error)

        return guarded

    def _around_generator(self, behaviour: Behaviour, call: str) -> Behaviour:
        async def guarded(request: object, context: Context) -> AsyncIterator[object]:
            try:
                async with (
                    self._admitted(request, context, call) as checked,
                    contextlib.aclosing(behaviour(checked, context)) as answers,
                ):
                    async for answer in answers:
                        if self._check is not None:
                            check_peer_again()
                        yield answer
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - top of a call
                self._report(error)
                await end_call(context, error)

        return guarded

    @contextlib.asynccontextmanager
    async def _admitted(
        self, request: object, context: Context, call: str
    ) -> AsyncIterator[object]:
        """Lets a caller in who is known and asks for no more than it may."""
        if self._check is None:
            yield request
            return
        checked = self._admit(request, context, self._check)
        if self._gate is None:
            yield checked
            return
        identity = _identity.get()
        try:
            try:
                self._gate.enter(identity, call)
            except QuotaError:
                await self._gate.hold(identity)
                raise
            try:
                yield checked
            finally:
                self._gate.leave(identity, call)
        except (asyncio.CancelledError, GeneratorExit, *_FAULTS):
            if self._gate.fault(identity):
                cut_connection(context.peer())
            raise

    def _report(self, error: Exception) -> None:
        if self._on_failure is not None and isinstance(error, StorageFailedError):
            self._on_failure(error)

    def _admit(self, request: object, context: Context, check: PeerCheck) -> object:
        """Checks the caller; returns the request, a stream of them checked message by message."""
        recheck = functools.partial(check, context.auth_context())
        _identity.set(recheck())
        _recheck.set(recheck)
        if isinstance(request, AsyncIterator):
            return _CheckedMessages(request, recheck)
        return request


class _CheckedMessages(AsyncIterator[object]):
    """The messages of a stream, each handed on only after the caller was checked again."""

    def __init__(self, messages: AsyncIterator[object], recheck: Callable[[], object]) -> None:
        self._messages = messages
        self._recheck = recheck

    async def __anext__(self) -> object:
        message = await anext(self._messages)
        self._recheck()
        return message


async def end_call(context: Context, error: Exception) -> NoReturn:
    """Ends a call with an error's status; one that is none of the protocol's is only logged."""
    status = abort_status(_told(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


def _told(error: Exception) -> EdocError:
    """Returns what the caller may know: an error of the protocol, or that there was a fault."""
    if isinstance(error, EdocError):
        return error
    _log.error("call_failed", exc_info=error)
    return EdocError("the call failed because of a fault here; the log of this program says why")


def behaviour_of(handler: Handler) -> Behaviour:
    """Returns the function behind a handler, whichever of the four kinds it is."""
    kinds = (handler.unary_unary, handler.unary_stream, handler.stream_unary)
    return next((kind for kind in kinds if kind is not None), None) or handler.stream_stream


def _as_stream(handler: Handler, behaviour: Behaviour) -> Behaviour:
    """Gives a call of one request the form of one with many, which begins before it is read.

    On the wire they are the same. So a caller is judged, and calls that it breaks off at once are
    counted, without its request.
    """

    async def writing(requests: AsyncIterator[object], context: Context) -> None:
        await behaviour(await only_request(requests), context)

    async def streamed(requests: AsyncIterator[object], context: Context) -> AsyncIterator[object]:
        request = await only_request(requests)
        if not inspect.isasyncgenfunction(behaviour):
            yield await behaviour(request, context)
            return
        async with contextlib.aclosing(behaviour(request, context)) as answers:
            async for answer in answers:
                yield answer

    writes = handler.response_streaming and not inspect.isasyncgenfunction(behaviour)
    return writing if writes else streamed


async def only_request(requests: AsyncIterator[Request]) -> Request:
    """The request of a call that has one.

    Raises:
        LimitExceededError: It does not come.
        RequestInvalidError: The call ends without it.
    """
    try:
        async with asyncio.timeout(REQUEST_WAIT_S):
            request = await anext(requests, None)
    except TimeoutError:
        raise LimitExceededError("The request did not come in time.") from None
    if request is None:
        raise RequestInvalidError("The call ended before its request.")
    return request


def rebuilt(handler: Handler, behaviour: Behaviour, *, always_stream: bool = False) -> Handler:
    """Returns the same handler around another function."""
    builders = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    kind = (bool(handler.request_streaming), bool(handler.response_streaming))
    build: Any = builders[(True, True) if always_stream else kind]
    rebuilt: Handler = build(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return rebuilt
