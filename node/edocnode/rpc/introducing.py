"""What a calling program says of itself beside each request: who runs it, why, and its token."""

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import grpc

AUTHORIZATION = "authorization"
ACTOR = "edoc-actor-bin"  # who runs the calling program, UTF-8; as told
PURPOSE = "edoc-purpose"  # save, export: what the calling program does with what it reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """Who calls.

    Attributes:
        actor: Person, as the operating system names them; for the access history.
        purpose: ``save``, ``export`` or empty.
        token: Of an account; empty on the administrator's socket.
    """

    actor: str
    purpose: str = ""
    token: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The same as calls carry it."""
        said: list[tuple[str, str | bytes]] = [(ACTOR, self.actor.encode())]
        if self.purpose:
            said.append((PURPOSE, self.purpose))
        if self.token:
            said.append((AUTHORIZATION, f"Bearer {self.token}"))
        return tuple(said)


NOBODY = Introduction(actor="")


def introduced(channel: grpc.Channel, who: Introduction) -> grpc.Channel:
    """A channel whose calls carry an introduction."""
    return grpc.intercept_channel(channel, _Introducing(who))


_Details = namedtuple(
    "_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")
)


class _Introducing(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, who: Introduction) -> None:
        self._metadata = who.metadata

    def _with(self, details: Any) -> Any:  # noqa: ANN401 - gRPC's own, of any call
        said = (*(details.metadata or ()), *self._metadata)
        return _Details(
            details.method,
            details.timeout,
            said,
            details.credentials,
            getattr(details, "wait_for_ready", None),
            getattr(details, "compression", None),
        )

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401
        return continuation(self._with(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401
        return continuation(self._with(details), request)

    def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:  # noqa: ANN401
        return continuation(self._with(details), requests)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:  # noqa: ANN401
        return continuation(self._with(details), requests)
