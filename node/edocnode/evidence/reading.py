"""Takes the statements out of an evidence file and checks each: form, seal, place in the tree.

What the statements say of each other is checked by ``links``, when they existed by ``times``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from edoccore.directory.seals import ListedSeal
from edoccore.errors import EdocError
from edoccore.identity.keys import LATTICE_BYTES, MANIFEST_CONTEXT, verify_signature
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SignedSeal, check_effect, check_membership
from edoccore.signing.statements import (
    MAX_LIST_BYTES,
    Effect,
    Envelope,
    Receipt,
    Seal,
    SubAgencies,
    parse_time,
)
from edocnode.domain.timestamps import TimeProof
from edocnode.evidence.container import Container, invalid
from edocnode.evidence.directory_extract import Extract
from edocnode.evidence.manifest import (
    MANIFEST,
    MANIFEST_LATTICE,
    MANIFEST_SIGNATURE,
    MAX_MANIFEST_BYTES,
    Manifest,
)
from edocnode.evidence.members import NO_RECEIPT, SALT, SUBAGENCIES, TIMESTAMP

_FOLDER = re.compile(
    r"(envelope|receipt|no-receipt|subagencies|status-[0-9]{2}|status-[0-9]{2}-receipt)"
    r"/statement\.json"
)
_LEAF = re.compile(rb"(0|[1-9][0-9]{0,15})\n")
_PLACE = re.compile(rb"(0|[1-9][0-9]{0,15}) [1-9][0-9]{0,15}\n")
_MAX_PROOF = 64
Said = Envelope | Receipt | Effect | SubAgencies
_KINDS: Mapping[str, type[Said]] = {NO_RECEIPT: Effect, SUBAGENCIES: SubAgencies}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStatement:
    """A statement under a seal that holds.

    Attributes:
        folder: Where it is in the file.
        value: An envelope, a receipt, the effect that there was none, or a list.
        digest: SHA-256 of its bytes, lower hex.
        listed: The certificate of the seal.
        time: Of the seal.
    """

    folder: str
    sealed: SealedStatement
    value: Said
    digest: str
    seal: Seal
    listed: ListedSeal
    time: datetime


def read_manifest(container: Container) -> tuple[Manifest, bytes]:
    """Reads the manifest; its signature is checked later.

    Raises:
        EvidenceInvalidError: It is missing or not canonical.
    """
    data = container.read(MANIFEST)
    try:
        return canonical.decode(data, Manifest, limit=MAX_MANIFEST_BYTES), data
    except EdocError as error:
        raise invalid(MANIFEST, error.message.rstrip(".")) from error


def check_manifest(
    container: Container, manifest: Manifest, data: bytes, extract: Extract
) -> ListedSeal:
    """Checks who signed the manifest.

    Raises:
        EvidenceInvalidError: Not the agency in it, with a certificate valid at its time.
    """
    try:
        listed = extract.book.listed(manifest.agency, manifest.certificates[0])
        if manifest.certificates != listed.digests:
            raise invalid(MANIFEST, "it names other issuers than the directory")
        if not listed.is_valid(_time(manifest.time, MANIFEST)):
            raise invalid(MANIFEST, "the certificate was not valid at its time")
        since = extract.book.weak_since(manifest.agency, manifest.suite)
        if since is not None and _time(manifest.time, MANIFEST) >= since:
            raise invalid(MANIFEST, "its suite is weaker than the agency's minimum then")
        signature = manifest_signature(container)
        verify_signature(listed.key, manifest.suite, data, signature, MANIFEST_CONTEXT)
    except EdocError as error:
        raise invalid(MANIFEST, error.message.rstrip(".")) from error
    return listed


def manifest_signature(container: Container) -> bytes:
    """The signature over the manifest; not checked.

    Raises:
        EvidenceInvalidError: It is missing or of the wrong size.
    """
    return _joined(container, MANIFEST_SIGNATURE, MANIFEST_LATTICE)


def read_statements(container: Container) -> dict[str, SealedStatement]:
    """Takes the sealed statements out, by folder.

    Raises:
        EvidenceInvalidError: A member of one is missing or of the wrong size.
    """
    folders = [match[1] for name in container.names if (match := _FOLDER.fullmatch(name))]
    if "envelope" not in folders:
        raise invalid("envelope/statement.json", "it is missing")
    return {folder: _read_sealed(container, folder) for folder in sorted(folders)}


def read_times(container: Container, folders: Iterable[str]) -> dict[str, TimeProof]:
    """Takes the proofs of time out, by folder; none of them is checked.

    Raises:
        EvidenceInvalidError: A member of one is missing or of the wrong size.
    """
    return {
        folder: _read_time(container, folder)
        for folder in folders
        if f"{folder}/{TIMESTAMP}" in container.names
    }


def read_salt(container: Container) -> bytes:
    """The salt of the effect in the evidence; empty when there is no effect.

    Raises:
        EvidenceInvalidError: It is missing, or there without an effect.
    """
    if f"{NO_RECEIPT}/statement.json" in container.names:
        return container.read(SALT)
    if SALT in container.names:
        raise invalid(SALT, "nothing in the evidence leads to it")
    return b""


def check_statement(
    folder: str, sealed: SealedStatement, extract: Extract, salt: bytes = b""
) -> CheckedStatement:
    """Checks one statement: canonical, network, certificate, signature, membership.

    Args:
        salt: Of an effect.

    Raises:
        EvidenceInvalidError: One of these does not hold; says which.
    """
    kind: type[Said] = Receipt if folder.endswith("receipt") else Envelope
    kind = _KINDS.get(folder, kind)
    limit = MAX_LIST_BYTES if kind is SubAgencies else canonical.MAX_STATEMENT_BYTES
    try:
        seal = canonical.decode(sealed.seal.data, Seal)
        value = canonical.decode(sealed.statement, kind, limit=limit)
        time = _time(seal.time, f"{folder}/seal.json")
        listed = extract.book.check_past_seal(seal, time)
        verify_signature(listed.key, seal.suite, sealed.seal.data, sealed.seal.signature)
        if folder == NO_RECEIPT:
            check_effect(seal, salt, sealed.statement, leaf=sealed.leaf, proof=sealed.proof)
        else:
            check_membership(seal, sealed.statement, sealed.leaf, sealed.proof)
    except EdocError as error:
        raise invalid(folder, error.message.rstrip(".")) from error
    if {seal.network, value.network} != {extract.info.network}:
        raise invalid(folder, f"it was made for another network than {extract.info.network}")
    return CheckedStatement(
        folder=folder,
        sealed=sealed,
        value=value,
        digest=sha256(sealed.statement).hexdigest(),
        seal=seal,
        listed=listed,
        time=time,
    )


def _read_sealed(container: Container, folder: str) -> SealedStatement:
    leaf = container.read(f"{folder}/leaf")
    if not _LEAF.fullmatch(leaf):
        raise invalid(f"{folder}/leaf", "it is not a number")
    return SealedStatement(
        container.read(f"{folder}/statement.json"),
        int(leaf),
        _read_proof(container, f"{folder}/proof"),
        SignedSeal(
            container.read(f"{folder}/seal.json"),
            _joined(container, f"{folder}/seal.sig", f"{folder}/seal.mldsa"),
        ),
    )


def _joined(container: Container, classical: str, lattice: str) -> bytes:
    """A signature of its halves; whether its suite has a second one is seen when it is checked."""
    second = container.read(lattice) if lattice in container.names else b""
    if second and len(second) != LATTICE_BYTES:
        raise invalid(lattice, "it is no signature of ML-DSA-65")
    return container.read(classical) + second


def _read_time(container: Container, folder: str) -> TimeProof:
    place = container.read(f"{folder}/time-leaf")
    if not _PLACE.fullmatch(place):
        raise invalid(f"{folder}/time-leaf", "it is no place in a batch")
    leaf, size = map(int, place.split())
    return TimeProof(
        leaf=leaf,
        size=size,
        proof=_read_proof(container, f"{folder}/time-proof"),
        root=container.read(f"{folder}/time-root"),
        token=container.read(f"{folder}/{TIMESTAMP}"),
    )


def _read_proof(container: Container, prefix: str) -> tuple[bytes, ...]:
    proof: list[bytes] = []
    while (name := f"{prefix}-{len(proof):02d}") in container.names:
        proof.append(container.read(name))
        if len(proof) > _MAX_PROOF:
            raise invalid(name, "no proof is that long")
    return tuple(proof)


def _time(text: str, member: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise invalid(member, f"{text} is no real time") from error
