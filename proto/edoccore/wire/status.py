"""Carries errors over gRPC: EdocError <-> google.rpc.Status with exactly one ErrorInfo.

The reason names the class, so the other side gets back the error that was raised here, with its
exit code, its answer and whether trying again can help. The text is for people only. Whatever a
peer sends is bounded and never trusted to be well-formed.

Source: AIP-193; proto/README.md, table of reasons.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from edoccore import (
    agency_errors,
    alarm_errors,
    directory_errors,
    moving_errors,
    office_errors,
    officer_errors,
)
from edoccore.errors import (
    ERROR_DOMAIN,
    EdocError,
    LimitExceededError,
    PeerNotTrustedError,
    PeerUnreachableError,
    StorageDamagedError,
    StorageFailedError,
)

STATUS_KEY = "grpc-status-details-bin"  # trailing metadata; the gRPC libraries agree on it
HINT_KEY = "hint"  # in ErrorInfo.metadata
MAX_MESSAGE_LENGTH = 300  # characters; sent twice, once percent-encoded (12 bytes each at most)
MAX_FIELD_LENGTH = 200  # characters of one metadata value
MAX_FIELDS = 10
MAX_SENT_BYTES = 2_800  # of text and fields, so that all trailers stay under 8 KiB in base64
MAX_STATUS_BYTES = 8_192  # of a peer's status; more is not read

_PARAMETERS = frozenset({"self", "message"})  # of EdocError; a peer's metadata cannot set them
_TABLE = (
    EdocError.__module__,
    agency_errors.__name__,
    alarm_errors.__name__,
    office_errors.__name__,
    moving_errors.__name__,
    directory_errors.__name__,
    officer_errors.__name__,
)
_OF_THE_DISK = (StorageDamagedError, StorageFailedError)
_UNREACHABLE_CODES = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)


class CallStatus(grpc.Status):
    """Code, text and trailing metadata of a call that ends with an error."""

    def __init__(self, status: status_pb2.Status) -> None:
        """Takes over a google.rpc.Status."""
        self.code = _code(status.code)
        self.details = status.message
        self.trailing_metadata = ((STATUS_KEY, status.SerializeToString()),)


def to_status(error: EdocError) -> status_pb2.Status:
    """Builds the google.rpc.Status of an error; long texts are cut, surplus fields left out."""
    code: int = grpc.StatusCode[error.status].value[0]
    status = status_pb2.Status(code=code, message=_cut(error.message, MAX_MESSAGE_LENGTH))
    detail = status.details.add()
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN)
    if error.hint:
        info.metadata[HINT_KEY] = _cut(error.hint, MAX_FIELD_LENGTH)
    detail.Pack(info)
    for key, value in error.fields.items():
        info.metadata[key] = _cut(value, MAX_FIELD_LENGTH)
        room = MAX_SENT_BYTES - len(status.message.encode()) - info.ByteSize()
        if room < 0 or len(info.metadata) > MAX_FIELDS:
            break
        detail.Pack(info)
    return status


def abort_status(error: EdocError) -> CallStatus:
    """Returns what a service ends a call with.

    Synchronous: ``context.abort_with_status(abort_status(error))``; asynchronous:
    ``await context.abort(status.code, status.details, status.trailing_metadata)``.
    """
    return CallStatus(to_status(error))


def from_status(status: status_pb2.Status) -> EdocError | None:
    """Returns the error a status carries; None when it has no ErrorInfo of this protocol.

    A reason this version does not know becomes a plain EdocError with the reason in ``fields``.
    """
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
            return _error(info, status.message)
    return None


def raise_for(
    call: grpc.RpcError, *, unreachable: type[EdocError] = PeerUnreachableError
) -> EdocError:
    """Returns the error behind a failed call; callers raise it from the library's own.

    Args:
        call: What the library raised, of either kind.
        unreachable: What it means here that nobody answered (a peer, the registry, this node).
    """
    known = _sent_error(call)
    if known is not None:
        return known
    code = call.code() if hasattr(call, "code") else grpc.StatusCode.UNKNOWN
    text = str(call.details() if hasattr(call, "details") else call)[:MAX_MESSAGE_LENGTH]
    if code in _UNREACHABLE_CODES:
        return unreachable(None, cause=text)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return PeerNotTrustedError(None, cause=text)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return LimitExceededError(f"the message was refused by the other side: {text}")
    return EdocError(f"the call failed: {code.name}: {text}", code=code.name)


def raise_for_other(
    call: grpc.RpcError, *, unreachable: type[EdocError] = PeerUnreachableError
) -> EdocError:
    """Returns the error behind a failed call to another machine; otherwise as ``raise_for``.

    A fault of the other machine's disk is none of this one's, which would stop for it.
    """
    told = raise_for(call, unreachable=unreachable)
    if isinstance(told, _OF_THE_DISK):
        return unreachable(None, cause=f"its own disk failed: {told.message}")
    return told


def _cut(text: str, length: int) -> str:
    """Shortens a text; half a character, from the name of a file, becomes a question mark."""
    return text[:length].encode("utf-8", "replace").decode("utf-8")


def _sent_error(call: grpc.RpcError) -> EdocError | None:
    """Reads the error out of the trailing metadata of a failed call."""
    if not hasattr(call, "trailing_metadata"):
        return None
    metadata = cast("Iterable[tuple[str, str | bytes]]", call.trailing_metadata() or ())
    for key, value in metadata:
        if key == STATUS_KEY and isinstance(value, bytes) and len(value) <= MAX_STATUS_BYTES:
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                return None
    return None


def _error(info: error_details_pb2.ErrorInfo, message: str) -> EdocError:
    fields = {
        key: value[:MAX_FIELD_LENGTH]
        for key, value in sorted(info.metadata.items())[: MAX_FIELDS + 1]
        if key.isidentifier() and key not in _PARAMETERS
    }
    hint = fields.pop(HINT_KEY, "")
    text = message[:MAX_MESSAGE_LENGTH] or None
    kind = _classes().get(info.reason)
    if kind is None:
        fields["reason"] = info.reason[:MAX_FIELD_LENGTH]
        return EdocError(text, hint=hint, **fields)
    return kind(text, hint=hint, **fields)


@functools.cache
def _classes() -> dict[str, type[EdocError]]:
    """Returns every class of the table by its reason; kinds made elsewhere share their parent's."""
    return {kind.reason: kind for kind in _tree(EdocError) if kind.__module__ in _TABLE}


def _tree(kind: type[EdocError]) -> Iterator[type[EdocError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _code(number: int) -> grpc.StatusCode:
    for code in grpc.StatusCode:
        if code.value[0] == number:
            return code
    return grpc.StatusCode.UNKNOWN
