"""Keeps the log of published versions: appends, signs, takes cosignatures, answers.

A version is logged after it was published and before the next one is: whoever has the turn first
makes up for what an earlier turn was cut off from. A checkpoint is signed by the key that the
published directory lists, when that is here; nothing is signed that does not continue what was
signed before under the same key.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256

from edoccore.directory import layout
from edoccore.directory.layout import LogInfo, NetworkInfo
from edoccore.directory.transparency import (
    CLOCKS_DIFFER,
    LEAF_BYTES,
    MAX_LEAVES_SENT,
    Checkpoint,
    DirectoryLog,
    LogAnswer,
    checkpoint_text,
    cosignatures,
    grown,
    leaf_of,
    place_of,
    read_checkpoint,
    root_at,
    signed_checkpoint,
    witness_key,
)
from edoccore.directory_errors import LogBehindError, LogUnconfirmedError, NoteInvalidError
from edoccore.signing.merkle import EMPTY_ROOT, Frontier
from edoccore.signing.notes import Note, NoteSigner, is_signed_by, read_note, signature_of
from edoccore.signing.statements import DirectoryMark
from edocregistry.domain.ports import Records
from edocregistry.domain.publication import targets_in
from edocregistry.storage.folder import DataFolder
from edocregistry.storage.log_files import log_damaged


class LogBook:
    """The log of one registry."""

    def __init__(self, folder: DataFolder, network: str, clock: Callable[[], datetime]) -> None:
        """Takes the folder of a registry that was founded."""
        self._folder = folder
        self._network = network
        self._clock = clock
        self._known = Frontier()  # of leaves that lead to a checkpoint
        self.was_heard = False  # of an agency that holds no more than is here

    def wanted(self, records: Records) -> LogInfo | None:
        """What the directory is to say of the log; None: there is no key for one."""
        signers = self._folder.keys.log_signers(self._network)
        if not signers:
            return None
        return LogInfo(
            key=signers[0].key.text(),
            witnesses=tuple(records.witnesses()),
            threshold=records.witness_threshold(),
        )

    def listed(self) -> LogInfo | None:
        """What the published directory says of the log."""
        current = self._folder.directory.current()
        if not current:
            return None
        target = targets_in(current, layout.TARGETS).targets[layout.NETWORK_PATH]
        info = layout.read_target(target, NetworkInfo).log
        return info if isinstance(info, LogInfo) else None

    def catch_up(self) -> None:
        """Logs the published version, unless it is, and signs; the caller has the turn.

        Raises:
            LogBehindError, LogUnconfirmedError: As ``require_newest``.
            StorageDamagedError: The leaves do not lead to what was signed; nothing was written.
            DiskFullError, StorageFailedError: Not kept; the next turn makes up for it.
        """
        info = self.listed()
        if info is None:
            return
        self.require_newest()
        signed, frontier = self._checked()
        version, digest = self._folder.directory.mark()
        mark = DirectoryMark(version=version, hash=digest.hex())
        if place_of(self._folder.log.leaves(), mark) is None:
            leaf = leaf_of(mark)
            self._folder.log.append(leaf, frontier.size)
            frontier = grown(frontier, leaf)
        signer = self._signer(info)
        if signer is None:
            return
        text = checkpoint_text(signer.key.name, frontier.size, frontier.root())
        is_signed = signed is not None and is_signed_by(signed.note, signer.key)
        if signed is None or signed.note.text != text or not is_signed:
            if not is_signed:  # a new key: what was cosigned under the one before counts no more
                self._folder.log.put_witnessed(b"")
            if signed is None:
                self._folder.log.note_place()
            note = Note(text, (signer.sign(text),))
            self._folder.log.put_checkpoint(note.encode())
        if signer.key == self._folder.keys.log_signers(self._network)[0].key:
            self._folder.keys.settle_log_key()

    def answer(self, size: int, digest: bytes) -> LogAnswer:
        """What the log has besides what a caller has; see ``GetLog``."""
        log = self._folder.log
        asks = not log.is_in_place()
        checkpoint, witnessed = log.checkpoint(), log.witnessed()
        if not checkpoint or sha256(checkpoint + witnessed).digest() == digest:
            return LogAnswer(asks=asks)
        missing = read_checkpoint(checkpoint).size - size
        count = max(min(missing, MAX_LEAVES_SENT), 0)
        leaves = log.leaves(size, count) if count else b""
        return LogAnswer(checkpoint, witnessed, leaves, asks)

    def require_newest(self) -> None:
        """Accepts the log here as the newest there is, so that what follows it forks nothing.

        Raises:
            LogBehindError: A node showed more, signed by this log.
            LogUnconfirmedError: The folder was copied, or the machine started anew, and nodes have
                not had the time to show what they hold.
        """
        ahead = self.ahead()
        if ahead is not None:
            raise LogBehindError(
                f"Nodes hold {ahead.size} published versions under this registry's key, its data "
                f"folder has {len(self._folder.log.leaves()) // LEAF_BYTES} or others: it is an "
                "older copy, and publishes nothing.",
                hint="Run: edocregistry log recover",
            )
        if not self._folder.log.is_in_place():
            raise LogUnconfirmedError(
                "The data folder was copied here, or the machine was started anew. Nothing is "
                "published before nodes had the time to show whether they hold newer versions.",
                hint="Let edocregistry serve run for two minutes, then run this again. Only if "
                "this is certainly the newest folder: edocregistry log confirm --yes",
            )

    def ahead(self) -> Checkpoint | None:
        """The longest checkpoint that a node showed, if the leaves here do not lead to it."""
        data = self._folder.log.ahead()
        shown = read_checkpoint(data) if data else None
        return None if shown is None or self._has(shown) else shown

    def notice(self, data: bytes) -> int:
        """Looks at a checkpoint that a node holds, and remembers one that is not from here.

        Returns:
            Its size; 0: the leaves here lead to it.

        Raises:
            NoteInvalidError: This log did not sign it, whoever shows it.
        """
        info = self.listed()
        if info is None:
            raise NoteInvalidError("The directory has no log.")
        shown = signed_checkpoint(data, info)
        with self._folder.quiet():
            if self._has(shown):
                return 0
            known = self._folder.log.ahead()
            if not known or read_checkpoint(known).size < shown.size:
                self._folder.log.put_ahead(data)
        return shown.size

    def confirm(self) -> None:
        """Takes the log here for the newest, because nodes showed nothing newer in time.

        Raises:
            LogBehindError: One did.
        """
        with self._folder.quiet():
            if self.ahead() is None:
                self._folder.log.note_place()
            self.require_newest()

    def take_cosignature(self, data: bytes) -> str:
        """Adds witnesses' cosignatures to the newest checkpoint; of each the newest stays.

        Args:
            data: The checkpoint with one cosignature more; those of other witnesses may be in it.

        Returns:
            Codes of the agencies whose cosignature is in it.

        Raises:
            NoteInvalidError: It has none of a listed witness, is not the newest checkpoint, or is
                of a wrong clock.
        """
        note, info = read_note(data), self.listed()
        if info is None:
            raise NoteInvalidError("The directory has no log.")
        latest = (self._clock() + CLOCKS_DIFFER).timestamp()
        said = {code: time for code, time in cosignatures(note, info).items() if time <= latest}
        if not said:
            raise NoteInvalidError("The note has no cosignature of a listed witness from now.")
        with self._folder.quiet():
            newest = self._newest().note
            if newest.text != note.text:
                raise NoteInvalidError("The cosignature is not of the newest checkpoint.")
            self._merge(newest, note, said, info)
        return ", ".join(sorted(said))

    def held(self) -> DirectoryLog | None:
        """The whole log as a node has it; None: nothing was signed."""
        signed, info = self._folder.log.checkpoint(), self.listed()
        if not signed or info is None:
            return None
        size = read_checkpoint(signed).size
        leaves = self._folder.log.leaves(0, size)
        return DirectoryLog(
            info, leaves, grown(Frontier(), leaves), signed, self._folder.log.witnessed()
        )

    def put_back(self, log: DirectoryLog | None) -> None:
        """Takes the log of a node's mirror where it is longer; a new key signs from then on.

        So nothing that the old key signed and that is not here can ever be a fork.
        """
        self._known = Frontier()
        if log is not None and log.size > len(self._folder.log.leaves()) // LEAF_BYTES:
            self._folder.log.put_back(log.leaves, log.checkpoint, log.witnessed)
        self._folder.keys.end_log_key()
        self._folder.keys.make_log_key()
        self._folder.log.drop_ahead()
        self._folder.log.note_place()

    def _merge(self, newest: Note, note: Note, said: Mapping[str, int], info: LogInfo) -> None:
        """Serves the newest note with the cosignatures that are newer than those in it."""
        before, merged = cosignatures(newest, info), newest
        keys = {item.agency: witness_key(item) for item in info.witnesses}
        for agency, time in said.items():
            if time > before.get(agency, -1):
                merged = merged.with_signature(signature_of(note, keys[agency]))
        if merged == newest:
            return
        data = merged.encode()
        self._folder.log.put_checkpoint(data)
        if len(cosignatures(merged, info)) >= max(info.threshold, 1):
            self._folder.log.put_witnessed(data)

    def _newest(self) -> Checkpoint:
        data = self._folder.log.checkpoint()
        if not data:
            raise NoteInvalidError("The log has signed nothing yet.")
        return read_checkpoint(data)

    def _checked(self) -> tuple[Checkpoint | None, Frontier]:
        """The newest checkpoint, and the frontier of all leaves, which go on from it."""
        data = self._folder.log.checkpoint()
        signed = read_checkpoint(data) if data else None
        size, root = signed.head if signed else (0, EMPTY_ROOT)
        if self._known.size > size:
            self._known = Frontier()
        known = self._grown(self._known, size)
        if (known.size, known.root()) != (size, root):  # a command may have put others back
            known = self._grown(Frontier(), size)
        if (known.size, known.root()) != (size, root):
            raise log_damaged(self._folder.path / "log", "its leaves are not those it signed")
        self._known = known
        return signed, grown(known, self._folder.log.leaves(size))

    def _has(self, shown: Checkpoint) -> bool:
        """Whether the leaves here lead to a checkpoint."""
        leaves = self._folder.log.leaves(0, shown.size)
        if len(leaves) < shown.size * LEAF_BYTES:
            return False
        return root_at(leaves, shown.size) == shown.root

    def _grown(self, known: Frontier, size: int) -> Frontier:
        return grown(known, self._folder.log.leaves(known.size, size - known.size))

    def _signer(self, info: LogInfo) -> NoteSigner | None:
        """The listed key, when it is here."""
        signers = self._folder.keys.log_signers(self._network)
        return next((item for item in signers if item.key.text() == info.key), None)
