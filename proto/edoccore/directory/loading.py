"""From the files of a directory to the ``Directory``: everything checked but age.

Two kinds of fault are told apart. When a role file is not signed as its delegator demands, or does
not belong to the others, nothing of the directory is believed. When one agency's entry is damaged,
that entry is left out and named in ``problems``: one agency must not stop the nation. Revocations
are the exception: a list that cannot be read spoils the directory, since leaving it out would bring
dead keys back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tuf.api.metadata import Root, Signed, Snapshot, TargetFile, Targets

from edoccore.directory import endpoints as endpoint_rules
from edoccore.directory import floor as floors
from edoccore.directory import layout, revocations, roles
from edoccore.directory import subagencies as list_rules
from edoccore.directory.endpoints import Endpoint
from edoccore.directory.floor import NO_FLOOR, Floor
from edoccore.directory.layout import IdentityEntry, NetworkInfo, RevocationList, SealedEntry
from edoccore.directory.memory import Memory
from edoccore.directory.ownership import Ownership
from edoccore.directory.revocations import Revocations
from edoccore.directory.roles import RootChain
from edoccore.directory.seals import ListedSeal, SealBook
from edoccore.directory.subagencies import SubAgencyList
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryInvalidError, EdocError
from edoccore.identity.certificate import UNREADABLE, read_certificate
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import DirectoryMark, parse_time

_Data = TypeVar("_Data", NetworkInfo, RevocationList)


def load(
    files: Mapping[str, bytes],
    anchor: str,
    floor: Floor = NO_FLOOR,
    memory: Memory | None = None,
) -> Directory:
    """Verifies the files of a directory.

    Args:
        files: By name as served; more than needed is ignored, so old root files may be there.
        anchor: SHA-256 of the root file that is trusted, lower hex.
        floor: What was seen before: its revocations stay in force; endpoint statements and lists
            with lower counters are left out. Versions are compared by ``trust``.
        memory: What was found before; used when it is of the same files, else they are checked.

    Returns:
        The directory. Its age is not judged.

    Raises:
        DirectoryInvalidError: A file is missing, too large, not signed as it must be or does not
            belong to the others; says which and why.
    """
    if sum(map(len, files.values())) > layout.MAX_DIRECTORY_BYTES:
        raise roles.invalid("all", f"more than {layout.MAX_DIRECTORY_BYTES} bytes together.")
    return _assemble(_read_roles(files, anchor, memory), floor)


@dataclass(slots=True)
class _Roles:
    """Checked role files, and what is said of all of them alike."""

    chain: RootChain
    files: dict[str, bytes]
    versions: dict[str, int] = field(default_factory=dict)
    expiries: dict[str, datetime] = field(default_factory=dict)
    targets: dict[str, Targets] = field(default_factory=dict)  # without the bins
    identities: dict[str, IdentityEntry] = field(default_factory=dict)
    sealed: dict[str, SealedStatement | EdocError] = field(default_factory=dict)  # by path
    refused: dict[str, str] = field(default_factory=dict)  # why, by path
    snapshot_hash: str = ""

    def note(self, role: str, signed: Signed) -> None:
        """Remembers version and end of a role."""
        self.versions[role] = signed.version
        self.expiries[role] = signed.expires


@dataclass(frozen=True, slots=True)
class _Standard:
    """What endpoint statements and lists of sub-agencies are held against."""

    network: str
    seals: SealBook
    floor: Floor


def _assemble(read: _Roles, floor: Floor) -> Directory:
    """Reads the entries of checked roles and puts the directory together."""
    info = _read_info(read)
    problems: list[str] = []
    revoked = _read_revocations(read, info, problems).union(floor.revocations())
    entries = read.identities
    problems += map(_left_out, read.refused.items())
    ownership = Ownership(list(entries.values()))
    seals = SealBook(
        entries.values(),
        ownership.owners,
        authorities=info.authorities,
        revocations=revoked,
        retired=info.retired_authorities,
    )
    standard = _Standard(info.network, seals, floor)
    checked, refused = _read_endpoints(read, standard)
    lists, more = _read_lists(read, standard)
    refused |= more
    ownership.take_lists(entries.values(), {code: found.entries for code, found in lists.items()})
    problems += [*ownership.problems, *seals.problems, *map(_left_out, refused.items())]
    return Directory(
        info=info,
        mark=DirectoryMark(version=read.versions[layout.SNAPSHOT], hash=read.snapshot_hash),
        files=read.files,
        chain=read.chain,
        versions=read.versions,
        expiries=read.expiries,
        identities=entries,
        ownership=ownership,
        seals=seals,
        endpoints=checked,
        lists=lists,
        revocations=revoked,
        counters=floors.join_counters(floor.counters, _counters(checked)),
        list_counters=floors.join_counters(floor.lists, _counters(lists)),
        problems=tuple(problems),
        refused=read.refused | refused,
        pins={pin.sha256: pin for found in checked.values() for pin in found.pins},
    )


def _counters(checked: Mapping[str, Endpoint] | Mapping[str, SubAgencyList]) -> dict[str, int]:
    return {code: found.counter for code, found in checked.items()}


def _left_out(refusal: tuple[str, str]) -> str:
    path, why = refusal
    return f"The entry {path} is left out: {why}"


def _read_info(read: _Roles) -> NetworkInfo:
    return _read_one(read.targets[layout.TARGETS], layout.NETWORK_PATH, NetworkInfo)


def _read_roles(files: Mapping[str, bytes], anchor: str, memory: Memory | None) -> _Roles:
    chain = roles.chain_in(files, anchor)
    if chain is None:
        raise roles.invalid(layout.ROOT, f"no root file has the SHA-256 {anchor}.")
    named = {layout.file_name(layout.ROOT, number): data for number, data in chain.files.items()}
    read = _Roles(chain, named)
    read.note(layout.ROOT, chain.root)
    stamp = roles.read_timestamp(_take(read, files, "timestamp.json"), chain.root)
    read.note(layout.TIMESTAMP, stamp)
    name = layout.file_name(layout.SNAPSHOT, stamp.snapshot_meta.version)
    data = _take(read, files, name)
    read.snapshot_hash = sha256(data).hexdigest()
    snapshot = roles.read_snapshot(data, chain.root, stamp)
    read.note(layout.SNAPSHOT, snapshot)
    reader = _Reader(read, files, snapshot)
    top = read.targets[layout.TARGETS] = reader.below(layout.TARGETS, chain.root)
    read.targets[layout.REVOCATIONS] = reader.below(layout.REVOCATIONS, top)
    if memory is not None and memory.is_of(read.snapshot_hash):
        reader.recall_bins(top, memory)
    else:
        reader.read_bins(top)
    return read


class _Reader:
    """Takes the roles below a checked snapshot out of the files."""

    def __init__(self, read: _Roles, files: Mapping[str, bytes], snapshot: Snapshot) -> None:
        self._read = read
        self._files = files
        self._snapshot = snapshot

    def below(self, role: str, delegator: Root | Targets) -> Targets:
        """Checks one role."""
        data = self._bytes_of(role)
        targets = roles.read_role(role, data, delegator=delegator, snapshot=self._snapshot)
        self._read.note(role, targets)
        return targets

    def read_bins(self, top: Targets) -> None:
        """Checks the bins and takes their entries out."""
        openers = {
            layout.IDENTITY: _open_identity,
            layout.ENDPOINTS: _open_sealed,
            layout.SUBAGENCIES: _open_sealed,
        }
        for parent in layout.BINNED_ROLES:
            delegator = self.below(parent, top)
            bins = roles.bins_of(parent, delegator)
            for name in layout.bin_names(parent):
                # One at a time: parsed, all together are ten times as large as their entries.
                checked = self.below(name, delegator)
                for target in roles.targets_of(parent, checked, bins, name=name):
                    openers[parent](self._read, target)

    def recall_bins(self, top: Targets, memory: Memory) -> None:
        """Takes the entries from memory, for bins that are still those of the snapshot."""
        for parent in layout.BINNED_ROLES:
            self.below(parent, top)
        read, info = self._read, _read_info(self._read)
        found = memory.recall(info.network, info.authorities)
        for name, expires in found.expiries.items():
            meta = roles.check_named(name, self._bytes_of(name), self._snapshot)
            read.versions[name], read.expiries[name] = meta.version, expires
        read.identities, read.sealed = found.identities, dict(found.sealed)
        for path, why in found.refused.items():
            if not path.startswith(f"{layout.IDENTITY}/"):
                read.sealed[path] = DirectoryInvalidError(why)
            else:
                read.refused[path] = why

    def _bytes_of(self, role: str) -> bytes:
        name = layout.file_name(role, roles.meta_of(self._snapshot, role).version)
        return _take(self._read, self._files, name)


def _open_identity(read: _Roles, target: TargetFile) -> None:
    try:
        entry = layout.read_target(target, IdentityEntry)
        _check_identity(entry, target.path)
    except (DirectoryInvalidError, ValueError) as error:
        read.refused[target.path] = str(error)
    else:
        read.identities[entry.code] = entry


def _open_sealed(read: _Roles, target: TargetFile) -> None:
    try:
        entry = layout.read_target(target, SealedEntry)
        read.sealed[target.path] = endpoint_rules.from_entry(entry)
    except EdocError as error:
        read.sealed[target.path] = error


def _take(read: _Roles, files: Mapping[str, bytes], name: str) -> bytes:
    data = files.get(name)
    if data is None:
        raise roles.invalid(name, "it is missing.")
    read.files[name] = data
    return data


def _read_one(role: Targets, path: str, kind: type[_Data]) -> _Data:
    target = role.targets.get(path)
    if target is None:
        raise roles.invalid(path, "there is no such target.")
    return layout.read_target(target, kind)


def _read_revocations(read: _Roles, info: NetworkInfo, problems: list[str]) -> Revocations:
    listed = _read_one(read.targets[layout.REVOCATIONS], layout.REVOCATIONS_PATH, RevocationList)
    try:
        known = revocations.from_entries(listed.entries)
    except ValueError as error:
        raise roles.invalid(layout.REVOCATIONS_PATH, f"{error}.") from error
    authorities = [_load_certificate(text) for text in info.authorities]
    for text in listed.crls:
        known = known.union(_read_crl(text, authorities, problems))
    return known


def _read_crl(
    text: str, authorities: Sequence[x509.Certificate], problems: list[str]
) -> Revocations:
    try:
        crl = x509.load_der_x509_crl(layout.from_base64(text))
        for authority in authorities:
            if crl.issuer == authority.subject and _is_signed_by(crl, authority):
                return revocations.from_crl(crl, authority)
    except UNREADABLE as error:
        raise roles.invalid(layout.REVOCATIONS_PATH, f"a CRL in it is damaged: {error}.") from error
    problems.append("A CRL in the directory is not signed by an authority of the network.")
    return Revocations()


def _is_signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return False
    return crl.is_signature_valid(key)


def _load_certificate(text: str) -> x509.Certificate:
    try:
        return read_certificate(layout.from_base64(text))
    except ValueError as error:
        raise roles.invalid(layout.NETWORK_PATH, f"an authority is unreadable: {error}.") from error


def _check_identity(entry: IdentityEntry, path: str) -> None:
    if path != layout.identity_path(entry.code):
        raise roles.invalid(path, f"it is of {entry.code}.")
    parse_time(entry.valid_from)
    for moment in (entry.valid_to, entry.minimum_since):
        if isinstance(moment, str):
            parse_time(moment)


def _read_endpoints(
    read: _Roles, standard: _Standard
) -> tuple[dict[str, Endpoint], dict[str, str]]:
    """The endpoints that hold, by agency, and why the others do not, by path."""
    checked: dict[str, Endpoint] = {}
    refused: dict[str, str] = {}
    for path, sealed in _below(layout.ENDPOINTS, read):
        try:
            endpoint = _check_endpoint(path, sealed, standard)
        except EdocError as error:
            refused[path] = error.message
        else:
            checked[endpoint.agency] = endpoint
    return checked, refused


def _read_lists(
    read: _Roles, standard: _Standard
) -> tuple[dict[str, SubAgencyList], dict[str, str]]:
    """The lists of sub-agencies that hold, by agency, and why the others do not, by path."""
    checked: dict[str, SubAgencyList] = {}
    refused: dict[str, str] = {}
    for path, sealed in _below(layout.SUBAGENCIES, read):
        try:
            found = _check_list(path, sealed, standard)
        except EdocError as error:
            refused[path] = error.message
        else:
            checked[found.agency] = found
    return checked, refused


def _below(role: str, read: _Roles) -> list[tuple[str, SealedStatement | EdocError]]:
    return [item for item in read.sealed.items() if item[0].startswith(f"{role}/")]


def _check_endpoint(
    path: str, sealed: SealedStatement | EdocError, standard: _Standard
) -> Endpoint:
    sealed, listed = _under_a_seal(sealed, standard)
    endpoint = endpoint_rules.check_endpoint(sealed, listed, standard.network)
    if path != layout.endpoint_path(endpoint.agency):
        raise roles.invalid(path, f"it is of {endpoint.agency}.")
    revocation = listed.revocation(standard.seals.revocations)
    if revocation is not None:
        raise roles.invalid(path, f"its seal was revoked ({revocation.reason}).")
    lowest = standard.floor.counters.get(endpoint.agency, 0)
    if endpoint.counter < lowest:
        raise roles.invalid(path, f"its counter {endpoint.counter} is below {lowest}, seen before.")
    return endpoint


def _check_list(
    path: str, sealed: SealedStatement | EdocError, standard: _Standard
) -> SubAgencyList:
    sealed, listed = _under_a_seal(sealed, standard)
    found = list_rules.check_list(sealed, listed, standard.network)
    if path != layout.subagencies_path(found.agency):
        raise roles.invalid(path, f"it is of {found.agency}.")
    revocation = listed.revocation(standard.seals.revocations)
    if found.is_worthless(revocation):
        raise roles.invalid(path, "it was sealed after its key was lost or revoked.")
    lowest = standard.floor.lists.get(found.agency, 0)
    if found.counter < lowest:
        raise roles.invalid(path, f"its counter {found.counter} is below {lowest}, seen before.")
    return found


def _under_a_seal(
    sealed: SealedStatement | EdocError, standard: _Standard
) -> tuple[SealedStatement, ListedSeal]:
    """A statement with the certificate that its seal names, valid at the seal's own time."""
    if isinstance(sealed, EdocError):
        raise sealed
    seal = endpoint_rules.seal_of(sealed)
    return sealed, standard.seals.check_seal(seal, endpoint_rules.time_of(seal))
