"""Seals: one signature for many statements, and the journal they form.

Builds the bytes of a seal and checks one that came from elsewhere. Signing itself is the signer's
(``identity.keys``); whether a certificate may seal for an agency is asked of ``SealTrust``, which
the directory answers.

Source: proto/README.md, sections Seals and Numbered checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from msgspec import Struct

from edoccore.errors import SealInvalidError, WrongNetworkError
from edoccore.identity.keys import LATTICE_BYTES, PublicKey, verify_signature
from edoccore.signing import canonical, merkle
from edoccore.signing.statements import DirectoryMark, Seal, Tree, parse_time, time_text

SALT_BYTES = 16  # in front of an effect, so that a leaf tells nothing of a guessable content


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPlace:
    """Where a seal stands: whose, with which key, in which epoch, after which seals."""

    network: str
    signer: str
    certificates: tuple[str, ...]
    suite: int
    directory: DirectoryMark
    epoch: str
    index: int
    journal_root: bytes


@dataclass(frozen=True, slots=True)
class SealDraft:
    """A seal ready to be signed, with the proof of each of its statements and effects."""

    data: bytes
    statement_proofs: list[list[bytes]]
    effect_proofs: list[list[bytes]]


class SignedSeal(Struct, frozen=True):
    """The exact bytes of a seal and the signature over them, in the one form of its suite."""

    data: bytes
    signature: bytes

    def digest(self) -> bytes:
        """SHA-256 of the seal's bytes; names the seal whatever its signature bytes are."""
        return sha256(self.data).digest()

    @property
    def is_quick(self) -> bool:
        """Whether verifying takes less than a change of threads; by its length, not of suite 2."""
        return len(self.signature) < LATTICE_BYTES


class SealedStatement(Struct, frozen=True):
    """A statement that proves itself alone: its bytes, its place in the tree, the seal."""

    statement: bytes
    leaf: int
    proof: tuple[bytes, ...]
    seal: SignedSeal


@dataclass(frozen=True, slots=True)
class VerifiedSeal:
    """A seal whose signature and certificate were checked."""

    seal: Seal
    digest: bytes
    time: datetime


class SealTrust(Protocol):
    """Says with which key a seal of an agency must verify."""

    def seal_key(self, seal: Seal, at: datetime) -> PublicKey:
        """Finds the key for a seal.

        Raises:
            AgencyUnknownError: The signer is not in the directory.
            SealCertificateError: Certificate not the signer's, of the wrong kind, revoked, or not
                valid at ``at`` and at the seal's own time.
        """


def draft(
    place: SealPlace, statements: Sequence[bytes], effects: Sequence[bytes], *, time: datetime
) -> SealDraft:
    """Builds a seal over statements and salted effects.

    Args:
        place: Where the seal stands.
        statements: Exact bytes of each.
        effects: Salt and exact bytes of each, joined.
        time: Not earlier than the seal before; the caller holds the clock.
    """
    leaves = [merkle.leaf_hash(item) for item in statements]
    effect_leaves = [merkle.leaf_hash(item) for item in effects]
    root, proofs = merkle.tree_of(leaves)
    effect_root, effect_proofs = merkle.tree_of(effect_leaves)
    seal = Seal(
        network=place.network,
        signer=place.signer,
        certificates=place.certificates,
        suite=place.suite,
        time=time_text(time),
        directory=place.directory,
        epoch=place.epoch,
        index=place.index,
        statements=Tree(size=len(leaves), root=root.hex()),
        effects=Tree(size=len(effect_leaves), root=effect_root.hex()),
        journal_root=place.journal_root.hex(),
    )
    return SealDraft(canonical.encode(seal), proofs, effect_proofs)


def open_seal(signed: SignedSeal, trust: SealTrust, *, network: str, at: datetime) -> VerifiedSeal:
    """Checks a seal that came from elsewhere (checks 1 to 4).

    Args:
        signed: As received; never re-encoded.
        trust: The directory in force.
        network: The network this party belongs to.
        at: Now.

    Raises:
        NotCanonicalError, StatementTooLargeError, StatementTypeError: Check 1, the bytes.
        WrongNetworkError: Check 2.
        AgencyUnknownError, SealCertificateError: Check 3, the certificate.
        SealInvalidError: Check 4, the signature.
    """
    seal = canonical.decode(signed.data, Seal)  # check 1
    if seal.network != network:  # check 2
        raise WrongNetworkError(
            f"The seal of {seal.signer} was made for network {seal.network}, not {network}.",
            signer=seal.signer,
        )
    key = trust.seal_key(seal, at)  # check 3
    verify_signature(key, seal.suite, signed.data, signed.signature)  # check 4
    return VerifiedSeal(seal, signed.digest(), _seal_time(seal))


def check_membership(
    seal: Seal,
    statement: bytes,
    leaf: int,
    proof: Sequence[bytes],
    proven: merkle.Proven | None = None,
) -> None:
    """Checks that a statement is leaf ``leaf`` of the seal's statement tree (check 5).

    Args:
        proven: Of this seal, for statements that are checked one after another.

    Raises:
        SealInvalidError: It is not.
    """
    merkle.verify_inclusion(
        merkle.leaf_hash(statement),
        leaf,
        size=seal.statements.size,
        proof=proof,
        root=bytes.fromhex(seal.statements.root),
        proven=proven,
    )


def check_effect(
    seal: Seal, salt: bytes, effect: bytes, *, leaf: int, proof: Sequence[bytes]
) -> None:
    """Checks that an effect, behind its salt, is leaf ``leaf`` of the seal's tree of effects.

    Raises:
        SealInvalidError: It is not, or the salt has another length.
    """
    if len(salt) != SALT_BYTES:
        raise SealInvalidError(f"The salt of an effect has {SALT_BYTES} bytes, not {len(salt)}.")
    merkle.verify_inclusion(
        merkle.leaf_hash(salt + effect),
        leaf,
        size=seal.effects.size,
        proof=proof,
        root=bytes.fromhex(seal.effects.root),
    )


def _seal_time(seal: Seal) -> datetime:
    try:
        return parse_time(seal.time)
    except ValueError as error:
        raise SealInvalidError(f"The seal of {seal.signer} names no real time.") from error
