"""Makes ``vectors/suite2.json``: sealed statements under ECDSA P-256 together with ML-DSA-65.

Keys, times and ids are fixed as in ``build_vectors``. ML-DSA signs with chance (FIPS 204, 3.4), so
the same bytes do not come again: the file was made once and is never edited. A test reads it.

    python tests/interop/build_suite2.py    writes the file
"""

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from edoccore.identity.certificate import SECOND_KEY, second_key_bytes
from edoccore.identity.keys import MANIFEST_CONTEXT, PairSigner, SoftwareSigner, halves_of
from edoccore.signing.seal import SealPlace, draft
from edoccore.signing.statements import time_text
from tests.interop import build_vectors as plain

FILE = Path(__file__).with_name("vectors") / "suite2.json"
KEY = ec.derive_private_key(2002, ec.SECP256R1())
LATTICE = MLDSA65PrivateKey.from_seed_bytes(bytes(range(32)))


def pair_certificate() -> x509.Certificate:
    """A seal certificate that names both keys."""
    single = plain.certificate("H26", KEY, serial=22, usage=plain.DOCUMENT_SIGNING)
    builder = (
        x509.CertificateBuilder()
        .subject_name(single.subject)
        .issuer_name(single.issuer)
        .public_key(KEY.public_key())
        .serial_number(single.serial_number)
        .not_valid_before(single.not_valid_before_utc)
        .not_valid_after(single.not_valid_after_utc)
    )
    for extension in single.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    second = x509.UnrecognizedExtension(SECOND_KEY, second_key_bytes(LATTICE.public_key()))
    builder = builder.add_extension(second, critical=False)
    return builder.sign(plain.AUTHORITY_KEY, hashes.SHA256(), ecdsa_deterministic=True)


PAIR = pair_certificate()
SIGNER = PairSigner(SoftwareSigner(KEY, PAIR), LATTICE, PAIR)


def place(index: int = 0, by: x509.Certificate = PAIR, suite: int = 2) -> SealPlace:
    """Where a seal of these vectors stands."""
    found = plain.place(index, by)
    return SealPlace(**{name: getattr(found, name) for name in found.__slots__} | {"suite": suite})


def case(
    why: str, *, reason: str = "", at: SealPlace | None = None, **signed: bytes
) -> dict[str, Any]:
    """One envelope under one seal; ``signature`` replaces the real one."""
    made = draft(at or place(), [plain.envelope()], [], time=plain.TIME)
    shown: dict[str, Any] = {"reason": reason} if reason else {}
    return shown | {
        "why": why,
        "statement": plain.envelope().hex(),
        "leaf": 0,
        "proof": [],
        "seal": made.data.hex(),
        "signature": signed.get("signature", SIGNER.sign(made.data)).hex(),
    }


def accepted() -> list[dict[str, Any]]:
    """What every implementation must take."""
    return [case("both halves"), case("both halves, another place in the journal", at=place(7))]


def refused() -> list[dict[str, Any]]:
    """What every implementation must refuse, with the reason."""
    data = draft(place(), [plain.envelope()], [], time=plain.TIME).data
    other = draft(place(1), [plain.envelope()], [], time=plain.TIME).data
    one, two = halves_of(SIGNER.sign(data), 2)
    invalid = "SEAL_INVALID"
    altered = bytes([two[0] ^ 1]) + two[1:]
    stranger = MLDSA65PrivateKey.from_seed_bytes(bytes(32))
    single = draft(place(by=plain.SEAL), [plain.envelope()], [], time=plain.TIME).data
    alone = draft(place(suite=1), [plain.envelope()], [], time=plain.TIME).data
    signatures = {
        "ECDSA alone": one,
        "ML-DSA alone": two,
        "ML-DSA before ECDSA": two + one,
        "high s in the ECDSA half": plain.high_s(one) + two,
        "one bit of the ML-DSA half altered": one + altered,
        "a byte more": one + two + b"\0",
        "ML-DSA half over another seal": one + halves_of(SIGNER.sign(other), 2)[1],
        "ECDSA half over another seal": halves_of(SIGNER.sign(other), 2)[0] + two,
        "ML-DSA half of another key": one + stranger.sign(data, b"edoc.seal/v1"),
        "ML-DSA half without context": one + LATTICE.sign(data),
        "ML-DSA half with the context of a manifest": one + LATTICE.sign(data, MANIFEST_CONTEXT),
    }
    return [
        *(case(why, reason=invalid, signature=signature) for why, signature in signatures.items()),
        case(
            "suite 1 under a certificate of two keys",
            reason=invalid,
            at=place(suite=1),
            signature=SoftwareSigner(KEY, PAIR).sign(alone),
        ),
        case(
            "suite 2 under a certificate of one key",
            reason=invalid,
            at=place(by=plain.SEAL),
            signature=SoftwareSigner(plain.SEAL_KEY, plain.SEAL).sign(single)
            + LATTICE.sign(single, b"edoc.seal/v1"),
        ),
    ]


def below_minimum() -> list[dict[str, Any]]:
    """Good seals of suite 1, refused where the directory says minimum 2."""
    at = place(by=plain.SEAL, suite=1)
    data = draft(at, [plain.envelope()], [], time=plain.TIME).data
    signature = SoftwareSigner(plain.SEAL_KEY, plain.SEAL).sign(data)
    reason = "SEAL_CERTIFICATE_REFUSED"
    return [case("suite 1 of an agency of minimum 2", reason=reason, at=at, signature=signature)]


def build() -> str:
    """The text of the file."""
    content = {
        "network": plain.NETWORK,
        "signer": "H26",
        "now": time_text(plain.TIME + timedelta(minutes=1)),
        "authority": plain.der(plain.AUTHORITY).hex(),
        "listed": [plain.der(item).hex() for item in (PAIR, plain.SEAL)],
        "mldsa_seed": bytes(range(32)).hex(),
        "mldsa_key_sha256": sha256(LATTICE.public_key().public_bytes_raw()).hexdigest(),
        "accepted": accepted(),
        "refused": refused(),
        "below_minimum": below_minimum(),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(build(), encoding="utf-8")
