"""Seals and sealed statements: rules <-> messages. Checks only form and limits, never trust."""

from collections.abc import Sequence

from edoccore.errors import LimitExceededError, SealInvalidError
from edoccore.signing.canonical import MAX_STATEMENT_BYTES
from edoccore.signing.seal import SealedStatement, SignedSeal
from edocnet.exchange.v1 import exchange_service_pb2 as messages

HASH_BYTES = 32
MAX_PROOF_HASHES = 64  # RFC 6962: a tree of 2^64 leaves
MAX_SIGNATURE_BYTES = 8 * 1024


def join_proof(proof: Sequence[bytes]) -> bytes:
    """The hashes of a proof one after the other."""
    return b"".join(proof)


def split_proof(joined: bytes) -> tuple[bytes, ...]:
    """The hashes of a joined proof.

    Raises:
        SealInvalidError: Not a whole number of hashes, or more than any tree needs.
    """
    if len(joined) % HASH_BYTES or len(joined) > MAX_PROOF_HASHES * HASH_BYTES:
        raise SealInvalidError(f"An inclusion proof cannot have {len(joined)} bytes.")
    return tuple(joined[i : i + HASH_BYTES] for i in range(0, len(joined), HASH_BYTES))


def seal_to_message(seal: SignedSeal) -> messages.Seal:
    """Writes a seal."""
    return messages.Seal(statement=seal.data, signature=seal.signature)


def seal_from_message(message: messages.Seal) -> SignedSeal:
    """Reads a seal.

    Raises:
        LimitExceededError: It is larger than a seal can be.
    """
    if len(message.statement) > MAX_STATEMENT_BYTES or len(message.signature) > MAX_SIGNATURE_BYTES:
        raise LimitExceededError("A seal is larger than 64 KiB, or its signature than 8 KiB.")
    return SignedSeal(message.statement, message.signature)


def sealed_to_message(sealed: SealedStatement) -> messages.SealedStatement:
    """Writes a sealed statement."""
    return messages.SealedStatement(
        statement=sealed.statement,
        leaf=sealed.leaf,
        proof=join_proof(sealed.proof),
        seal=seal_to_message(sealed.seal),
    )


def sealed_from_message(message: messages.SealedStatement) -> SealedStatement:
    """Reads a sealed statement.

    Raises:
        LimitExceededError, SealInvalidError: A field has an impossible size.
    """
    return SealedStatement(
        message.statement,
        message.leaf,
        split_proof(message.proof),
        seal_from_message(message.seal),
    )
