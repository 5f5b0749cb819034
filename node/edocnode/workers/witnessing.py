"""Cosigns the registry's log where the directory lists this node as a witness.

What was cosigned last is noted on disk before it is signed: whatever happens after that, a smaller
log or another one never gets this node's signature. A witness that does not know what it cosigned
says nothing any more under that key.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from edoccore.directory.transparency import (
    Cosigned,
    DirectoryLog,
    cosigns_now,
    read_checkpoint,
    require_continued,
    witness_key,
)
from edoccore.directory_errors import LogInvalidError, NoteInvalidError
from edoccore.errors import KeyUnusableError, StorageDamagedError
from edoccore.signing.notes import NoteSigner
from edocnode.domain import directory_log as rules
from edocnode.domain.directory_log import CosigningSource, WitnessStore
from edocnode.domain.ports import Alarms

log = structlog.get_logger(__name__)


class Witness:
    """One node's watch over the registry; without a key it does nothing."""

    def __init__(
        self, *, store: WitnessStore, alarms: Alarms, clock: Callable[[], datetime]
    ) -> None:
        """Joins the parts; the key is looked for at each turn, so it counts without a restart."""
        self._store = store
        self._alarms = alarms
        self._clock = clock
        self._turn = asyncio.Lock()

    async def look(self, source: CosigningSource, held: DirectoryLog | None) -> None:
        """Cosigns the log in hand, when it continues what was cosigned and has news.

        Args:
            source: The registry.
            held: The log in hand; its leaves lead to its checkpoint.

        Raises:
            RegistryUnreachableError: It does not answer; what was signed is sent at a later look.
            DiskFullError, StorageFailedError: Nothing was signed.
        """
        async with self._turn:
            try:
                signed = await asyncio.to_thread(self._cosigned, held)
            except (LogInvalidError, StorageDamagedError, KeyUnusableError) as error:
                log.error("log_not_cosigned", cause=error.message)
                now = self._clock()
                await self._alarms.raise_alarm(rules.WITNESS, rules.SUBJECT, error.message, now)
                return
            if signed is None:
                return
            await self._alarms.clear_alarm(rules.WITNESS, rules.SUBJECT)
            try:
                await source.cosign(signed)
            except NoteInvalidError as error:  # it was published anew meanwhile
                log.info("cosignature_not_taken", cause=error.message)

    def _cosigned(self, held: DirectoryLog | None) -> bytes | None:
        """The checkpoint with this node's cosignature; None: there is nothing to say."""
        signer = self._store.witness_signer()
        if held is None or not held.checkpoint or signer is None or not _lists(held, signer):
            return None
        now, before = self._clock(), self._store.cosigned(signer.key)
        require_continued(held, before)
        if not cosigns_now(held, signer.key, before, now):
            return None
        checkpoint, time = read_checkpoint(held.checkpoint), int(now.timestamp())
        cosigned = Cosigned(checkpoint.size, checkpoint.root, time)
        self._store.keep_cosigned(signer.key, cosigned)
        note = checkpoint.note
        return note.with_signature(signer.cosign(note.text, time)).encode()


def _lists(held: DirectoryLog, signer: NoteSigner) -> bool:
    return signer.key in [witness_key(item) for item in held.info.witnesses]
