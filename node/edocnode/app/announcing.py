"""Has the registry list where this node is reached, again whenever the directory says otherwise.

A directory may say otherwise because the node moved, because the registry was restored, or because
another copy of the node listed itself: then this one is silent until it takes over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from edoccore.directory.layout import to_base64
from edoccore.errors import EdocError, StorageFailedError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Endpoint, Seal, uuid_bytes
from edocnode.app.parts import (
    SealingContext,
    SealingParts,
    published_key,
    seal_endpoint,
)
from edocnode.domain.sealing import is_under
from edocnode.rpc.joining import publish_endpoint
from edocnode.workers.sealer import SealerState

LOOK_EVERY = timedelta(seconds=5)
RETRY = timedelta(seconds=30)  # after the registry did not answer

log = structlog.get_logger(__name__)


async def announce(
    context: SealingContext,
    parts: SealingParts,
    address: str,
    *,
    refresh: Callable[[], Awaitable[bool]],
) -> None:
    """Watches over the own entry until cancelled.

    Args:
        address: host:port for peers.
        refresh: Fetches what the registry has that is newer.

    Raises:
        StorageFailedError: The disk failed; the node must stop.
    """
    last: SealedStatement | None = None
    while True:
        pause = LOOK_EVERY
        if _may_speak(context, parts) and not (last and _stands(context, parts, last)):
            last = await seal_endpoint(context, parts, address)
            if not _is_listed(context, last):
                pause = await _publish(context, last, refresh)
        await asyncio.sleep(pause.total_seconds())


async def _publish(
    context: SealingContext, sealed: SealedStatement, refresh: Callable[[], Awaitable[bool]]
) -> timedelta:
    """Sends the statement to the registry. Returns how long to wait before looking again."""
    try:
        await publish_endpoint(context.directory(), sealed, now=context.clock())
        await refresh()
    except StorageFailedError:
        raise
    except EdocError as error:
        log.warning("endpoint.not_published", reason=error.reason, message=error.message)
        return RETRY
    return LOOK_EVERY


def _may_speak(context: SealingContext, parts: SealingParts) -> bool:
    """Whether this node seals, and no later start of it has listed itself."""
    if parts.sealer.state is not SealerState.SEALING:
        return False
    listed = context.directory().endpoint(context.identity.agency, context.clock())
    if listed is None:
        return True
    seal = canonical.decode(listed.sealed.seal.data, Seal)
    return uuid_bytes(seal.epoch) <= parts.sealer.epoch


def _stands(context: SealingContext, parts: SealingParts, sealed: SealedStatement) -> bool:
    """Whether the directory has the statement, it still says what is so, and under which seal."""
    if not is_under(sealed.seal, parts.sealer.certificate):
        return False
    statement = canonical.decode(sealed.statement, Endpoint)
    certificates = tuple(map(to_base64, context.tls.certificates))
    says = (statement.certificates, statement.encryption)
    return says == (certificates, published_key(context)) and _is_listed(context, sealed)


def _is_listed(context: SealingContext, sealed: SealedStatement) -> bool:
    listed = context.directory().endpoint(context.identity.agency, context.clock())
    return listed is not None and listed.sealed.statement == sealed.statement
