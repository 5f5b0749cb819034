"""Looks at the encryption keys of a node, for the doctor and for the alarm of a running one."""

import contextlib
from dataclasses import dataclass
from datetime import datetime

from msgspec import UNSET

from edoccore.directory.endpoints import encryption_key
from edoccore.directory.view import Directory
from edoccore.errors import (
    DataFolderError,
    EdocError,
    KeyUnusableError,
    StorageDamagedError,
    StorageFailedError,
)
from edoccore.identity.encryption import PublicEncryptionKey
from edoccore.signing import canonical
from edoccore.signing.statements import Endpoint, parse_time
from edocnode.app.ground import Ground
from edocnode.domain.doctor import Check, Health
from edocnode.domain.encryption_keys import CODE, KeyReading, judge_encryption_keys
from edocnode.storage.encryption_keys import KeyRow, SoftwareEncryptionKeys
from edocnode.workers.encryption_keys import EncryptionKeyWatch


@dataclass(frozen=True, slots=True)
class ListedKey:
    """The encryption key that the directory has of this node, and since when."""

    public: PublicEncryptionKey
    since: datetime


def look_at_keys(keys: SoftwareEncryptionKeys, listed: ListedKey | None) -> Check:
    """Whether each key in the list, and the one that the directory has, can be used.

    Raises:
        StorageFailedError: The disk failed.
    """
    try:
        readings = [_reading(keys, row) for row in keys.rows()]
    except StorageFailedError:
        raise
    except EdocError as error:
        return Check(CODE, Health.PROBLEM, error.message, error.hint or "")
    if listed is not None and listed.public.sha256 not in {each.sha256 for each in readings}:
        lost = KeyReading(
            sha256=listed.public.sha256,
            made=listed.since,
            retired=None,
            given_up=None,
            trouble="the directory has it, and the folder keys/ does not",
        )
        readings.append(lost)
    return judge_encryption_keys(readings)


def listed_key(directory: Directory, agency: str, now: datetime) -> ListedKey | None:
    """What others encrypt to by the directory; None: nothing."""
    endpoint = directory.endpoint(agency, now)
    public = None if endpoint is None else encryption_key(endpoint)
    if endpoint is None or public is None:
        return None
    stated = canonical.decode(endpoint.sealed.statement, Endpoint)
    return ListedKey(public, parse_time(stated.created))


def build_encryption_watch(ground: Ground) -> EncryptionKeyWatch:
    """What tells of lost keys while the node runs.

    A key that the directory has and a folder that was copied back has not goes into the list: the
    node's next statement leaves it out, and nothing else would tell that it was ever used.
    """
    keys, agency = ground.context.encryption, ground.identity.agency

    def check() -> Check:
        listed = listed_key(ground.directory(), agency, ground.clock())
        if listed is not None:
            with contextlib.suppress(StorageDamagedError):  # told by what follows
                keys.remember(listed.public, listed.since, ground.clock())
        return look_at_keys(keys, listed)

    return EncryptionKeyWatch(check, ground.sealing.store, agency=agency, clock=ground.clock)


def _reading(keys: SoftwareEncryptionKeys, row: KeyRow) -> KeyReading:
    trouble = ""
    try:
        keys.check(row)
    except (KeyUnusableError, DataFolderError, StorageDamagedError) as error:
        trouble = error.message
    return KeyReading(
        sha256=row.sha256,
        made=parse_time(row.created),
        retired=None if row.retired is UNSET else parse_time(row.retired),
        given_up=None if row.given_up is UNSET else parse_time(row.given_up),
        trouble=trouble,
    )
