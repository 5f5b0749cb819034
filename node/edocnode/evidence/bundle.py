"""Writes the evidence of one message as a zip that is the same for the same content.

Members have fixed names, fixed times and are stored, not compressed: nobody can hide a bomb in it,
and no version of a compression library changes its bytes. Parts are copied through, never held in
memory, and compared with what the envelope states on the way.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.resources import files as package_files
from typing import BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from edoccore.directory.layout import codes_by_officers
from edoccore.directory.view import Directory
from edoccore.errors import AgencyUnknownError, EvidenceInvalidError, StorageDamagedError
from edoccore.identity.keys import MANIFEST_CONTEXT, Signer, halves_of
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Envelope, Part, Seal, parse_time, time_text
from edocnode.domain.evidence import MAX_STATUSES, MessageEvidence
from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.evidence import asic
from edocnode.evidence import manifest as manifests
from edocnode.evidence.cms import Cades
from edocnode.evidence.directory_extract import role_files
from edocnode.evidence.manifest import Manifest, Member, all_digests
from edocnode.evidence.members import (
    NO_RECEIPT,
    SALT,
    SUBAGENCIES,
    derived_members,
    part_name,
    record_name,
    status_folder,
)

OpenBlob = Callable[[str], AbstractContextManager[Iterable[bytes]]]

_ZIP_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can state
_READABLE = 0o100644 << 16
_UNIX = 3


@dataclass(frozen=True, slots=True)
class Exporter:
    """Who makes the file, and the seal key that signs its manifest."""

    agency: str
    signer: Signer


def write_bundle(
    file: BinaryIO,
    evidence: MessageEvidence,
    *,
    directory: Directory,
    exporter: Exporter,
    open_blob: OpenBlob,
    now: datetime,
    container: EvidenceFormat = EvidenceFormat.ZIP,
) -> str:
    """Writes the evidence of one message.

    Args:
        file: Open for writing in binary, seekable, empty. Not closed, not fsynced.
        evidence: As storage holds it.
        directory: In force; the role files that matter go into the evidence.
        exporter: Signs the manifest.
        open_blob: Opens the bytes of a part in the blob folder by its digest (hex).
        now: Aware, UTC.
        container: How it is packed.

    Returns:
        SHA-256 of the manifest, lower hex: one line that names the whole file.

    Raises:
        StorageDamagedError: A part is not what the envelope states; the file is incomplete.
        EvidenceInvalidError: There are more statuses than a file can hold.
        SealCertificateError: The directory does not list a certificate that sealed.
        SealerStoppedError: The key cannot be reached at the moment.
    """
    envelope = canonical.decode(evidence.envelope.statement, Envelope)
    small, chain = _small_members(evidence, directory, exporter)
    parts = {
        part_name(part.index): part
        for part in envelope.parts
        if part.index in evidence.inline or part.index in evidence.blobs
    }
    listing = Manifest(
        network=envelope.network,
        agency=exporter.agency,
        certificates=tuple(sha256(der).hexdigest() for der in chain),
        suite=exporter.signer.suite,
        time=time_text(now),
        message_id=envelope.message_id,
        members=_listing(small, parts),
    )
    data = canonical.encode(listing, limit=manifests.MAX_MANIFEST_BYTES)
    signature = exporter.signer.sign(data, MANIFEST_CONTEXT)
    head, tail = _wrapping(container, listing, data, signature, chain=chain, exporter=exporter)
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for name, content in head.items():
            _put(archive, name, content)
        for name, content in manifests.signed_members(data, signature, listing.suite).items():
            _put(archive, name, content)
        for name in sorted(small):
            _put(archive, name, small[name])
        _copy_parts(archive, parts, evidence, open_blob)
        for name, content in tail.items():
            _put(archive, name, content)
    return sha256(data).hexdigest()


def _wrapping(
    container: EvidenceFormat,
    listing: Manifest,
    data: bytes,
    signature: bytes,
    *,
    chain: tuple[bytes, ...],
    exporter: Exporter,
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What a format puts before all other members, and after them."""
    if container is EvidenceFormat.ZIP:
        return {}, {}
    manifest = asic.manifest_of(all_digests(listing, data, signature))
    cades = Cades(manifest, listing.suite, chain, parse_time(listing.time))
    whole = exporter.signer.sign(cades.to_be_signed, asic.CONTEXT)
    signed = cades.signed_data(halves_of(whole, listing.suite)[0])
    return {asic.MIMETYPE: asic.MEDIA_TYPE}, {asic.MANIFEST: manifest, asic.SIGNATURE: signed}


def instructions() -> bytes:
    """The text that tells a person how to check by hand."""
    return package_files("edocnode.evidence").joinpath(manifests.INSTRUCTIONS).read_bytes()


def folders_of(evidence: MessageEvidence, directory: Directory) -> dict[str, SealedStatement]:
    """The sealed statements of the evidence, by the folder they go into."""
    folders = {"envelope": evidence.envelope}
    if evidence.receipt is not None:
        folders["receipt"] = evidence.receipt
    if evidence.no_receipt is not None:
        folders[NO_RECEIPT] = evidence.no_receipt.sealed
    for number, status in enumerate(evidence.statuses, 1):
        folders[status_folder(number)] = status.envelope
        if status.receipt is not None:
            folders[f"{status_folder(number)}-receipt"] = status.receipt
    listed = _list_of_sender(evidence, directory)
    return folders if listed is None else {**folders, SUBAGENCIES: listed}


def _list_of_sender(evidence: MessageEvidence, directory: Directory) -> SealedStatement | None:
    """The sender's own list of sub-agencies, when that alone says whose the code is."""
    signer = canonical.decode(evidence.envelope.seal.data, Seal).signer
    sender = canonical.decode(evidence.envelope.statement, Envelope).from_
    entry, listed = directory.identities.get(signer), directory.lists.get(signer)
    if listed is None or entry is None or sender in codes_by_officers(entry):
        return None
    return listed.sealed


def _signers(
    evidence: MessageEvidence, folders: Mapping[str, SealedStatement], exporter: Exporter
) -> dict[str, tuple[str, str]]:
    """Agency and certificate behind the seal of each folder, and behind the manifest."""
    if len(evidence.statuses) > MAX_STATUSES:
        raise EvidenceInvalidError(
            f"The message has {len(evidence.statuses)} statuses; a file holds {MAX_STATUSES}."
        )
    signers = {manifests.MANIFEST: (exporter.agency, exporter.signer.certificate_digest)}
    for folder, sealed in folders.items():
        seal = canonical.decode(sealed.seal.data, Seal)
        signers[folder] = (seal.signer, seal.certificates[0])
    return signers


def _parties(evidence: MessageEvidence, directory: Directory) -> set[str]:
    """Owners of the codes in the envelope: who followed one that has ended is in its entry."""
    envelope = canonical.decode(evidence.envelope.statement, Envelope)
    found = set()
    for code in (envelope.from_, envelope.to):
        try:
            found.add(directory.agency(code).owner)
        except AgencyUnknownError:  # it left the directory; whoever sealed is there
            continue
    return found


def _small_members(
    evidence: MessageEvidence, directory: Directory, exporter: Exporter
) -> tuple[dict[str, bytes], tuple[bytes, ...]]:
    """All members but the manifest and the parts; and the chain of the maker's certificate."""
    folders = folders_of(evidence, directory)
    signers = _signers(evidence, folders, exporter)
    chains = {name: directory.seals.listed(*signer).chain for name, signer in signers.items()}
    agencies = {agency for agency, _ in signers.values()}
    roles = role_files(directory, agencies | _parties(evidence, directory))
    times = {
        name: evidence.times[sealed.seal]
        for name, sealed in folders.items()
        if sealed.seal in evidence.times
    }
    members = derived_members(folders, roles, chains, times)
    for number, status in enumerate(evidence.statuses, 1):
        if status.record is not None:
            members[record_name(number)] = status.record
    if evidence.no_receipt is not None:
        members[SALT] = evidence.no_receipt.salt
    members[manifests.INSTRUCTIONS] = instructions()
    return members, chains[manifests.MANIFEST]


def _listing(small: Mapping[str, bytes], parts: Mapping[str, Part]) -> tuple[Member, ...]:
    members = [
        Member(name=name, size=len(data), sha256=sha256(data).hexdigest())
        for name, data in small.items()
    ]
    members += [
        Member(name=name, size=part.size, sha256=part.sha256) for name, part in parts.items()
    ]
    return tuple(sorted(members, key=lambda member: member.name))


def _put(archive: ZipFile, name: str, data: bytes) -> None:
    with archive.open(_entry(name, len(data)), "w") as member:
        member.write(data)


def _copy_parts(
    archive: ZipFile, parts: Mapping[str, Part], evidence: MessageEvidence, open_blob: OpenBlob
) -> None:
    for name, part in sorted(parts.items()):
        if part.index in evidence.inline:
            _copy(archive, name, part, [evidence.inline[part.index]])
        else:
            with open_blob(part.sha256) as pieces:
                _copy(archive, name, part, pieces)


def _copy(archive: ZipFile, name: str, part: Part, pieces: Iterable[bytes]) -> None:
    digest, size = sha256(), 0
    with archive.open(_entry(name, part.size), "w") as member:
        for piece in pieces:
            member.write(piece)
            digest.update(piece)
            size += len(piece)
    if size != part.size or digest.hexdigest() != part.sha256:
        raise StorageDamagedError(
            f"Part {part.index} ({part.name}) is stored with other bytes than its envelope states.",
            hint="Restore the node from a backup, or ask the other agency for its evidence.",
            sha256=part.sha256,
        )


def _entry(name: str, size: int) -> ZipInfo:
    entry = ZipInfo(name, _ZIP_BEGINNING)
    entry.compress_type = ZIP_STORED
    entry.create_system = _UNIX
    entry.external_attr = _READABLE
    entry.file_size = size
    return entry
