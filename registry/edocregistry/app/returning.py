"""What nodes give back to a registry whose data folder is an older copy, and how it is taken over.

A checkpoint that its own key signed and that its leaves do not lead to is the proof that it forgot
something; who brings it does not matter. What is given back proves itself likewise: directory and
log are verified from the registry's own roots before they are kept, and again when an officer
takes them over. Nothing else that a node says is believed.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import structlog

from edoccore.directory.bundle import LOG_NAME, decode_bundle
from edoccore.directory.transparency import DirectoryLog
from edoccore.directory.view import Directory
from edoccore.directory_errors import LogInvalidError
from edoccore.errors import (
    DataFolderError,
    EdocError,
    RequestInvalidError,
    StorageDamagedError,
    StorageFailedError,
)
from edoccore.signing.seal import SealedStatement
from edockit import files
from edocregistry.app.log_book import LogBook
from edocregistry.app.mirrors import BUNDLE_NAME, Mirror, read_mirror, verify_mirror
from edocregistry.app.rebuilding import catch_up
from edocregistry.app.registry import DONE, Registry
from edocregistry.domain.model import AuditEntry
from edocregistry.domain.own_word import agency_of_holder
from edocregistry.storage.folder import DataFolder

_log = structlog.get_logger(__name__)

GIVER = "what a node gave back"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What ``recover`` took over.

    Attributes:
        before: Version of the directory that the older copy had.
        version: That is published now.
        logged: Versions in the log that came back.
    """

    before: int
    version: int
    logged: int


class Returned:
    """Takes what nodes show and give back; of several the longest log stays."""

    def __init__(
        self,
        folder: DataFolder,
        log: LogBook,
        *,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
    ) -> None:
        """Takes the folder of a registry that was founded, and its log.

        Args:
            directory: The one in hand; says whose seals count.
            clock: Now.
        """
        self._folder = folder
        self._log = log
        self._directory = directory
        self._clock = clock
        self._verifying = threading.Lock()  # one at a time: it takes some memory

    def agency_of(self, holder: SealedStatement, checkpoint: bytes = b"") -> str:
        """The agency that proves that it calls; empty: its word does not hold, which is logged.

        An older copy may not know the newest seal of an agency, which then counts as a stranger.

        Args:
            holder: Its word.
            checkpoint: That it shows with it; empty: none.
        """
        try:
            word = agency_of_holder(holder, self._directory(), self._clock())
        except (StorageFailedError, StorageDamagedError):
            raise
        except EdocError as error:
            _log.warning("holder_refused", reason=error.reason, message=error.message)
            return ""
        if checkpoint and word.checkpoint != sha256(checkpoint).hexdigest():
            _log.warning("holder_refused", agency=word.agency, message="of another checkpoint")
            return ""
        return word.agency

    def show(self, checkpoint: bytes, holder: SealedStatement | None = None) -> bool:
        """Looks at the newest checkpoint that a node holds.

        One with more versions counts whoever brings it. That nobody has more is believed when an
        agency shows what it holds, never because a stranger asked.

        Args:
            checkpoint: The signed note.
            holder: Who shows it; None: a stranger.

        Returns:
            Whether the node's directory and log are wanted.

        Raises:
            NoteInvalidError: This log did not sign it.
        """
        size = self._log.notice(checkpoint)
        if not size and holder is not None and self.agency_of(holder, checkpoint):
            self._log.was_heard = True
        return size > self._size()

    def check_wanted(self) -> None:
        """Looks whether anything is to be given back.

        Raises:
            RequestInvalidError: Nothing is.
        """
        ahead = self._log.ahead()
        if ahead is None or self._size() >= ahead.size:
            raise RequestInvalidError("Nothing is to be given back.")

    def keep(self, bundle: bytes, log: bytes) -> None:
        """Keeps what a node gives back, once it is verified.

        Args:
            bundle: The files of the directory, as a node keeps them.
            log: The log, likewise.

        Raises:
            RequestInvalidError: Nothing is wanted any more, or no more than is here.
            DirectoryInvalidError, StorageDamagedError: It does not verify.
            DiskFullError, StorageFailedError: It could not be kept.
        """
        with self._verifying:
            self.check_wanted()
            mirror = verify_mirror(decode_bundle(bundle), _roots(self._folder), log, source=GIVER)
            if _newest_log(mirror).size <= self._size():
                raise RequestInvalidError("As much was given back already.")
            files.make_private_folder(self._folder.returned)
            files.write_file_atomic(self._folder.returned / BUNDLE_NAME, bundle)
            files.write_file_atomic(self._folder.returned / LOG_NAME, log)

    def _size(self) -> int:
        """How many versions were given back so far."""
        if not (self._folder.returned / LOG_NAME).exists():
            return 0
        found = read_mirror(self._folder.returned, _roots(self._folder))
        return 0 if found.log is None else found.log.size


def recover(
    registry: Registry, mirror: Path | None, *, actor: str, clock: Callable[[], datetime]
) -> Recovered:
    """Brings a registry whose folder is an older copy to what a node holds, and publishes.

    The log goes on after what the node has, under a new key: whoever holds still more has a proof
    against nobody.

    Args:
        registry: On the older copy.
        mirror: Of a node; None: what one gave back.
        actor: Who does it, for the audit.
        clock: Now.

    Raises:
        DataFolderError: Nothing was given back yet.
        LogInvalidError: The mirror has not the newest directory that its log names, or no log.
        DirectoryInvalidError: It does not verify, or is older than what is here.
        KeyUnusableError: The officers replaced keys since the copy was made.
    """
    folder, now = registry.folder, clock()
    found = read_mirror(_source(folder, mirror), _roots(folder))
    log, before = _newest_log(found), folder.directory.mark()[0]
    if found.directory.mark.version <= before:
        raise LogInvalidError(
            f"The mirror has directory version {found.directory.mark.version}, which is not newer "
            f"than version {before} here.",
            hint="Take the mirror of another node: edocregistry log recover --mirror PATH",
        )
    catch_up(registry, found.directory, actor=actor, now=now)
    registry.publisher.log.put_back(log)
    with folder.turn() as turn:
        entry = AuditEntry(now, actor, f"log recover {log.size}", DONE)
        turn.write(lambda records: records.add_audit(entry))
        version = registry.publisher.publish(turn, renew=True).version
    for name in (BUNDLE_NAME, LOG_NAME):
        (folder.returned / name).unlink(missing_ok=True)
    return Recovered(before, version, log.size)


def _source(folder: DataFolder, mirror: Path | None) -> Path:
    if mirror is not None:
        return mirror
    if not (folder.returned / LOG_NAME).exists():
        raise DataFolderError(
            "No node has given back anything yet.",
            hint="Let edocregistry serve run for two minutes, or copy the folder directory of a "
            "node: edocregistry log recover --mirror PATH",
            path=str(folder.returned),
        )
    return folder.returned


def _newest_log(mirror: Mirror) -> DirectoryLog:
    """The log of a mirror whose directory is the last version in it."""
    log = mirror.log
    if log is None or log.place_of(mirror.directory.mark) != log.size - 1:
        raise LogInvalidError(
            "The mirror has no log of this registry that ends with its directory.",
            hint="Take the mirror of another node: edocregistry log recover --mirror PATH",
        )
    return log


def _roots(folder: DataFolder) -> set[str]:
    return {sha256(data).hexdigest() for data in folder.directory.roots().values()}
