"""Writes documents to the real database and the real folder of parts, and says what it has kept.

Run as a program: ``writer.py FOLDER COUNT BUG``. It prints ``kept N`` after each document, as a
node acknowledges it. BUG plants one of ``BUGS`` by replacing a piece of this process; what it
plants must be found by whoever replays its power cuts.
"""

import os
import random
import sys
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa

from edoccore.errors import StorageFailedError
from edockit import blobs, database, files
from edockit.blobs import BlobFolder
from edockit.database import Database

METADATA = sa.MetaData()
KEPT = sa.Table(
    "kept",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
BODY_BYTES = 3_000
PART_BYTES = 9_000
CHECKPOINT_PAGES = 24  # small, so that a short run has many checkpoints
STOPPED = 3  # exit code: the disk failed and the program stopped, as it must


def body_of(number: int) -> bytes:
    """What a row holds."""
    return random.Random(number).randbytes(BODY_BYTES)


def part_of(number: int) -> bytes:
    """What a part holds."""
    return random.Random(-number).randbytes(PART_BYTES)


def _commit_without_fsync() -> None:
    pragmas = [item for item in database._WRITER_PRAGMAS if not item.startswith("synchronous")]
    database._WRITER_PRAGMAS = (*pragmas, "synchronous=NORMAL")


def _names_not_synced() -> None:
    sync = files.fsync_folder

    def only_of_new_folders(path: Path) -> None:
        if sys._getframe(1).f_code.co_name == "make_private_folder":
            sync(path)

    files.fsync_folder = only_of_new_folders


def _fsync_again() -> None:
    fsync = os.fsync

    def twice(descriptor: int) -> None:
        try:
            fsync(descriptor)
        except OSError:
            fsync(descriptor)

    os.fsync = twice


BUGS = {
    "none": lambda: None,
    "synchronous-normal": _commit_without_fsync,
    "no-folder-fsync": _names_not_synced,
    "retry-after-failed-fsync": _fsync_again,
    "answer-before-part": lambda: None,  # see ``main``
}


def put_part(parts: BlobFolder, number: int) -> str:
    """Keeps a part, in turn whole at once and grown in staging."""
    content = part_of(number)
    digest = sha256(content).hexdigest()
    if number % 2:
        parts.put(content, digest)
        return digest
    staging = parts.open_staging(f"part-{number}")
    staging.append(content[: PART_BYTES // 2])
    staging.sync()
    staging.append(content[PART_BYTES // 2 :])
    parts.finish(staging, digest, size_bytes=len(content))
    return digest


def put_row(opened: Database, number: int, digest: str) -> None:
    """Keeps a row."""
    row = {"id": number, "digest": digest, "body": body_of(number)}
    opened.write(lambda connection: connection.execute(KEPT.insert(), [row]) and None).result()


def keep(opened: Database, parts: BlobFolder, number: int) -> None:
    """Keeps a document as a node does: the part, then the row that points to it."""
    put_row(opened, number, put_part(parts, number))
    tell(number)


def keep_in_wrong_order(opened: Database, parts: BlobFolder, number: int) -> None:
    """A planted bug: acknowledges once the row is there, and then keeps the part."""
    put_row(opened, number, sha256(part_of(number)).hexdigest())
    tell(number)
    put_part(parts, number)


def tell(number: int) -> None:
    """Acknowledges a document."""
    os.write(1, f"kept {number}\n".encode())


def main() -> None:
    """Writes until all is kept or the disk fails."""
    folder, count, bug = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    database._WRITER_PRAGMAS += (f"wal_autocheckpoint={CHECKPOINT_PAGES}",)
    BUGS[bug]()
    try:
        parts = BlobFolder(folder / "blobs", reserve_bytes=0)
        opened = Database.open(f"sqlite:///{folder / 'node.db'}", metadata=METADATA)
        one = keep_in_wrong_order if bug == "answer-before-part" else keep
        for number in range(count):
            one(opened, parts, number)
    except StorageFailedError as error:
        print(error.message, file=sys.stderr)
        os._exit(STOPPED)  # like a crash: nothing is put in order any more
    opened.close()


if __name__ == "__main__":
    assert blobs.files is files  # what is replaced is what is used
    main()
