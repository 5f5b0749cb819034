"""Which files the directory needs now: compares what is to be said with what was said, and signs.

A role is signed anew when its content differs from the file in hand, when it is 15 days old, or
when its key was replaced; then so are snapshot and timestamp. Whose keys those are is what the
root in force says; roles whose key is not on this machine wait for the officers (``drafting``).
Because the files in hand are the measure and not a memory of them, a publication that was cut off
is simply made up by the next.

Versions are max(last + 1, unix milliseconds), so that a registry restored from a backup, be it of a
second ago, never gives a number to two contents; only ``root`` counts 1, 2, 3, as TUF demands.

Source: proto/README.md, section Directory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from securesystemslib.signer import Signer
from tuf.api.metadata import (
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from edoccore.directory import layout
from edoccore.directory.layout import (
    IdentityEntry,
    NetworkInfo,
    RevocationList,
    SealedEntry,
    TargetData,
)

_Online = TypeVar("_Online", Targets, Snapshot, Timestamp)

ROOT_VERSION = 1  # of the first root


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """The keys of the directory.

    Attributes:
        identity: Signs who exists, alone; None when the officers hold its keys elsewhere.
        online: Signs endpoints, lists of sub-agencies, revocations, snapshot and timestamp.
    """

    identity: Signer | None
    online: Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Who may sign for whom, as a root says.

    Attributes:
        identity: Public keys for ``targets``, ``identity`` and its bins.
        threshold: How many of them must sign.
        online: Public keys of the registry; one is enough.
    """

    identity: Sequence[Key]
    threshold: int
    online: Sequence[Key]

    @classmethod
    def of(cls, root: Root) -> "Holders":
        """Reads a root."""
        targets = root.roles[layout.TARGETS]
        return cls(
            identity=[root.keys[keyid] for keyid in targets.keyids],
            threshold=targets.threshold,
            online=[root.keys[keyid] for keyid in root.roles[layout.SNAPSHOT].keyids],
        )

    def delegations(self) -> dict[str, Delegations]:
        """Who signs what below ``targets``, by delegating role."""
        identity, online = list(self.identity), list(self.online)
        return {
            layout.TARGETS: layout.top_delegations(identity, online, threshold=self.threshold),
            layout.IDENTITY: layout.bin_delegations(
                layout.IDENTITY, identity, threshold=self.threshold
            ),
            **{
                role: layout.bin_delegations(role, online, threshold=1)
                for role in (layout.ENDPOINTS, layout.SUBAGENCIES)
            },
        }

    def sign_enough(self, role: str, keyids: frozenset[str]) -> bool:
        """Whether signatures of these keys make a role count."""
        keys = self.identity if is_of_officers(role) else self.online
        needed = self.threshold if is_of_officers(role) else 1
        return len(keyids & {key.keyid for key in keys}) >= needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Everything the directory is to say."""

    network: NetworkInfo
    identities: Sequence[IdentityEntry]
    endpoints: Mapping[str, SealedEntry]
    lists: Mapping[str, SealedEntry]
    revocations: RevocationList


@dataclass(frozen=True, slots=True)
class RoleFile:
    """One file of the directory in hand: exact bytes and what they say."""

    data: bytes
    signed: Signed
    signers: frozenset[str]  # key ids

    @classmethod
    def read(cls, data: bytes) -> "RoleFile":
        """Parses a file that this registry wrote; signatures are not checked."""
        metadata: Metadata[Targets] = Metadata.from_bytes(data)  # or another role
        return cls(data, metadata.signed, frozenset(metadata.signatures))

    def meta(self) -> MetaFile:
        """How a snapshot or timestamp names this file."""
        return MetaFile.from_data(self.signed.version, self.data, ["sha256"])


@dataclass(slots=True)
class Publication:
    """What a publication writes.

    Attributes:
        files: File name -> bytes; ``timestamp.json`` is the last and makes the others count.
        signed: Names of the roles signed anew.
        awaiting: Roles whose content changed or is old, but whose key is elsewhere.
        version: Version of the directory afterwards.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    signed: list[str] = field(default_factory=list)
    awaiting: list[str] = field(default_factory=list)
    version: int = 0


def first_root(
    officers: Sequence[Signer], signers: Signers, *, threshold: int, now: datetime
) -> bytes:
    """Makes the first root, signed by all officers; its hash is what join strings carry.

    Args:
        officers: Holders of the root keys.
        signers: Keys of the other roles; the identity key must be present.
        threshold: How many officers must sign the next root.
        now: Its life begins here.

    Raises:
        ValueError: There is no identity key.
    """
    if signers.identity is None:
        raise ValueError("the first root needs the identity key")
    holders = {
        layout.TARGETS: signers.identity,
        layout.SNAPSHOT: signers.online,
        layout.TIMESTAMP: signers.online,
    }
    roles = {name: Role([signer.public_key.keyid], 1) for name, signer in holders.items()}
    roles[layout.ROOT] = Role([officer.public_key.keyid for officer in officers], threshold)
    keys = {signer.public_key.keyid: signer.public_key for signer in [*officers, *holders.values()]}
    root = Root(ROOT_VERSION, None, whole_seconds(now) + layout.ROOT_LIFE, keys, roles)
    metadata = Metadata(root)
    for officer in officers:
        metadata.sign(officer, append=True)
    return metadata.to_bytes()


def targets_in(current: Mapping[str, RoleFile], role: str) -> Targets:
    """What a role below the snapshot says in the files in hand.

    Raises:
        KeyError: There is no such role, or it is of another kind.
    """
    signed = current[role].signed
    if not isinstance(signed, Targets):
        raise KeyError(role)
    return signed


def is_of_officers(role: str) -> bool:
    """Whether a role below the root says who exists, which only the identity keys may say."""
    return role in {layout.TARGETS, layout.IDENTITY} or role.startswith(f"{layout.IDENTITY}-")


def plan(
    contents: Contents,
    current: Mapping[str, RoleFile],
    root: Root,
    signers: Signers,
    now: datetime,
    *,
    renew: bool = False,
) -> Publication:
    """Decides what to publish and signs it; without need the publication has no files.

    Args:
        contents: What the directory is to say.
        current: Newest file of each role in hand, by role; empty before the first publication.
        root: In force.
        signers: Keys on this machine, as that root names them.
        now: Moment of signing.
        renew: Sign everything anew whose key is here, whatever is in hand.
    """
    publication = Publication()
    meta: dict[str, MetaFile] = {}
    holders = Holders.of(root)
    for role, wanted in wanted_roles(contents, holders):
        known = current.get(role)
        signer = signers.identity if is_of_officers(role) else signers.online
        is_good = known is not None and says_it_already(role, known, wanted, holders, now)
        if known is not None and is_good and not (renew and signer is not None):
            meta[f"{role}.json"] = known.meta()
        elif signer is None:
            publication.awaiting.append(role)
            if known is not None:
                meta[f"{role}.json"] = known.meta()
        else:
            made = _sign(role, wanted, signer, known=known, now=now, publication=publication)
            meta[f"{role}.json"] = made.meta()
    snapshot = _publish_snapshot(meta, current, signers.online, now, publication)
    _publish_timestamp(snapshot, current, signers.online, now, publication)
    publication.version = snapshot.signed.version
    return publication


def wanted_roles(contents: Contents, holders: Holders) -> Iterator[tuple[str, Targets]]:
    """Yields each role below the snapshot with what it is to say; version and end are not set."""
    targets: dict[str, dict[str, TargetFile]] = {name: {} for name in layout.role_names()}

    def put(role: str, path: str, data: TargetData) -> None:
        targets[role][path] = layout.make_target(path, data)

    put(layout.TARGETS, layout.NETWORK_PATH, contents.network)
    put(layout.REVOCATIONS, layout.REVOCATIONS_PATH, contents.revocations)
    for entry in contents.identities:
        role = layout.bin_of(layout.IDENTITY, entry.code)
        put(role, layout.identity_path(entry.code), entry)
    for code, endpoint in contents.endpoints.items():
        put(layout.bin_of(layout.ENDPOINTS, code), layout.endpoint_path(code), endpoint)
    for code, listed in contents.lists.items():
        put(layout.bin_of(layout.SUBAGENCIES, code), layout.subagencies_path(code), listed)
    delegations = holders.delegations()
    yield (
        layout.TARGETS,
        Targets(targets=targets[layout.TARGETS], delegations=delegations[layout.TARGETS]),
    )
    yield layout.REVOCATIONS, Targets(targets=targets[layout.REVOCATIONS])
    for parent in layout.BINNED_ROLES:
        yield parent, Targets(delegations=delegations[parent])
        for name in layout.bin_names(parent):
            yield name, Targets(targets=targets[name])


def says_it_already(
    role: str, known: RoleFile, wanted: Targets, holders: Holders, now: datetime
) -> bool:
    """Whether the file in hand says what is wanted, under the right keys, and is young enough."""
    signed = known.signed
    return (
        isinstance(signed, Targets)
        and _digests(signed) == _digests(wanted)
        and signed.delegations == wanted.delegations
        and holders.sign_enough(role, known.signers)
        and not _is_old(signed, now)
    )


def _digests(signed: Targets) -> dict[str, dict[str, str]]:
    """Hashes by target path; they cover the data, which parsing may give other container types."""
    return {path: target.hashes for path, target in signed.targets.items()}


def _is_old(signed: Signed, now: datetime) -> bool:
    return now >= signed.expires - layout.ROLE_LIFE + layout.ROLE_RESIGN_AFTER


def _publish_snapshot(
    meta: dict[str, MetaFile],
    current: Mapping[str, RoleFile],
    signer: Signer,
    now: datetime,
    publication: Publication,
) -> RoleFile:
    known = current.get(layout.SNAPSHOT)
    if (
        known is not None
        and isinstance(known.signed, Snapshot)
        and known.signed.meta == meta
        and signer.public_key.keyid in known.signers
        and not _is_old(known.signed, now)
    ):
        return known
    wanted = Snapshot(meta=meta)
    return _sign(layout.SNAPSHOT, wanted, signer, known=known, now=now, publication=publication)


def _publish_timestamp(
    snapshot: RoleFile,
    current: Mapping[str, RoleFile],
    signer: Signer,
    now: datetime,
    publication: Publication,
) -> None:
    known = current.get(layout.TIMESTAMP)
    if known is not None and isinstance(known.signed, Timestamp):
        signed_at = known.signed.expires - layout.TIMESTAMP_LIFE
        named = known.signed.snapshot_meta == snapshot.meta()
        named = named and signer.public_key.keyid in known.signers
        if named and now < signed_at + layout.TIMESTAMP_RESIGN_AFTER:
            return
    wanted = Timestamp(snapshot_meta=snapshot.meta())
    _sign(layout.TIMESTAMP, wanted, signer, known=known, now=now, publication=publication)


def _sign(
    role: str,
    wanted: _Online,
    signer: Signer,
    *,
    known: RoleFile | None,
    now: datetime,
    publication: Publication,
) -> RoleFile:
    """Gives a role its version and expiry, signs it and adds its file to the publication."""
    give_version(role, wanted, known, now)
    metadata = Metadata(wanted)
    metadata.sign(signer)
    made = RoleFile(metadata.to_bytes(), wanted, frozenset(metadata.signatures))
    publication.files[layout.file_name(role, wanted.version)] = made.data
    publication.signed.append(role)
    return made


def give_version(role: str, wanted: _Online, known: RoleFile | None, now: datetime) -> None:
    """Gives a role that is to be signed its version and its end."""
    life = layout.TIMESTAMP_LIFE if role == layout.TIMESTAMP else layout.ROLE_LIFE
    wanted.version = layout.next_version(known.signed.version if known else 0, now)
    wanted.expires = whole_seconds(now) + life


def whole_seconds(moment: datetime) -> datetime:
    """As TUF writes times."""
    return moment.astimezone(UTC).replace(microsecond=0)
