"""What a reader must never fall below again, small enough to keep apart from the directory.

A node writes its floor to a file of its own, so that neither a restored database nor an older
bundle takes it back to keys that were revoked or addresses that were replaced since. Comparing a
directory with a floor is ``trust``'s part.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from edoccore.directory.revocations import Revocation, Revocations
from edoccore.errors import DirectoryInvalidError
from edoccore.signing.readers import reader_of
from edoccore.signing.statements import parse_time, time_text

MAX_FLOOR_BYTES = 32 * 1024 * 1024


class KeptRevocation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A revocation as a floor keeps it; ``issuer`` and ``serial`` only when a CRL told it.

    Attributes:
        sha256: Of the certificate, or of the issuing authority's public key.
        serial: Decimal, since serial numbers exceed 2^53.
    """

    sha256: str
    serial: str = ""
    reason: str
    revoked_at: str
    worthless_from: str


class Floor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The highest that was ever seen.

    Attributes:
        versions: By role, bins too; empty before the first directory.
        snapshot: SHA-256 of the snapshot file of that version.
        online_keys: Key ids of timestamp and snapshot then; after a change of keys, versions may
            be lower.
        counters: Of the endpoint statements, by agency.
        lists: Counters of the lists of sub-agencies, by agency.
        revoked: All revocations ever seen.
        registry: Addresses of the registry then, so that a lost directory can be fetched again.
    """

    versions: dict[str, int] = {}
    snapshot: str = ""
    online_keys: frozenset[str] = frozenset()
    counters: dict[str, int] = {}
    lists: dict[str, int] = {}
    revoked: tuple[KeptRevocation, ...] = ()
    registry: tuple[str, ...] = ()

    def revocations(self) -> Revocations:
        """The revocations, for looking up."""
        certificates = {item.sha256: _read(item) for item in self.revoked if not item.serial}
        serials = {
            (item.sha256, int(item.serial)): _read(item) for item in self.revoked if item.serial
        }
        return Revocations(certificates, serials)

    def encode(self) -> bytes:
        """The bytes of the file."""
        return msgspec.json.encode(self)


NO_FLOOR = Floor()  # of a newcomer


def decode_floor(data: bytes) -> Floor:
    """Reads what ``Floor.encode`` wrote.

    Raises:
        DirectoryInvalidError: The bytes are not a floor.
    """
    try:
        floor = reader_of(Floor).decode(data)
        floor.revocations()
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DirectoryInvalidError(
            f"The file of the highest directory versions is damaged: {error}.",
            hint="Restore it from a backup, or join again with a new join string.",
        ) from error
    return floor


def keep_revocations(known: Revocations) -> tuple[KeptRevocation, ...]:
    """Writes revocations as a floor keeps them."""
    certificates = [_keep(digest, "", found) for digest, found in known.certificates.items()]
    serials = [_keep(key, str(serial), found) for (key, serial), found in known.serials.items()]
    return (*certificates, *serials)


def join_counters(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The higher counter of each agency."""
    return {
        agency: max(one.get(agency, 0), other.get(agency, 0)) for agency in sorted({*one, *other})
    }


def _keep(digest: str, serial: str, found: Revocation) -> KeptRevocation:
    return KeptRevocation(
        sha256=digest,
        serial=serial,
        reason=found.reason,
        revoked_at=time_text(found.revoked_at),
        worthless_from=time_text(found.worthless_from),
    )


def _read(item: KeptRevocation) -> Revocation:
    return Revocation(
        reason=item.reason,
        revoked_at=parse_time(item.revoked_at),
        worthless_from=parse_time(item.worthless_from),
    )
