"""Makes ``vectors/encryption.json``: encrypted parts, and what is none.

Private keys, ids and content keys are fixed. Wrapping takes chance (RFC 9180, 5.1), so the same
bytes do not come again: the file was made once and is never edited. A test reads it.

    python tests/interop/build_encryption.py    writes the file
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import structs

from edoccore.identity.encryption import PrivateEncryptionKey
from edoccore.signing import canonical
from edoccore.signing.encryption import (
    MAX_HEADER_BYTES,
    Encryption,
    PartEncryptor,
    PartPlace,
    Reader,
    header_for,
    wrapping_info,
)

FILE = Path(__file__).with_name("vectors") / "encryption.json"
PLACE = PartPlace(
    network="vn-vectors",
    document_id="019a2b3c-4d5e-7f60-8a1b-000000000002",
    sender="H26",
    index=1,
)
SEEDS = {"H26": (bytes(range(64)), bytes(range(32))), "H29": (bytes([9]) * 64, bytes([7]) * 32)}
CONTENT_KEY = bytes(range(100, 132))
OTHER_KEY = bytes(range(32))
CONTENT = "Nghị quyết số 1".encode()
LONG = 150_000  # bytes: three chunks


def private(agency: str) -> PrivateEncryptionKey:
    """The encryption key of an agency."""
    lattice, curve = SEEDS[agency]
    return PrivateEncryptionKey(
        MLKEM768PrivateKey.from_seed_bytes(lattice), X25519PrivateKey.from_private_bytes(curve)
    )


READERS = [Reader(agency, private(agency).public) for agency in SEEDS]


def encrypted(header: bytes, content: bytes, key: bytes = CONTENT_KEY) -> bytes:
    """A part."""
    encryptor = PartEncryptor(header, key)
    return encryptor.update(content) + encryptor.finish()


def pattern(size: int) -> bytes:
    """Bytes 0 to 250, again and again."""
    return bytes(at % 251 for at in range(size))


def refused(header: bytes, part: bytes) -> Iterator[dict[str, Any]]:
    """What gives no content to H29."""
    start = len(part) - len(CONTENT) - 32 - 16
    flipped = bytearray(part)
    flipped[-1] ^= 1
    yield {"why": "the last byte was changed", "part": bytes(flipped).hex()}
    yield {"why": "it was cut off before its only chunk", "part": part[:start].hex()}
    yield {"why": "a byte follows", "part": (part + b"\0").hex()}
    yield {
        "why": "another document",
        "part": part.hex(),
        "document_id": PLACE.document_id[:-1] + "3",
    }
    yield {"why": "another sender", "part": part.hex(), "from": "H27"}
    yield {"why": "another part of the document", "part": part.hex(), "index": 2}
    yield {"why": "another network", "part": part.hex(), "network": "vn-other"}
    decoded = canonical.decode(header, Encryption, limit=MAX_HEADER_BYTES)
    moved = structs.replace(decoded, index=2)
    data = canonical.encode(moved, limit=MAX_HEADER_BYTES)
    yield {
        "why": "a stolen wrapped key in a header for another part",
        "part": encrypted(data, CONTENT).hex(),
        "index": 2,
    }
    one, two = decoded.keys
    swapped = structs.replace(
        decoded,
        keys=(structs.replace(one, wrapped=two.wrapped), structs.replace(two, wrapped=one.wrapped)),
    )
    data = canonical.encode(swapped, limit=MAX_HEADER_BYTES)
    yield {
        "why": "the wrapped keys of two readers are swapped",
        "part": encrypted(data, CONTENT).hex(),
    }
    yield {"why": "H29 was given another content key than H26", "part": two_faced(decoded).hex()}
    unknown = canonical.encode(structs.replace(decoded, suite=2), limit=MAX_HEADER_BYTES)
    yield {"why": "a suite that does not exist", "part": encrypted(unknown, CONTENT).hex()}
    yield {"why": "no encrypted part", "part": b"%PDF-1.7 a file in the clear".hex()}


def two_faced(header: Encryption) -> bytes:
    """A part that would open for H29 with another key than the one that its header commits to."""
    from base64 import b64encode

    wrapped = private("H29").public.wrap(OTHER_KEY, wrapping_info(PLACE, "H29", header.commitment))
    one, two = header.keys
    forged = structs.replace(two, wrapped=b64encode(wrapped).decode())
    data = canonical.encode(structs.replace(header, keys=(one, forged)), limit=MAX_HEADER_BYTES)
    return encrypted(data, CONTENT, OTHER_KEY)


def vectors() -> dict[str, Any]:
    """The whole file."""
    header = header_for(PLACE, CONTENT_KEY, READERS)
    part = encrypted(header, CONTENT)
    return {
        "place": {
            "network": PLACE.network,
            "document_id": PLACE.document_id,
            "from": PLACE.sender,
            "index": PLACE.index,
        },
        "agencies": [
            {
                "code": agency,
                "mlkem_seed": lattice.hex(),
                "x25519_private": curve.hex(),
                "public": private(agency).public.data.hex(),
                "info": wrapping_info(PLACE, agency, _commitment(header)).hex(),
            }
            for agency, (lattice, curve) in SEEDS.items()
        ],
        "content_key": CONTENT_KEY.hex(),
        "commitment": _commitment(header),
        "header": header.hex(),
        "accepted": [
            {"why": "one chunk", "part": part.hex(), "content": CONTENT.hex()},
            {
                "why": "no content: the chunk has the digest alone",
                "part": encrypted(header, b"").hex(),
                "content": "",
            },
        ],
        "chunks": [
            {"size": size, "part_sha256": sha256(encrypted(header, pattern(size))).hexdigest()}
            for size in (65_503, 65_504, 65_505, 65_536, LONG)
        ],
        "refused": list(refused(header, part)),
    }


def _commitment(header: bytes) -> str:
    return canonical.decode(header, Encryption, limit=MAX_HEADER_BYTES).commitment


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
