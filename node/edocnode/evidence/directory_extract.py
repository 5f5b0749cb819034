"""The few role files of the directory that one message's evidence stands on.

Root files, timestamp, snapshot, targets, identity, revocations, and the identity bins of the
agencies concerned: a directory of thousands of agencies would be megabytes. Each is kept as served
(``file.json``), and taken apart for openssl: the bytes that were signed, each signature, each key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tuf.api.metadata import Key, Metadata, Root, Snapshot, TargetFile, Targets
from tuf.api.serialization import DeserializationError, SerializationError

from edoccore.directory import layout, roles
from edoccore.directory.layout import (
    IdentityEntry,
    NetworkInfo,
    RetiredAuthority,
    RevocationList,
    codes_by_officers,
)
from edoccore.directory.ownership import Ownership
from edoccore.directory.revocations import Revocations, from_crl, from_entries
from edoccore.directory.seals import SealBook
from edoccore.directory.view import Directory
from edoccore.errors import EvidenceInvalidError
from edoccore.identity.certificate import UNREADABLE, read_certificate
from edoccore.signing.statements import DirectoryMark

ROOT_PREFIX = "root-"
_FIXED = (layout.TIMESTAMP, layout.SNAPSHOT, layout.TARGETS, layout.IDENTITY, layout.REVOCATIONS)

RoleFiles = Mapping[str, bytes]  # exact bytes by role; root files as "root-1", "root-2", ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What the role files say, verified from an anchor.

    Attributes:
        info: Network and issuing authorities.
        mark: Version and hash of the snapshot.
        entries: All entries of the bins at hand, by code.
        revocations: The list as published; ``book.revocations`` has its meaning.
    """

    info: NetworkInfo
    mark: DirectoryMark
    entries: Mapping[str, IdentityEntry]
    ownership: Ownership
    revocations: RevocationList
    book: SealBook

    @property
    def codes_by_officers(self) -> set[str]:
        """All codes that the entries at hand give to somebody."""
        return {code for entry in self.entries.values() for code in codes_by_officers(entry)}


def role_files(directory: Directory, agencies: Iterable[str]) -> dict[str, bytes]:
    """Picks the role files that evidence about ``agencies`` (owners of nodes) needs."""
    files = {f"{ROOT_PREFIX}{number}": data for number, data in directory.chain.files.items()}
    bins = {layout.bin_of(layout.IDENTITY, agency) for agency in agencies}
    for role in (*_FIXED, *sorted(bins)):
        name = layout.file_name(role, directory.versions[role])
        files[role] = directory.files[name]
    return files


def read_extract(
    files: RoleFiles,
    anchor: str,
    *,
    known: Revocations,
    retired: Iterable[RetiredAuthority] = (),
) -> Extract:
    """Verifies role files; their age is not judged, evidence is old by nature.

    Args:
        files: As ``role_files`` picked them.
        anchor: SHA-256 of the root file that is trusted.
        known: Revocations that the reader knows besides those in the files.
        retired: Issuing authorities of which the reader knows that they issue no more.

    Raises:
        DirectoryInvalidError: A file is missing or not signed as it must be.
    """
    chain = roles.chain_in(_as_served(files), anchor)
    if chain is None:
        raise roles.invalid(layout.ROOT, f"no root file has the SHA-256 {anchor}.")
    stamp = roles.read_timestamp(_take(files, layout.TIMESTAMP), chain.root)
    data = _take(files, layout.SNAPSHOT)
    snapshot = roles.read_snapshot(data, chain.root, stamp)
    top = _read(files, layout.TARGETS, chain.root, snapshot)
    entries = _read_entries(files, top, snapshot)
    info = layout.read_target(_target(top, layout.NETWORK_PATH), NetworkInfo)
    listed = _read(files, layout.REVOCATIONS, top, snapshot)
    revocations = layout.read_target(_target(listed, layout.REVOCATIONS_PATH), RevocationList)
    ownership = Ownership(list(entries.values()))
    return Extract(
        info=info,
        mark=DirectoryMark(version=snapshot.version, hash=sha256(data).hexdigest()),
        entries=entries,
        ownership=ownership,
        revocations=revocations,
        book=SealBook(
            entries.values(),
            ownership.owners,
            authorities=info.authorities,
            revocations=_all_revocations(revocations, info).union(known),
            retired=(*info.retired_authorities, *retired),
        ),
    )


def role_members(files: RoleFiles) -> dict[str, bytes]:
    """Takes role files apart for openssl.

    Returns:
        Members by name: ``roles/ROLE/file.json``, ``roles/ROLE/signed`` (exact bytes that were
        signed), ``roles/ROLE/KEYID.sig``, ``keys/KEYID.pem``, and ``crls/NN.der`` of the issuing
        authorities.

    Raises:
        EvidenceInvalidError: A file is not a TUF role file, or uses keys that openssl cannot.
    """
    members: dict[str, bytes] = {}
    keys: dict[str, Key] = {}
    signers: set[str] = set()
    for role, data in files.items():
        opened = _open(role, data)
        members[f"roles/{role}/file.json"] = data
        members[f"roles/{role}/signed"] = opened.signed_bytes
        for keyid, signature in opened.signatures.items():
            if signature.signature:
                members[f"roles/{role}/{keyid}.sig"] = _unhex(signature.signature, role)
                signers.add(keyid)
        keys.update(_delegated_keys(opened.signed))
    for keyid in signers & keys.keys():
        members[f"keys/{keyid}.pem"] = _pem(keys[keyid])
    for number, text in enumerate(_revocation_list(files).crls):
        members[f"crls/{number:02d}.der"] = layout.from_base64(text)
    return members


def fingerprints(files: RoleFiles) -> dict[str, str]:
    """SHA-256 of each root file, by role name, the oldest first."""
    found = [role for role in files if role.startswith(ROOT_PREFIX)]
    ordered = sorted(found, key=lambda role: (len(role), role))
    return {role: sha256(files[role]).hexdigest() for role in ordered}


def _as_served(files: RoleFiles) -> dict[str, bytes]:
    return {
        f"{role.removeprefix(ROOT_PREFIX)}.root.json": data
        for role, data in files.items()
        if role.startswith(ROOT_PREFIX)
    }


def _take(files: RoleFiles, role: str) -> bytes:
    data = files.get(role)
    if data is None:
        raise roles.invalid(role, "it is missing.")
    return data


def _read(files: RoleFiles, role: str, delegator: Root | Targets, snapshot: Snapshot) -> Targets:
    return roles.read_role(role, _take(files, role), delegator=delegator, snapshot=snapshot)


def _read_entries(files: RoleFiles, top: Targets, snapshot: Snapshot) -> dict[str, IdentityEntry]:
    identity = _read(files, layout.IDENTITY, top, snapshot)
    bins = roles.bins_of(layout.IDENTITY, identity)
    entries: dict[str, IdentityEntry] = {}
    for name in layout.bin_names(layout.IDENTITY):
        if name not in files:
            continue
        found = _read(files, name, identity, snapshot)
        for target in roles.targets_of(layout.IDENTITY, found, bins, name=name):
            entry = layout.read_target(target, IdentityEntry)
            if target.path != layout.identity_path(entry.code):
                raise roles.invalid(target.path, f"it is of {entry.code}.")
            entries[entry.code] = entry
    return entries


def _target(role: Targets, path: str) -> TargetFile:
    target = role.targets.get(path)
    if target is None:
        raise roles.invalid(path, "there is no such target.")
    return target


def _all_revocations(listed: RevocationList, info: NetworkInfo) -> Revocations:
    try:
        known = from_entries(listed.entries)
        authorities = [read_certificate(layout.from_base64(text)) for text in info.authorities]
        for text in listed.crls:
            crl = x509.load_der_x509_crl(layout.from_base64(text))
            for authority in authorities:
                if crl.issuer == authority.subject and _is_signed_by(crl, authority):
                    known = known.union(from_crl(crl, authority))
    except UNREADABLE as error:
        raise roles.invalid(layout.REVOCATIONS_PATH, f"{error}.") from error
    return known


def _is_signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return False
    return crl.is_signature_valid(key)


def _revocation_list(files: RoleFiles) -> RevocationList:
    signed: object = _open(layout.REVOCATIONS, _take(files, layout.REVOCATIONS)).signed
    if not isinstance(signed, Targets):
        raise roles.invalid(layout.REVOCATIONS, "it is a file of another role.")
    return layout.read_target(_target(signed, layout.REVOCATIONS_PATH), RevocationList)


def _open(role: str, data: bytes) -> Metadata[Root]:
    try:
        opened = Metadata[Root].from_bytes(data)
        opened.signed_bytes  # noqa: B018 - made when read
    except (DeserializationError, SerializationError) as error:
        raise EvidenceInvalidError(f"roles/{role}/file.json is not a TUF role file.") from error
    return opened


def _delegated_keys(signed: object) -> Mapping[str, Key]:
    if isinstance(signed, Root):
        return signed.keys
    if isinstance(signed, Targets) and signed.delegations is not None:
        return signed.delegations.keys
    return {}


def _unhex(text: str, where: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise EvidenceInvalidError(f"A signature or key of {where} is not hex.") from error


def _pem(key: Key) -> bytes:
    public = key.keyval.get("public")
    if not isinstance(public, str) or not public.isascii():
        raise EvidenceInvalidError(f"The key {key.keyid} has no public key that can be read.")
    if key.keytype != "ed25519":
        return public.encode("ascii")
    try:
        raw = Ed25519PublicKey.from_public_bytes(_unhex(public, f"key {key.keyid}"))
    except ValueError as error:
        raise EvidenceInvalidError(f"The key {key.keyid} is no Ed25519 key.") from error
    return raw.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
