"""SHA-256 of small data, where many threads work at once."""

from hashlib import sha256

SMALL_BYTES = 16 * 1024
PIECE_BYTES = 2_047


def digest_of(data: bytes) -> bytes:
    """SHA-256, 32 bytes; small data in pieces for which Python keeps its lock.

    From 2,048 bytes on hashing lets other threads in, and getting the lock back costs more than
    the hash of a small document.
    """
    if len(data) > SMALL_BYTES:
        return sha256(data).digest()
    digest = sha256()
    for start in range(0, len(data), PIECE_BYTES):
        digest.update(data[start : start + PIECE_BYTES])
    return digest.digest()
