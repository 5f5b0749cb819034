"""Ends a stopped node for good, step by step; what broke off is run again and goes on.

1. The registry is asked for its newest directory, and what is open is judged. Until here nothing
   has changed, so a registry that is down, or work that is open, leaves a node that can start.
2. The mark is put into the folder: from now on the node starts no more, and nothing comes to it.
3. The journal's last seal: the entry that says who retired the node, and under the same signature
   the agency's word that its keys end. Nothing can follow it under these keys.
4. The registry takes the word and publishes it; all peers refuse the keys from then on.
5. The mark says that all is done, with the head of the journal.

A kill between two steps is made good by the same command: each looks first at what is there. Before
the third step it can be taken back: nothing has left the machine.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec import structs

from edoccore.directory.view import Directory
from edoccore.errors import EpochSupersededError, SealerStoppedError
from edoccore.moving_errors import NodeRetiredError, WorkOpenError
from edoccore.signing import canonical
from edoccore.signing.seal import SALT_BYTES, SealedStatement
from edoccore.signing.statements import KeyEnd, time_text, uuid_text
from edockit.files import lock_folder
from edocnode.app.ground import Ground
from edocnode.app.keys import KEY_END, end_word, own_effect
from edocnode.app.moving import check_not_moved
from edocnode.app.node import ground_of
from edocnode.app.parts import open_resting, seal_own, started
from edocnode.app.retired import Mark, RetiredFile, retired_error
from edocnode.domain.retiring import RETIRED, OpenItem, may_end, open_items
from edocnode.rpc.own_word import end_keys
from edocnode.settings import NodeSettings
from edocnode.storage.folder import DataFolder
from edocnode.storage.retiring import SqlOpenWork

NODE_RETIRED = "admin.retired"  # kind of the effect
RETIREMENT_CANCELLED = "admin.retire_cancelled"  # the same, of taking it back
SEAL_WITHIN = timedelta(seconds=30)
_PROBE = b"edocnode retire\n"


@dataclass(frozen=True, slots=True)
class Retirement:
    """How far it is.

    Attributes:
        mark: None: nothing was begun.
        items: What was open when it was looked at; empty once it has begun.
        waits_for_officers: The registry has the word, and officers must sign what it publishes.
        cancelled: It was taken back now; False: nothing had been begun; None: nobody asked for it.
    """

    agency: str
    mark: Mark | None
    items: Sequence[OpenItem] = ()
    waits_for_officers: bool = False
    cancelled: bool | None = None


async def look(
    folder: DataFolder, settings: NodeSettings, *, clock: Callable[[], datetime]
) -> Retirement:
    """Says what is open on a stopped node; changes nothing and asks nobody.

    Raises:
        FolderInUseError: The node runs.
        DataFolderError, NodeMovedError: There is no node, or it is elsewhere.
    """
    agency = folder.identity().agency
    with lock_folder(folder.path):
        check_not_moved(folder)
        if (mark := RetiredFile(folder).read()) is not None:
            return Retirement(agency, mark)
        async with _resting(folder, settings, clock) as ground:
            return Retirement(agency, None, await _open_items(ground))


async def retire(
    folder: DataFolder, settings: NodeSettings, *, actor: str, clock: Callable[[], datetime]
) -> Retirement:
    """Ends a stopped node for good, or goes on with what was begun; repeating it does nothing.

    Raises:
        FolderInUseError: The node runs.
        DataFolderError, NodeMovedError: There is no node, or it is elsewhere.
        WorkOpenError: Something that was acknowledged would be lost; nothing has changed.
        RegistryUnreachableError: Before it was begun nothing has changed, after that it goes on
            when this is repeated.
        SealerStoppedError: The seal cannot be used, or another copy of the node runs.
    """
    agency, file = folder.identity().agency, RetiredFile(folder)
    with lock_folder(folder.path):
        check_not_moved(folder)
        mark = file.read()
        if mark is not None and mark.retired_at:
            return Retirement(agency, mark)
        async with _resting(folder, settings, clock) as ground:
            await ground.keeper.recall()
            await ground.keeper.refresh()
            if mark is None:
                mark = await _begin(ground, file, actor)
            if not await _keys_ended(ground, mark):
                return Retirement(agency, mark, waits_for_officers=True)
            mark = await _finish(ground, file, mark)
    return Retirement(agency, mark)


async def cancel(
    folder: DataFolder, settings: NodeSettings, *, actor: str, clock: Callable[[], datetime]
) -> Retirement:
    """Takes a retirement back that has sealed nothing yet; the node may start again.

    Without a mark, so after a repetition too, nothing happens. The journal says who did it.

    Raises:
        FolderInUseError: The node runs.
        DataFolderError, NodeMovedError: There is no node, or it is elsewhere.
        NodeRetiredError: It is retired, or the word that its keys end is sealed: the registry may
            have it, and peers may refuse the keys already.
    """
    agency, file = folder.identity().agency, RetiredFile(folder)
    with lock_folder(folder.path):
        check_not_moved(folder)
        if (mark := file.read()) is None:
            return Retirement(agency, None, cancelled=False)
        if mark.retired_at:
            raise retired_error(folder, mark)
        async with _resting(folder, settings, clock) as ground:
            sealed = await ground.sealing.store.own_statement(KEY_END)
            if sealed is not None and is_last_word(sealed):
                raise past_return_error(folder, sealed)
            await _note_cancelled(ground, mark, actor)
        await asyncio.to_thread(file.remove)
    return Retirement(agency, None, cancelled=True)


def is_last_word(sealed: SealedStatement) -> bool:
    """Whether a sealed word about the own keys is that of a retirement."""
    return canonical.decode(sealed.statement, KeyEnd).reason == RETIRED


def past_return_error(folder: DataFolder, sealed: SealedStatement) -> NodeRetiredError:
    """Why a retirement cannot be taken back any more."""
    said = canonical.decode(sealed.statement, KeyEnd)
    return NodeRetiredError(
        f"The retirement of {said.agency} cannot be taken back: its last word is sealed, that its "
        f"keys end.",
        hint="Finish it: edocnode retire --yes",
        path=str(folder.path),
    )


async def _note_cancelled(ground: Ground, mark: Mark, actor: str) -> None:
    """Enters into the journal who took it back, and drops what no seal covers of the other."""
    salt = bytes.fromhex(mark.salt)
    effect = own_effect(
        ground.identity,
        RETIREMENT_CANCELLED,
        actor=actor,
        now=ground.clock(),
        detail=f"begun at {mark.begun_at} by {mark.actor}",
    )
    by = sha256(b"cancel" + salt).digest()[:SALT_BYTES]
    work = SqlOpenWork(ground.sealing.database)
    await work.take_back(salt, by, canonical.encode(effect))


@asynccontextmanager
async def _resting(
    folder: DataFolder, settings: NodeSettings, clock: Callable[[], datetime]
) -> AsyncIterator[Ground]:
    identity = folder.identity()
    async with ground_of(settings, folder, identity, clock, opened=open_resting) as ground:
        yield ground


async def _open_items(ground: Ground) -> Sequence[OpenItem]:
    work = await SqlOpenWork(ground.sealing.database).count()
    return open_items(work, ground.directory(), ground.identity.agency, ground.clock())


async def _begin(ground: Ground, file: RetiredFile, actor: str) -> Mark:
    items = await _open_items(ground)
    if not may_end(items):
        kinds = [item for item in items if item.stops]
        raise WorkOpenError(
            f"{ground.identity.agency} cannot be retired yet: {kinds[0].message}",
            hint="See all that is open: edocnode retire",
            kinds=str(len(kinds)),
        )
    if listed_keys(ground.directory(), ground.identity.agency, ground.clock()):
        await _check_seal(ground)
    salt = secrets.token_bytes(SALT_BYTES)
    mark = Mark(begun_at=time_text(ground.clock()), actor=actor, salt=salt.hex())
    await asyncio.to_thread(file.write, mark)
    return mark


async def _check_seal(ground: Ground) -> None:
    """Whether this node can seal its last word, before there is no way back."""
    for alarm in await ground.sealing.store.alarms():
        if alarm.kind == EpochSupersededError.reason:
            raise SealerStoppedError(alarm.message)
    ground.sealing.sealer.check_seal()
    await asyncio.to_thread(ground.sealing.sealer.signer.sign, _PROBE)


def listed_keys(directory: Directory, agency: str, now: datetime) -> list[str]:
    """SHA-256 of the seal and TLS certificates of an agency that the directory still has."""
    seals = [listed.digests[0] for listed in directory.seals.current(agency, now)]
    endpoint = directory.endpoints.get(agency)
    tls = [] if endpoint is None else directory.usable_pins(endpoint, now)
    return [*seals, *(pin.sha256 for pin in tls)]


async def _keys_ended(ground: Ground, mark: Mark) -> bool:
    """Has the registry end the keys; False: officers must sign first."""
    agency, clock = ground.identity.agency, ground.clock
    listed = listed_keys(ground.directory(), agency, clock())
    if not listed:
        return True
    word = await _last_word(ground, mark, listed)
    await end_keys(ground.directory(), word, now=clock())
    await ground.keeper.refresh()
    return not listed_keys(ground.directory(), agency, clock())


async def _last_word(ground: Ground, mark: Mark, certificates: Sequence[str]) -> SealedStatement:
    """The sealed word that the keys end: the one in hand if there is one, else under a new seal."""
    sealed = await ground.sealing.store.own_statement(KEY_END)
    if sealed is not None:
        said = canonical.decode(sealed.statement, KeyEnd)
        if said.reason == RETIRED and set(certificates) <= set(said.certificates):
            return sealed
    await _add_effect(ground, mark)
    now = ground.clock()
    word = end_word(ground.identity, certificates, reason=RETIRED, now=now)
    async with started(ground.sealing) as parts:
        try:
            async with asyncio.timeout(SEAL_WITHIN.total_seconds()):
                return await seal_own(parts, KEY_END, canonical.encode(word))
        except TimeoutError as error:
            raise SealerStoppedError(parts.sealer.problem or None) from error


async def _add_effect(ground: Ground, mark: Mark) -> None:
    """Enters who retires the node into the journal, once; the next seal covers it."""
    salt = bytes.fromhex(mark.salt)
    if await SqlOpenWork(ground.sealing.database).has_effect(salt):
        return
    now = ground.clock()
    effect = own_effect(
        ground.identity, NODE_RETIRED, actor=mark.actor, now=now, detail="the node ends for good"
    )
    await ground.sealing.store.add_effect(salt, canonical.encode(effect))


async def _finish(ground: Ground, file: RetiredFile, mark: Mark) -> Mark:
    head = await ground.sealing.store.last_head(ground.identity.agency)
    done = structs.replace(
        mark,
        retired_at=time_text(ground.clock()),
        epoch=uuid_text(head.epoch) if head is not None else "",
        size=head.size if head is not None else 0,
        root=head.root.hex() if head is not None else "",
        version=ground.directory().mark.version,
    )
    await asyncio.to_thread(file.write, done)
    return done
