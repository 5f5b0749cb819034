"""The vectors of encrypted parts: this implementation agrees with them, years later too.

They were wrapped once with chance, so a release of the library below that reads hybrid HPKE in
another way than before fails here, before anybody's documents become unreadable.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edoccore.identity.encryption import PrivateEncryptionKey
from edoccore.office_errors import PartNotDecryptedError
from edoccore.signing.encryption import (
    PartDecryptor,
    PartEncryptor,
    PartPlace,
    commitment_of,
    content_key,
    encrypted_size,
    wrapping_info,
)

FILE = Path(__file__).parent / "vectors" / "encryption.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
AGENCIES = {agency["code"]: agency for agency in VECTORS["agencies"]}


def private(agency: str) -> PrivateEncryptionKey:
    found = AGENCIES[agency]
    return PrivateEncryptionKey(
        MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(found["mlkem_seed"])),
        X25519PrivateKey.from_private_bytes(bytes.fromhex(found["x25519_private"])),
    )


def place(case: dict[str, Any]) -> PartPlace:
    found = {name: case.get(name, value) for name, value in VECTORS["place"].items()}
    return PartPlace(
        network=found["network"],
        document_id=found["document_id"],
        sender=found["from"],
        index=found["index"],
    )


def opened(case: dict[str, Any], agency: str) -> bytes:
    key = private(agency)
    keys = {key.public.sha256: lambda: key}
    decryptor = PartDecryptor(place(case), lambda header: content_key(header, agency, keys))
    return decryptor.update(bytes.fromhex(case["part"])) + decryptor.finish()


@pytest.mark.parametrize("agency", AGENCIES)
def test_keys_and_what_they_are_wrapped_for_agree(agency: str) -> None:
    found = AGENCIES[agency]
    assert private(agency).public.data.hex() == found["public"]
    info = wrapping_info(place({}), agency, VECTORS["commitment"])
    assert info.hex() == found["info"]
    assert commitment_of(bytes.fromhex(VECTORS["content_key"])) == VECTORS["commitment"]


@pytest.mark.parametrize("agency", AGENCIES)
@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["why"])
def test_every_reader_opens_what_is_accepted(case: dict[str, Any], agency: str) -> None:
    assert opened(case, agency).hex() == case["content"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_what_is_refused_is_never_good(case: dict[str, Any]) -> None:
    with pytest.raises(PartNotDecryptedError):
        opened(case, "H29")


@pytest.mark.parametrize("case", VECTORS["chunks"], ids=lambda case: str(case["size"]))
def test_header_and_content_key_fix_every_byte_of_a_part(case: dict[str, Any]) -> None:
    header = bytes.fromhex(VECTORS["header"])
    encryptor = PartEncryptor(header, bytes.fromhex(VECTORS["content_key"]))
    content = bytes(at % 251 for at in range(case["size"]))
    part = encryptor.update(content) + encryptor.finish()
    assert sha256(part).hexdigest() == case["part_sha256"]
    assert len(part) == encrypted_size(header, case["size"])
