"""Makes ``vectors/sealed_statements.json``; with ``--check`` tells whether it would make the same.

Everything in it is fixed: keys are small numbers (worth nothing, never use them), signatures are
deterministic (RFC 6979), times and ids are constants. The file is made once and never edited: a
change of it would be a change of the protocol.

    python tests/interop/build_vectors.py           writes the file
    python tests/interop/build_vectors.py --check   exits 1 when the file differs
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from msgspec.structs import replace

from edoccore.identity.keys import SoftwareSigner
from edoccore.signing import canonical
from edoccore.signing.merkle import EMPTY_ROOT
from edoccore.signing.seal import SealPlace, draft
from edoccore.signing.statements import (
    DOCUMENT_MEDIA_TYPE,
    RECORD_NAME,
    DirectoryMark,
    Envelope,
    EpochOpening,
    Operation,
    Part,
    Receipt,
    Result,
    Urgency,
    time_text,
)

FILE = Path(__file__).with_name("vectors") / "sealed_statements.json"
NETWORK = "vn-vectors"
TIME = datetime(2026, 11, 23, 3, 4, 5, 678000, tzinfo=UTC)
EPOCH = "019a2b3c-4d5e-7f60-8a1b-2c3d4e5f6071"
MESSAGE = "019a2b3c-4d5e-7f60-8a1b-000000000001"
DOCUMENT = "019a2b3c-4d5e-7f60-8a1b-000000000002"
RECORD = b'{"type":"edoc.document/v1"}'
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DAY = timedelta(days=1)

AUTHORITY_KEY = ec.derive_private_key(1001, ec.SECP256R1())
SEAL_KEY = ec.derive_private_key(1002, ec.SECP256R1())
TLS_KEY = ec.derive_private_key(1003, ec.SECP256R1())
STRANGER_KEY = ec.derive_private_key(1004, ec.SECP256R1())


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    serial: int,
    usage: ObjectIdentifier | None,
    until: datetime = TIME + 300 * DAY,
) -> x509.Certificate:
    """A certificate issued by the authority of the vectors; without usage, the authority itself."""
    is_authority = usage is None
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Issuing CA of the vectors")])
    subject = issuer if is_authority else _name(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before((TIME - 30 * DAY).replace(microsecond=0))
        .not_valid_after(until.replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(AUTHORITY_KEY.public_key()),
            critical=False,
        )
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(AUTHORITY_KEY, hashes.SHA256(), ecdsa_deterministic=True)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=not is_authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


AUTHORITY = certificate("", AUTHORITY_KEY, serial=1, usage=None, until=TIME + 900 * DAY)
SEAL = certificate("H26", SEAL_KEY, serial=2, usage=DOCUMENT_SIGNING)
TLS = certificate("H26", TLS_KEY, serial=3, usage=ExtendedKeyUsageOID.SERVER_AUTH)
ENDED = certificate("H26", SEAL_KEY, serial=4, usage=DOCUMENT_SIGNING, until=TIME - DAY)
STRANGER = certificate("H26", STRANGER_KEY, serial=5, usage=DOCUMENT_SIGNING)


def der(item: x509.Certificate) -> bytes:
    """DER of a certificate."""
    return item.public_bytes(Encoding.DER)


def envelope(**changes: object) -> bytes:
    """The envelope of the worked example in proto/README.md."""
    record = Part(
        index=0,
        name=RECORD_NAME,
        media_type=DOCUMENT_MEDIA_TYPE,
        size=len(RECORD),
        sha256=sha256(RECORD).hexdigest(),
    )
    value = Envelope(
        network=NETWORK,
        message_id=MESSAGE,
        document_id=DOCUMENT,
        from_="H26",
        to="H29",
        to_node="H29",
        epoch=EPOCH,
        seq=1,
        created=time_text(TIME - timedelta(seconds=2)),
        expires=time_text(TIME + 30 * DAY),
        urgency=Urgency.NORMAL,
        operation=Operation.NEW,
        parts=(record,),
    )
    return canonical.encode(replace(value, **changes))


def opening() -> bytes:
    """Statement 0 of seal 0."""
    return canonical.encode(
        EpochOpening(network=NETWORK, agency="H26", epoch=EPOCH, reason="start")
    )


def receipt() -> bytes:
    """An answer to the envelope, sealed by the wrong agency for simplicity."""
    return canonical.encode(
        Receipt(
            network=NETWORK,
            envelope=sha256(envelope()).hexdigest(),
            message_id=MESSAGE,
            from_="H26",
            to="H29",
            result=Result.RECEIVED,
            time=time_text(TIME),
        )
    )


def place(index: int = 0, by: x509.Certificate = SEAL) -> SealPlace:
    """Where the seals of the vectors stand; the journal root of index 0 is the empty one."""
    chain = (der(by), der(AUTHORITY))
    return SealPlace(
        network=NETWORK,
        signer="H26",
        certificates=tuple(sha256(item).hexdigest() for item in chain),
        suite=1,
        directory=DirectoryMark(version=1764000000, hash="ab" * 32),
        epoch=EPOCH,
        index=index,
        journal_root=EMPTY_ROOT,
    )


def case(
    why: str,
    statements: list[bytes],
    *,
    leaf: int = 0,
    reason: str | None = None,
    at: SealPlace | None = None,
    key: ec.EllipticCurvePrivateKey = SEAL_KEY,
    **changes: object,
) -> dict[str, Any]:
    """Seals statements and shows the one at ``leaf``, with what ``changes`` replaces."""
    made = draft(at or place(), statements, [], time=TIME)
    seal = changes.pop("seal", made.data)
    assert isinstance(seal, bytes)
    signer = SoftwareSigner(key, _certificate_of(key))
    shown: dict[str, Any] = {
        "why": why,
        "statement": statements[leaf],
        "leaf": leaf,
        "proof": made.statement_proofs[leaf],
        "seal": seal,
        "signature": signer.sign(seal),
        **changes,
    }
    shown["proof"] = [node.hex() for node in shown["proof"]]
    for name in ("statement", "seal", "signature"):
        shown[name] = shown[name].hex()
    return shown if reason is None else {"reason": reason, **shown}


def _certificate_of(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return {id(SEAL_KEY): SEAL, id(TLS_KEY): TLS, id(STRANGER_KEY): STRANGER}[id(key)]


def high_s(signature: bytes) -> bytes:
    """The other signature of the same key over the same bytes."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, ORDER - s)


def accepted() -> list[dict[str, Any]]:
    """What every implementation must take."""
    five = [opening(), receipt(), envelope(), envelope(seq=2), envelope(seq=3)]
    return [
        case("one statement, so the proof is empty", [envelope()]),
        case("first of two", [envelope(), receipt()]),
        *[
            case(f"leaf {leaf} of a tree of five", five, leaf=leaf, at=place(7))
            for leaf in (2, 3, 4)
        ],
        case("seq at its largest", [envelope(seq=2**53 - 1)]),
        case(
            "Vietnamese, quotes and a backslash in the code of a unit, exactly as given",
            [envelope(from_='Sở "Nội\\vụ"')],
        ),
    ]


def refused() -> list[dict[str, Any]]:
    """What every implementation must refuse, with the reason."""
    two = [envelope(), receipt()]
    plain = draft(place(), [envelope()], [], time=TIME)
    signature = SoftwareSigner(SEAL_KEY, SEAL).sign(plain.data)
    other = draft(place(1), [envelope()], [], time=TIME).data
    invalid, spaced = "SEAL_INVALID", envelope().replace(b",", b", ", 1)
    certificates = "SEAL_CERTIFICATE_REFUSED"
    long = b'{"type":"edoc.envelope/v1"' + b" " * 65536 + b"}"
    return [
        case(
            "another statement than sealed", [envelope()], reason=invalid, statement=envelope(seq=9)
        ),
        case("another leaf than stated", two, leaf=1, reason=invalid, statement=envelope()),
        case("proof left out", two, reason=invalid, proof=[]),
        case("proof altered", two, reason=invalid, proof=[bytes(32)]),
        case("proof too long", [envelope()], reason=invalid, proof=[bytes(32)]),
        case("hash of 31 bytes in the proof", two, reason=invalid, proof=[bytes(31)]),
        case("high s: a second form of a good signature", [envelope()], reason=invalid)
        | {"signature": high_s(signature).hex()},
        case("signature with a byte more", [envelope()], reason=invalid)
        | {"signature": (signature + b"\0").hex()},
        case("signature over another seal", [envelope()], reason=invalid)
        | {"seal": other.hex(), "signature": signature.hex()},
        case("signed with another key", [envelope()], reason=invalid, key=STRANGER_KEY),
        case(
            "suite of another kind of key",
            [envelope()],
            reason=invalid,
            seal=plain.data.replace(b'"suite":1', b'"suite":3'),
        ),
        case(
            "certificate that is not listed",
            [envelope()],
            reason=certificates,
            at=place(by=STRANGER),
        ),
        case(
            "TLS certificate as seal",
            [envelope()],
            reason=certificates,
            at=place(by=TLS),
            key=TLS_KEY,
        ),
        case(
            "certificate that had ended when it sealed",
            [envelope()],
            reason=certificates,
            at=place(by=ENDED),
        ),
        case(
            "seal of another network",
            [envelope()],
            reason="WRONG_NETWORK",
            seal=plain.data.replace(b"vn-vectors", b"vn-another"),
        ),
        case(
            "seal with a space",
            [envelope()],
            reason="NOT_CANONICAL",
            seal=plain.data.replace(b",", b", ", 1),
        ),
        case(
            "seal with an unknown field",
            [envelope()],
            reason="NOT_CANONICAL",
            seal=plain.data[:-1] + b',"zone":"x"}',
        ),
        case("statement with a space, sealed as it is", [spaced], reason="NOT_CANONICAL"),
        case("statement with a field twice", [_doubled()], reason="NOT_CANONICAL"),
        case(
            "seq of 2^53",
            [envelope(seq=2**53 - 1).replace(b"9007199254740991", b"9007199254740992")],
            reason="NOT_CANONICAL",
        ),
        case("receipt where an envelope belongs", [receipt()], reason="STATEMENT_TYPE_UNEXPECTED"),
        case("statement over 64 KiB", [long], reason="STATEMENT_TOO_LARGE"),
    ]


def _doubled() -> bytes:
    return envelope().replace(b'"seq":1', b'"seq":1,"seq":1')


def build() -> str:
    """The text of the file."""
    content = {
        "network": NETWORK,
        "signer": "H26",
        "now": time_text(TIME + timedelta(minutes=1)),
        "authority": der(AUTHORITY).hex(),
        "listed": [der(item).hex() for item in (SEAL, TLS, ENDED)],
        "seal_digest": sha256(draft(place(), [envelope()], [], time=TIME).data).hexdigest(),
        "accepted": accepted(),
        "refused": refused(),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes or checks the file."""
    text = build()
    if "--check" not in sys.argv:
        FILE.write_text(text, encoding="utf-8")
        return 0
    same = FILE.read_text(encoding="utf-8") == text
    print("same" if same else f"{FILE.name} is not what this script makes")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
