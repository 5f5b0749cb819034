"""The mark of a node that ends for good, in its folder.

It is written before anything is ended, so that whatever breaks afterwards the node starts no more;
and again when all is done. What lies in the folder stays readable.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from edoccore.errors import StorageDamagedError
from edoccore.moving_errors import NodeRetiredError
from edoccore.signing.readers import reader_of
from edockit.files import disk_errors, fsync_folder, write_file_atomic
from edocnode.storage.folder import RETIRED_FILE, DataFolder


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a retirement is.

    Attributes:
        begun_at: RFC 3339; from then on the node starts no more.
        actor: Who decided it.
        salt: Of its entry in the journal, lower hex.
        retired_at: RFC 3339; empty until its keys have ended.
        epoch: Of the journal's last seal; empty until then, as ``size`` and ``root`` are.
        size: How many seals that epoch has.
        root: RFC 6962 root over them, lower hex.
        version: Of the directory in which no key of it stands.
    """

    begun_at: str
    actor: str
    salt: str
    retired_at: str = ""
    epoch: str = ""
    size: int = 0
    root: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class RetiredFile:
    """The mark on the disk."""

    folder: DataFolder

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder.path / RETIRED_FILE

    def read(self) -> Mark | None:
        """The mark; None: the node goes on.

        Raises:
            StorageDamagedError: The file is damaged; the node starts no more all the same.
        """
        if not self.path.exists():
            return None
        try:
            return reader_of(Mark).decode(self.path.read_bytes())
        except msgspec.DecodeError as error:
            raise StorageDamagedError(
                f"The file {self.path} is damaged.",
                hint="Restore it from a backup.",
                path=str(self.path),
            ) from error

    def write(self, mark: Mark) -> None:
        """Puts the mark there, durably.

        Raises:
            DiskFullError, StorageFailedError: Nothing changed.
        """
        data = msgspec.json.format(msgspec.json.encode(mark), indent=2)
        write_file_atomic(self.path, data + b"\n")

    def remove(self) -> None:
        """Takes the mark away, durably: the node may start again.

        Raises:
            StorageFailedError: It may be there still.
        """
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)
            fsync_folder(self.path.parent)


def is_retired(folder: DataFolder) -> bool:
    """Whether the node of a folder ends or has ended; quick."""
    return RetiredFile(folder).path.exists()


def check_not_retired(folder: DataFolder) -> None:
    """Lets a node start.

    Raises:
        NodeRetiredError: It ends or has ended for good.
    """
    mark = RetiredFile(folder).read()
    if mark is not None:
        raise retired_error(folder, mark)


def retired_error(folder: DataFolder, mark: Mark) -> NodeRetiredError:
    """Why a node does nothing any more, and what can be done all the same."""
    if not mark.retired_at:
        return NodeRetiredError(
            f"The node in {folder.path} is being retired since {mark.begun_at}, by {mark.actor}, "
            f"and its keys have not ended yet.",
            hint="Finish it: edocnode retire --yes. As long as its last word is not sealed it can "
            "be taken back: edocnode retire --cancel",
            path=str(folder.path),
        )
    return NodeRetiredError(
        f"The node in {folder.path} was retired at {mark.retired_at} by {mark.actor}; it sends, "
        f"receives and decides nothing any more.",
        hint="Its archive can be read: edocnode inbox, show, save, export, evidence export, "
        "journal verify.",
        path=str(folder.path),
    )
