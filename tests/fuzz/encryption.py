"""Encrypted parts: any bytes give their content whole, or an error and nothing that is good."""

import json
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edoccore.identity.encryption import PrivateEncryptionKey
from edoccore.signing.encryption import (
    PartDecryptor,
    PartEncryptor,
    PartPlace,
    Reader,
    content_key,
    header_for,
)
from tests.fuzz.target import Target

VECTORS = Path(__file__).parents[1] / "interop" / "vectors" / "encryption.json"
PLACE = PartPlace(
    network="vn-vectors",
    document_id="019a2b3c-4d5e-7f60-8a1b-000000000002",
    sender="H26",
    index=1,
)
KEY = PrivateEncryptionKey(
    MLKEM768PrivateKey.from_seed_bytes(bytes([9]) * 64),
    X25519PrivateKey.from_private_bytes(bytes([7]) * 32),
)
CONTENT_KEY = bytes(32)


def part(data: bytes) -> None:
    """A part as it comes from a peer, in pieces."""
    keys = {KEY.public.sha256: lambda: KEY}
    decryptor = PartDecryptor(PLACE, lambda header: content_key(header, "H29", keys))
    given = b"".join(decryptor.update(data[at : at + 997]) for at in range(0, len(data), 997))
    given += decryptor.finish()
    assert len(given) < len(data)


def content(data: bytes) -> None:
    """What is encrypted comes back, whatever it is."""
    header = header_for(PLACE, CONTENT_KEY, [Reader("H29", KEY.public)])
    encryptor = PartEncryptor(header, CONTENT_KEY)
    made = encryptor.update(data) + encryptor.finish()
    decryptor = PartDecryptor(
        PLACE, lambda found: content_key(found, "H29", {KEY.public.sha256: lambda: KEY})
    )
    assert decryptor.update(made) + decryptor.finish() == data


def _parts() -> Iterator[bytes]:
    found = json.loads(VECTORS.read_text(encoding="utf-8"))
    for case in (*found["accepted"], *found["refused"]):
        yield bytes.fromhex(case["part"])


def _contents() -> Iterator[bytes]:
    yield from (b"", b"%PDF-1.7", bytes(65_504), bytes(65_505))


TARGETS = [
    Target(name="encrypted_part", run=part, seeds=_parts, max_bytes=8192),
    Target(name="encrypted_content", run=content, seeds=_contents, max_bytes=70_000, examples=30),
]
