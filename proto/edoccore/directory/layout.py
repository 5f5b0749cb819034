"""How the directory is laid out: roles, paths, the data of each entry, lifetimes.

Registry and nodes share this. The directory is made of TUF roles with consistent snapshots (every
file but ``timestamp.json`` has its version in its name):

- ``root`` signs for ``timestamp``, ``snapshot`` and ``targets``;
- ``targets`` holds one target, ``network``, and delegates to four roles:
  ``identity`` (paths ``identity/*``), ``endpoints`` (``endpoints/*``) and ``subagencies``
  (``subagencies/*``), which delegate everything to 64, 128 and 32 hash bins (``identity-00`` to
  ``identity-3f``), and ``revocations``, which holds one target, ``revocations/list``.

The data rides inside the target, as ``custom``, so that fetching the metadata fetches everything;
length and hash of a target are those of the canonical JSON of its data. Readers ignore members
they do not know, so that a registry can be newer than a node. What the entries mean and who may
replace what is not decided here.

Source: proto/README.md, section Directory; https://theupdateframework.github.io/specification/
"""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import DelegatedRole, Delegations, Key, SuccinctRoles, TargetFile

from edoccore.errors import DirectoryInvalidError
from edoccore.signing.readers import converted
from edoccore.signing.statements import Code, Count, Network, Sha256, Text, Time

# Roles. Bins are named by TAP 15: prefix, hyphen, number of the bin in hex.
ROOT, TIMESTAMP, SNAPSHOT, TARGETS = "root", "timestamp", "snapshot", "targets"
IDENTITY, ENDPOINTS, REVOCATIONS = "identity", "endpoints", "revocations"
SUBAGENCIES = "subagencies"
BINNED_ROLES = (IDENTITY, ENDPOINTS, SUBAGENCIES)
# Endpoints change most, and few agencies list others; each bin costs the snapshot a line.
BIN_BITS = {IDENTITY: 6, ENDPOINTS: 7, SUBAGENCIES: 5}

# Targets.
NETWORK_PATH = "network"
REVOCATIONS_PATH = "revocations/list"

# Lifetimes.
ROOT_LIFE = timedelta(days=3650)
ROLE_LIFE = timedelta(days=45)  # all roles but root and timestamp
ROLE_RESIGN_AFTER = timedelta(days=15)  # so a node always has 30 days left when it loses contact
TIMESTAMP_LIFE = timedelta(hours=24)
TIMESTAMP_RESIGN_AFTER = timedelta(hours=6)
CRL_LIFE = timedelta(days=60)
WIND_UP = timedelta(days=30)  # in which an ended agency still answers for what came before its end
OFFICER_ALARM_BEFORE = timedelta(days=10)  # officers are alarmed when the directory ends this soon
REFRESH_EVERY = timedelta(seconds=30)
LOG_PATIENCE = timedelta(hours=1)  # a version that is in force may be missing in the log so long
WITNESS_PATIENCE = timedelta(hours=24)  # so long may cosignatures be missing
COSIGN_AGAIN_AFTER = timedelta(hours=6)  # a witness says again that nothing newer was shown to it

# Versions.
_FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LAST_VERSION = 253_402_300_799_999  # given in the year 9999, beyond which there are no dates

# Sizes, bytes. A reader never reads more, whoever claims what.
MAX_ROOT_BYTES = 128 * 1024
MAX_TIMESTAMP_BYTES = 16 * 1024
MAX_SNAPSHOT_BYTES = 256 * 1024
MAX_ROLE_BYTES = 5_000_000
MAX_DIRECTORY_BYTES = 128 * 1024 * 1024
MAX_ROOT_ROTATIONS = 256
MAX_OWNED = 2000  # codes that an agency owns besides its own
MAX_SPACES = 64  # in which one agency lists codes itself
MAX_WITNESSES = 32
MAX_KIN = 100  # predecessors of an agency, and successors
MAX_ISSUERS = 2  # between a seal certificate and its issuing authority

VerifierText = Annotated[str, Meta(pattern=r"^[^\s+]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}\Z")]
Base64 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=131072)]
Space = Annotated[str, Meta(min_length=5, max_length=37)]  # see ``spaces``


class AgencyState(StrEnum):
    """Where an agency is in its life."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"  # may come back; until then nothing is sent to it or taken from it
    MERGED = "MERGED"  # ends at its ``valid_to``; its successors take its documents
    CLOSED = "CLOSED"  # ends at its ``valid_to``


class RevocationKind(StrEnum):
    """What a revoked certificate was for."""

    TLS = "tls"
    SEAL = "seal"


class RetiredAuthority(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An issuing authority that issues no more; what it issued before stays good.

    Attributes:
        sha256: Of its certificate (DER).
        since: A seal certificate of it that begins later is refused.
    """

    sha256: Sha256
    since: Time


class WitnessListing(Struct, frozen=True, kw_only=True):
    """An agency whose node watches over the directory's log.

    Attributes:
        key: Verifier key of its cosignatures; see ``signing.notes``.
    """

    agency: Code
    key: VerifierText


class LogInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The log of all published versions, and who watches over it; see ``directory.transparency``.

    Attributes:
        key: Verifier key of its checkpoints; its name is the log's.
        witnesses: Whose cosignatures count.
        threshold: How many of them each checkpoint must have soon; 0: none.
    """

    key: VerifierText
    witnesses: Annotated[tuple[WitnessListing, ...], Meta(max_length=MAX_WITNESSES)] = ()
    threshold: Annotated[int, Meta(ge=0, le=MAX_WITNESSES)] = 0


class NetworkInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The target ``network``: what holds for all.

    Attributes:
        network: Name of the network; every statement carries it.
        registry: Code of the registry's own entry.
        issuing_authorities: Base64 DER of the network's own CAs, which issue for whom it invites;
            the one that issues now first.
        outside_authorities: Base64 DER of other CAs, as that of the public service. They vouch for
            the certificates that entries list and for no other, and issue nothing by themselves.
        retired_authorities: Those of the network's own that issue no more.
        log: The log of published versions; absent: there is none.
    """

    network: Network
    registry: Code
    issuing_authorities: Annotated[tuple[Base64, ...], Meta(max_length=64)]
    outside_authorities: Annotated[tuple[Base64, ...], Meta(max_length=64)] = ()
    retired_authorities: Annotated[tuple[RetiredAuthority, ...], Meta(max_length=64)] = ()
    log: LogInfo | UnsetType = UNSET

    @property
    def authorities(self) -> tuple[Base64, ...]:
        """All CAs that a seal certificate may lead to."""
        return (*self.issuing_authorities, *self.outside_authorities)


class OwnedCode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A code that an agency owns besides its own, such as a department's."""

    code: Code
    name: Text
    aliases: Annotated[tuple[Code, ...], Meta(max_length=16)] = ()


class SealListing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One seal certificate of an agency.

    Attributes:
        certificate: Base64 DER; of suite 2 it names both keys.
        issuers: Base64 DER of the CAs between the certificate and one of the network's issuing
            authorities, nearest first; that authority itself is not repeated.
    """

    certificate: Base64
    issuers: Annotated[tuple[Base64, ...], Meta(max_length=MAX_ISSUERS)] = ()


class IdentityEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The target ``identity/<CODE>``: who an agency is and with which keys it seals.

    Attributes:
        code: As in the path.
        aliases: Other spellings of the same agency, such as its old 13-character code.
        owns: Codes it owns besides its own; never a prefix.
        spaces: Where it may list further codes itself, under its own seal; see ``spaces``.
        valid_from: Before it, the agency did not exist.
        valid_to: From it on, the agency no longer exists; may lie ahead.
        predecessors: Codes of agencies whose documents it takes.
        successors: Codes of agencies that take its documents from ``valid_to`` on. With one, they
            go there by themselves; with several, senders choose.
        seals: All its seal certificates, old ones too: old documents verify against them.
        minimum_suite: Weakest suite that a seal of the agency may use.
        minimum_since: When that was set; a weaker seal that is proven to be older stays good.
    """

    code: Code
    name: Text
    aliases: Annotated[tuple[Code, ...], Meta(max_length=16)] = ()
    owns: Annotated[tuple[OwnedCode, ...], Meta(max_length=MAX_OWNED)] = ()
    spaces: Annotated[tuple[Space, ...], Meta(max_length=MAX_SPACES)] = ()
    state: AgencyState
    valid_from: Time
    valid_to: Time | UnsetType = UNSET
    predecessors: Annotated[tuple[Code, ...], Meta(max_length=MAX_KIN)] = ()
    successors: Annotated[tuple[Code, ...], Meta(max_length=MAX_KIN)] = ()
    seals: Annotated[tuple[SealListing, ...], Meta(max_length=64)] = ()
    minimum_suite: Annotated[int, Meta(ge=1, le=255)] = 1
    minimum_since: Time | UnsetType = UNSET


class SealedEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A statement as its agency sealed it, which whoever publishes it cannot invent.

    The target ``endpoints/<CODE>`` is an ``edoc.endpoint/v1``, ``subagencies/<CODE>`` an
    ``edoc.subagencies/v1``. Statement and seal stand there as JSON, not as base64 of it. They are
    canonical, so their exact bytes are those that ``json_bytes`` gives; if they were not, the
    signature would not fit.

    Attributes:
        statement: The statement.
        leaf: Place of the statement in the seal's tree.
        proof: Hex of the inclusion proof, 32 bytes each.
        seal: The seal.
        signature: Base64 of the signature over the seal's bytes.
    """

    statement: dict[str, object]
    leaf: Count = 0
    proof: Annotated[tuple[Sha256, ...], Meta(max_length=64)] = ()
    seal: dict[str, object]
    signature: Base64


class RevocationEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate that is no longer good. Never undone: a new certificate is issued instead.

    Attributes:
        sha256: Of the certificate (DER).
        agency: Whose it was.
        reason: For people.
        revoked_at: When it ended.
        compromised_since: Seals without a proven time before this moment are worth nothing.
    """

    kind: RevocationKind
    sha256: Sha256
    agency: Code
    reason: Text
    revoked_at: Time
    compromised_since: Time | UnsetType = UNSET


class RevocationList(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The target ``revocations/list``.

    Attributes:
        entries: All revocations ever made.
        crls: Base64 DER of the CRLs of the issuing authorities, for openssl and for readers.
    """

    entries: Annotated[tuple[RevocationEntry, ...], Meta(max_length=100_000)] = ()
    crls: Annotated[tuple[Base64, ...], Meta(max_length=64)] = ()


TargetData = NetworkInfo | IdentityEntry | SealedEntry | RevocationList
T = TypeVar("T", NetworkInfo, IdentityEntry, SealedEntry, RevocationList)

_ENCODER = msgspec.json.Encoder(order="sorted")


def codes_by_officers(entry: IdentityEntry) -> set[str]:
    """All codes and aliases that officers list for an agency, its own among them."""
    owned = (code for item in entry.owns for code in (item.code, *item.aliases))
    return {entry.code, *entry.aliases, *owned}


def identity_path(code: str) -> str:
    """Target path of an agency's identity."""
    return f"{IDENTITY}/{code}"


def endpoint_path(code: str) -> str:
    """Target path of an agency's endpoint."""
    return f"{ENDPOINTS}/{code}"


def subagencies_path(code: str) -> str:
    """Target path of the list of an agency's sub-agencies."""
    return f"{SUBAGENCIES}/{code}"


def bin_names(role: str) -> list[str]:
    """Names of the bins of ``identity``, ``endpoints`` or ``subagencies``."""
    return list(_bins(role, [], threshold=1).get_roles())


def bin_of(role: str, code: str) -> str:
    """Name of the bin that holds an agency's target in a role that has bins."""
    return _bins(role, [], threshold=1).get_role_for_target(f"{role}/{code}")


def role_names() -> Iterator[str]:
    """All roles but ``root`` and ``timestamp``: those a snapshot leads to, and the snapshot."""
    yield from (SNAPSHOT, TARGETS, REVOCATIONS)
    for role in BINNED_ROLES:
        yield role
        yield from bin_names(role)


def next_version(last: int, now: datetime) -> int:
    """The version that a role other than ``root`` gets after ``last``.

    It is max(last + 1, unix milliseconds): a role changes less often than that, so its version
    never runs ahead of the clock, and who loses some of them gives their numbers to nothing else.
    """
    return max(last + 1, (now - _FIRST_MOMENT) // _MILLISECOND)


def moment_of(version: int) -> datetime:
    """When a version of a role other than ``root`` was given, by the clock of the registry."""
    return _FIRST_MOMENT + min(version, _LAST_VERSION) * _MILLISECOND


def file_name(role: str, version: int) -> str:
    """Name of a role file as it is served, for example ``7.identity-1f.json``."""
    if role == TIMESTAMP:
        return "timestamp.json"
    return f"{version}.{quote(role, safe='')}.json"


def top_delegations(identity: list[Key], online: list[Key], *, threshold: int) -> Delegations:
    """The delegations of ``targets``.

    Args:
        identity: Keys of the officers, or of the registry when it publishes by itself.
        online: Keys of the registry for endpoints, sub-agencies and revocations; one signature
            is enough.
        threshold: How many of ``identity`` must sign.
    """
    officers, registry = [key.keyid for key in identity], [key.keyid for key in online]
    roles = {
        IDENTITY: DelegatedRole(IDENTITY, officers, threshold, True, [f"{IDENTITY}/*"]),
        ENDPOINTS: DelegatedRole(ENDPOINTS, registry, 1, True, [f"{ENDPOINTS}/*"]),
        SUBAGENCIES: DelegatedRole(SUBAGENCIES, registry, 1, True, [f"{SUBAGENCIES}/*"]),
        REVOCATIONS: DelegatedRole(REVOCATIONS, registry, 1, True, [REVOCATIONS_PATH]),
    }
    return Delegations({key.keyid: key for key in [*identity, *online]}, roles)


def bin_delegations(role: str, keys: list[Key], *, threshold: int) -> Delegations:
    """The delegations of a role to its bins."""
    succinct = _bins(role, [key.keyid for key in keys], threshold=threshold)
    return Delegations({key.keyid: key for key in keys}, None, succinct)


def make_target(path: str, data: TargetData) -> TargetFile:
    """Puts data into a target."""
    custom = msgspec.to_builtins(data)
    target = TargetFile.from_data(path, _ENCODER.encode(custom))
    target.unrecognized_fields["custom"] = custom
    return target


def read_target(target: TargetFile, kind: type[T]) -> T:
    """Takes the data out of a target whose role was verified.

    Raises:
        DirectoryInvalidError: The data is not of that kind, or length and hash are not its own.
    """
    try:
        target.verify_length_and_hashes(json_bytes(target.custom))
        return converted(target.custom, kind)
    except (LengthOrHashMismatchError, msgspec.ValidationError) as error:
        raise DirectoryInvalidError(
            f"The target {target.path} of the directory cannot be read: {error}.", path=target.path
        ) from error


def json_bytes(data: object) -> bytes:
    """The JSON of parsed data with sorted keys; of a statement or seal its exact bytes.

    Raises:
        DirectoryInvalidError: The data cannot come from a statement or an entry.
    """
    try:
        return _ENCODER.encode(data)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DirectoryInvalidError(f"An entry of the directory has no JSON: {error}.") from error


def to_base64(data: bytes) -> str:
    """Writes bytes as entries carry them: base64, one line, padded."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Reads what ``to_base64`` wrote.

    Raises:
        DirectoryInvalidError: It is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise DirectoryInvalidError(f"The directory holds damaged base64: {error}.") from error


def _bins(role: str, keyids: list[str], *, threshold: int) -> SuccinctRoles:
    return SuccinctRoles(keyids, threshold, BIN_BITS[role], role)
