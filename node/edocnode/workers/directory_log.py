"""Follows the log of published directories: takes what is new, finds forks, tells people.

Runs in the turns of the directory's keeper, over the connections that it opens, so a node that
finds nothing new asks one small question more. What does not hold changes nothing but an alarm.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from hashlib import sha256

import structlog

from edoccore.directory import layout, transparency
from edoccore.directory.bundle import encode_bundle, encode_log, keep_log, open_log
from edoccore.directory.layout import LogInfo
from edoccore.directory.log_fork import LogFork, prove_log_fork
from edoccore.directory.transparency import (
    LEAF_BYTES,
    MAX_LEAVES_SENT,
    Checkpoint,
    DirectoryLog,
    LogAnswer,
    LogState,
    Waiting,
    signed_checkpoint,
)
from edoccore.directory.view import Directory
from edoccore.directory_errors import LogInvalidError, NoteInvalidError, ProofInvalidError
from edoccore.errors import (
    DirectoryInvalidError,
    EdocError,
    RegistryUnreachableError,
    StorageDamagedError,
)
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import DirectoryMark
from edocnode.domain import directory_log as rules
from edocnode.domain.alarms import digest_of, proof_of
from edocnode.domain.directory import REGISTRY
from edocnode.domain.directory_log import CosigningSource, LogSource, LogStore
from edocnode.domain.ports import Alarms

WORD_HOLDS = timedelta(minutes=5)  # the registry takes one of 10
MARKS_REMEMBERED = 1000  # of peers, that were looked for in the log

log = structlog.get_logger(__name__)


class LogWatch:
    """Holds the log in hand; ``look`` compares it with what a source has."""

    def __init__(
        self,
        *,
        store: LogStore,
        alarms: Alarms,
        clock: Callable[[], datetime],
        word: Callable[[bytes], Awaitable[SealedStatement | None]],
    ) -> None:
        """Joins the parts; ``recall`` loads what earlier runs left.

        Args:
            word: This agency's sealed word that it shows a checkpoint; None: it cannot seal now.
        """
        self._word = word
        self._said: tuple[bytes, datetime, SealedStatement] | None = None  # the last word
        self._store = store
        self._alarms = alarms
        self._clock = clock
        self._log: DirectoryLog | None = None
        self._waiting = Waiting()
        self._forked = set[str]()  # keys of logs that are proven to be two
        self._strange: dict[DirectoryMark, bool] = {}
        self._turn = asyncio.Lock()
        self._registry_lags = False
        self._registry_asks = False

    @property
    def current(self) -> DirectoryLog | None:
        """The log in hand; None: there is none."""
        return self._log

    async def give_back(self, source: CosigningSource, directory: Directory) -> None:
        """Shows a registry what it has forgotten, and gives it back when it asks for that.

        Args:
            source: The registry, at which was looked before.
            directory: In force.

        Raises:
            RegistryUnreachableError: It does not answer.
        """
        held = self._log
        if held is None or not held.checkpoint:
            return
        if not (self._registry_lags or self._registry_asks):
            return
        try:
            word = await self._word_on(held.checkpoint)
            wanted = await source.show(held.checkpoint, word)
            if wanted and held.place_of(directory.mark) is not None:
                kept = encode_log(keep_log(held, Waiting()))
                await source.give_back(encode_bundle(directory.files), kept, word)
                log.warning("log_given_back", size=held.size)
        except RegistryUnreachableError:
            raise
        except EdocError as error:  # another node gives, or it says something else: told there
            log.info("log_not_given_back", reason=error.reason, cause=error.message)

    async def _word_on(self, checkpoint: bytes) -> SealedStatement | None:
        """This agency's word; sealed anew at times, however often a registry asks."""
        now = self._clock()
        if self._said is not None:
            said, at, word = self._said
            if said == checkpoint and abs(now - at) < WORD_HOLDS:
                return word
        made = await self._word(checkpoint)
        self._said = None if made is None else (checkpoint, now, made)
        return made

    def answer(self, size: int, digest: bytes) -> LogAnswer:
        """What is in hand besides what a peer has; see ``GetLog``."""
        held = self._log
        if held is None or not held.checkpoint or held.digest == digest:
            return LogAnswer()
        end = (size + MAX_LEAVES_SENT) * LEAF_BYTES
        leaves = held.leaves[size * LEAF_BYTES : end]
        return LogAnswer(held.checkpoint, held.witnessed, leaves)

    def state(self, directory: Directory) -> LogState | None:
        """What the log is worth for a directory now; None: there is none in hand."""
        if self._log is None:
            return None
        return transparency.judge_log(self._log, directory.mark, self._clock())

    def is_strange(self, mark: DirectoryMark) -> bool:
        """Whether a peer's directory should be in the log and is not; quick when asked again."""
        held = self._log
        if held is None or not held.leaves:
            return False
        if mark.version > transparency.mark_in(held.leaves[-LEAF_BYTES:]).version:
            return False
        known = self._strange.get(mark)
        if known is None:
            if len(self._strange) >= MARKS_REMEMBERED:
                self._strange.clear()
            known = self._strange[mark] = held.place_of(mark) is None
        return known

    async def recall(self) -> None:
        """Loads the log of the last run and raises the alarms that last."""
        for fork in await asyncio.to_thread(self._store.forks):
            await self._tell_forked(fork)
        try:
            kept = await asyncio.to_thread(self._store.kept_log)
            if kept is not None:
                self._waiting = kept.waiting
                self._put(await asyncio.to_thread(open_log, kept))
        except (StorageDamagedError, DirectoryInvalidError) as error:
            log.error("log_lost", cause=error.message)  # it is fetched again, from its beginning

    async def look(self, source: LogSource, directory: Directory, *, peer: str = "") -> None:
        """Takes what a source has besides, and tells people what is wrong.

        Args:
            directory: In force.
            peer: Whose node the source is; empty: the registry. A peer may have another directory,
                so what it offers raises no alarm, unless it proves something.

        Raises:
            RegistryUnreachableError, PeerUnreachableError: It does not answer.
            DiskFullError, StorageFailedError: What is new could not be kept.
        """
        async with self._turn:
            info = directory.info.log
            await self._follow_policy(info if isinstance(info, LogInfo) else None)
            if isinstance(info, LogInfo):
                await self._take_from(source, directory, info, peer)
                await self._tell_missing(directory, info)

    async def _take_from(
        self, source: LogSource, directory: Directory, info: LogInfo, peer: str
    ) -> None:
        if info.key in self._forked:  # what was seen first stays; nothing more can be believed
            return
        try:
            is_older = await self._take(source, directory, info, peer)
        except (LogInvalidError, NoteInvalidError) as error:
            log.error("log_refused", source=peer or REGISTRY, cause=error.message)
            if not peer:
                now = self._clock()
                await self._alarms.raise_alarm(rules.INVALID, REGISTRY, error.message, now)
        else:
            if not peer:
                self._registry_lags = is_older
                await self._alarms.clear_alarm(rules.INVALID, REGISTRY)

    async def _take(
        self, source: LogSource, directory: Directory, info: LogInfo, peer: str
    ) -> bool:
        """Takes what is new; returns whether the source has less than is in hand."""
        held = self._log
        size, digest = (0, b"") if held is None else (held.size, held.digest)
        answer = await source.log(size, digest)
        if not peer:
            self._registry_asks = answer.asks
        if not answer.checkpoint:
            return False
        answer = await _whole(source, answer, info, size)
        checkpoint = signed_checkpoint(answer.checkpoint, info)
        if held is None:
            await self._keep(await asyncio.to_thread(transparency.begin, info, answer))
        elif checkpoint.size >= held.size and await self._goes_on(held, answer):
            return False
        elif held.checkpoint and await _is_beginning(held, checkpoint):
            log.info("log_older", size=checkpoint.size, held=held.size)
            return True
        else:
            await self._diverged(source, directory, held, checkpoint)
        return False

    async def _goes_on(self, held: DirectoryLog, answer: LogAnswer) -> bool:
        """Whether it continues the one in hand; if so, it is kept."""
        try:
            taken = await asyncio.to_thread(transparency.take, held, answer)
        except LogInvalidError:
            return False
        await self._keep(taken)
        return True

    async def _diverged(
        self, source: LogSource, directory: Directory, held: DirectoryLog, first: Checkpoint
    ) -> None:
        """Looks at a log that does not go on from the one in hand: all of it, from its beginning.

        Raises:
            LogInvalidError: It does not even lead to what it signed.
        """
        answer = await _whole(source, await source.log(0, b""), held.info, 0)
        theirs = await asyncio.to_thread(transparency.begin, held.info, answer)
        if not held.checkpoint:  # another key signs than before
            await self._replace(held, theirs)
            return
        if theirs.size >= held.size and theirs.root_at(held.size) == held.frontier.root():
            raise LogInvalidError(
                f"The log says of its {first.size} versions one thing and another."
            )
        targets = layout.file_name(layout.TARGETS, directory.versions[layout.TARGETS])
        longer = max(held, theirs, key=lambda item: item.size)
        try:
            fork = await asyncio.to_thread(
                prove_log_fork,
                directory.chain,
                directory.files[targets],
                (held.checkpoint, theirs.checkpoint),
                longer.leaves,
            )
        except ProofInvalidError as error:
            raise LogInvalidError(error.message) from error
        await asyncio.to_thread(self._store.keep_fork, fork)
        await self._tell_forked(fork)

    async def _replace(self, held: DirectoryLog, theirs: DirectoryLog) -> None:
        await self._keep(theirs)
        log.error("log_replaced", size=theirs.size, before=held.size)
        message = rules.replaced(held, theirs)
        subject = f"{rules.SUBJECT} {held.size}"
        proof = f"{held.frontier.root().hex()} {theirs.frontier.root().hex()}"
        await self._alarms.raise_alarm(rules.REPLACED, subject, message, self._clock(), proof)

    async def _follow_policy(self, info: LogInfo | None) -> None:
        held = self._log
        if held is None or held.info == info:
            return
        why = transparency.weakened(held.info, info)
        if why:
            log.error("log_weakened", why=why)
            subject = sha256(repr((held.info, info)).encode()).hexdigest()[:16]
            message = rules.weaker(why)
            # With the log of that moment: weakened in the same way once more, it is another one.
            proof = digest_of(held.info, info, held.size, held.frontier.root())
            await self._alarms.raise_alarm(rules.WEAKENED, subject, message, self._clock(), proof)
        if info is not None:
            if info.key != held.info.key:  # what the old key signed stays as evidence
                await asyncio.to_thread(self._store.set_log_aside, held)
            await self._keep(transparency.under(held, info))

    async def _tell_missing(self, directory: Directory, info: LogInfo) -> None:
        now, state = self._clock(), self.state(directory)
        before, self._waiting = self._waiting, transparency.waiting_after(self._waiting, state, now)
        if self._log is not None and before != self._waiting:
            await self._keep(self._log)
        why = transparency.overdue(info, state, self._waiting, now)
        if why:
            message = rules.missing(why)
            await self._alarms.raise_alarm(rules.MISSING, rules.SUBJECT, message, now)
        else:
            await self._alarms.clear_alarm(rules.MISSING, rules.SUBJECT)

    async def _tell_forked(self, fork: LogFork) -> None:
        self._forked.add(fork.key)
        log.error("log_forked", sizes=fork.sizes, roots=fork.roots)
        subject = f"{rules.SUBJECT} {fork.roots[1][:16]}"
        message = rules.forked(fork)
        proof = proof_of(*fork.roots)
        await self._alarms.raise_alarm(rules.FORKED, subject, message, self._clock(), proof)

    async def _keep(self, taken: DirectoryLog) -> None:
        await asyncio.to_thread(self._store.keep_log, keep_log(taken, self._waiting))
        self._put(taken)

    def _put(self, taken: DirectoryLog) -> None:
        self._log = taken
        self._strange.clear()


async def _whole(source: LogSource, answer: LogAnswer, info: LogInfo, size: int) -> LogAnswer:
    """The answer with all leaves up to its checkpoint; each question brings some.

    Raises:
        LogInvalidError: The source has fewer than it signed.
        NoteInvalidError: The checkpoint is not signed by the log.
    """
    wanted = signed_checkpoint(answer.checkpoint, info).size - size
    leaves = answer.leaves
    while len(leaves) < wanted * LEAF_BYTES:
        more = (await source.log(size + len(leaves) // LEAF_BYTES, b"")).leaves
        if not more:
            raise LogInvalidError("The log has fewer versions than its checkpoint says.")
        leaves += more
    return LogAnswer(answer.checkpoint, answer.witnessed, leaves[: max(wanted, 0) * LEAF_BYTES])


async def _is_beginning(held: DirectoryLog, checkpoint: Checkpoint) -> bool:
    if checkpoint.size > held.size:
        return False
    return await asyncio.to_thread(held.root_at, checkpoint.size) == checkpoint.root
