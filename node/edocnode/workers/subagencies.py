"""Changes the list of this agency's sub-agencies, and has the registry publish it.

The newest list that this node sealed is what it wants to say; the directory is what peers know. As
long as the two differ the list is handed in again, for as many weeks as the registry is down. What
the registry refuses is taken back, so that one bad code does not keep the next change from peers.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from msgspec import UNSET

from edoccore.directory.subagencies import SubAgencyList, read_list
from edoccore.directory.view import Directory
from edoccore.directory_errors import SubagencyRefusedError
from edoccore.errors import EdocError, SealerStoppedError, StorageFailedError
from edoccore.signing import canonical
from edoccore.signing.seal import SALT_BYTES, SealedStatement
from edoccore.signing.statements import (
    MAX_LIST_BYTES,
    Effect,
    SubAgencies,
    SubAgency,
    time_text,
)
from edocnode.domain.ports import Alarms
from edocnode.domain.sealing import is_under
from edocnode.domain.subagencies import Done, Listed, Order, change, merged, statement
from edocnode.workers.sealer import Sealer

SUBAGENCIES = "subagencies"  # kind of the own statement
CHANGED = "admin.subagencies"  # kind of the effect
REFUSED = SubagencyRefusedError.reason  # kind of the alarm
MAX_DETAIL = 2000  # characters of an effect
LOOK_EVERY = timedelta(seconds=5)
RETRY = timedelta(seconds=30)  # after the registry did not answer

log = structlog.get_logger(__name__)


class ListStore(Alarms, Protocol):
    """What is kept of this node's own word."""

    async def own_statement(self, kind: str) -> SealedStatement | None:
        """The newest sealed statement of a kind."""

    async def add_effect(self, salt: bytes, data: bytes) -> int:
        """Keeps a local effect for the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubagencyParts:
    """What a desk works with.

    Attributes:
        publish: Hands a sealed list in; returns the version of the directory that has it.
        refresh: Fetches what the registry has that is newer.
        made: Told of each list before it leaves, so that it is known as this node's own.
    """

    network: str
    agency: str
    store: ListStore
    sealer: Sealer
    directory: Callable[[], Directory]
    publish: Callable[[SealedStatement], Awaitable[int]]
    refresh: Callable[[], Awaitable[bool]]
    made: Callable[[bytes], Awaitable[None]]
    clock: Callable[[], datetime]


class SubagencyDesk:
    """The list of one running node."""

    def __init__(self, parts: SubagencyParts) -> None:
        """Takes the parts; nothing happens before ``run``."""
        self._parts = parts
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def listed(self) -> Listed:
        """The list, and what of it peers do not know yet."""
        own, directory = await self._own(), self._directory_list()
        said = sorted((item for item in (own, directory) if item), key=lambda item: item.counter)
        entries = merged([item.entries for item in said])
        known = {entry.code: entry for entry in directory.entries} if directory else {}
        entry = self._parts.directory().identities.get(self._parts.agency)
        return Listed(
            entries,
            entry.spaces if entry else (),
            frozenset(item.code for item in entries if known.get(item.code) != item),
        )

    async def change(self, orders: Sequence[Order], actor: str) -> Done:
        """Carries orders out, all or none; see ``domain.subagencies.change``.

        Raises:
            SealerStoppedError: The list cannot be sealed now.
            EdocError: An order cannot be carried out; names its code.
        """
        parts, sealer = self._parts, self._parts.sealer
        async with self._turn:
            sealer.check_seal()
            if not sealer.is_sealing:
                raise SealerStoppedError(sealer.problem or None)
            own = await self._own()
            made = change(
                await self._entries(),
                orders,
                agency=parts.agency,
                directory=parts.directory(),
                now=parts.clock(),
            )
            if not made.codes:
                return Done((), parts.directory().mark.version if await self._stands() else 0)
            await self._note(orders, made.codes, actor)
            sealed = await self._seal(made.entries)
            try:
                version = await self._publish(sealed, own.entries if own else ())
            except SubagencyRefusedError:
                raise
            except EdocError as error:
                log.warning("subagencies.not_published", reason=error.reason, cause=error.message)
                version = 0
        self._changed.set()
        return Done(made.codes, version)

    async def run(self) -> None:
        """Hands in what the directory does not say, until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            self._changed.clear()
            pause = LOOK_EVERY
            try:
                async with self._turn:
                    await self._hand_in()
            except StorageFailedError:
                raise
            except EdocError as error:
                log.warning("subagencies.not_published", reason=error.reason, cause=error.message)
                pause = RETRY
            try:
                async with asyncio.timeout(pause.total_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _hand_in(self) -> None:
        if not self._parts.sealer.is_sealing or await self._stands():
            return
        own = await self._statement()
        before = self._directory_list()
        entries = await self._entries()
        if own is None or not self._is_current(own, entries):
            own = await self._seal(entries)
        try:
            await self._publish(own, before.entries if before else ())
        except SubagencyRefusedError as error:
            await self._parts.store.raise_alarm(
                REFUSED, self._parts.agency, error.message, self._parts.clock()
            )

    async def _stands(self) -> bool:
        """Whether the directory says what this node wants, under the seal in use."""
        listed = self._directory_list()
        if listed is None:
            own = await self._own()
            return own is None or not own.entries
        is_current = is_under(listed.sealed.seal, self._parts.sealer.certificate)
        return is_current and tuple(await self._entries()) == listed.entries

    def _is_current(self, own: SealedStatement, entries: Sequence[SubAgency]) -> bool:
        """Whether a list that was sealed here can be handed in as it is."""
        listed, said = self._directory_list(), read_list(own)
        return (
            is_under(own.seal, self._parts.sealer.certificate)
            and said.entries == tuple(entries)
            and (listed is None or said.counter > listed.counter)
        )

    async def _publish(self, sealed: SealedStatement, before: Sequence[SubAgency]) -> int:
        """Hands a list in; what the registry refuses gives way to what was said before."""
        parts = self._parts
        try:
            version = await parts.publish(sealed)
        except SubagencyRefusedError:
            await self._seal(before)
            raise
        await parts.refresh()
        await parts.store.clear_alarm(REFUSED, parts.agency)
        return version

    async def _seal(self, entries: Sequence[SubAgency]) -> SealedStatement:
        parts = self._parts
        own, listed = await self._own(), self._parts.directory().list_counters
        last = max(own.counter if own else 0, listed.get(parts.agency, 0))
        made = statement(
            parts.network,
            parts.agency,
            entries,
            last=last,
            now=parts.clock(),
        )
        data = canonical.encode(made, limit=MAX_LIST_BYTES)
        await parts.made(data)
        return await parts.sealer.seal_own(SUBAGENCIES, data)

    async def _entries(self) -> Sequence[SubAgency]:
        return (await self.listed()).entries

    async def _own(self) -> SubAgencies | None:
        found = await self._statement()
        return None if found is None else read_list(found)

    async def _statement(self) -> SealedStatement | None:
        return await self._parts.store.own_statement(SUBAGENCIES)

    def _directory_list(self) -> SubAgencyList | None:
        return self._parts.directory().lists.get(self._parts.agency)

    async def _note(self, orders: Sequence[Order], codes: Sequence[str], actor: str) -> None:
        parts, changed = self._parts, set(codes)
        done = [f"{item.kind} {item.code}" for item in orders if item.code in changed]
        effect = Effect(
            network=parts.network,
            agency=parts.agency,
            kind=CHANGED,
            subject=parts.agency,
            actor=actor,
            time=time_text(parts.clock()),
            detail=", ".join(done)[:MAX_DETAIL] or UNSET,
        )
        salt = secrets.token_bytes(SALT_BYTES)
        await parts.store.add_effect(salt, canonical.encode(effect))
