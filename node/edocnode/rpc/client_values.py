"""What the clients of a node share: how long a call may take, errors, names of values."""

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc

from edoccore.errors import NodeNotRunningError
from edoccore.wire.status import raise_for

CALL_TIMEOUT_S = 30.0

Json = dict[str, Any]  # as json.dumps takes it


@contextlib.contextmanager
def node_errors() -> Iterator[None]:
    """Raises what the node says, for a block of calls.

    Raises:
        EdocError: As the node says.
        NodeNotRunningError: It does not answer.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise raise_for(error, unreachable=NodeNotRunningError) from error


def enum_name(kind: Any, prefix: str, number: int) -> str:  # noqa: ANN401 - any generated enum
    """The name of an enum's number, lower case and without its prefix."""
    name: str = kind.Name(number)
    return name.removeprefix(f"{prefix}_").lower()
