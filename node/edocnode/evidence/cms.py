"""A seal in the form that other programs know: detached CMS SignedData (``.p7s``).

The signature of a seal is over its bytes alone, so it is also a CMS signature without signed
attributes, and ``openssl cms -verify`` accepts it. A CMS signature without attributes could be
misread as one *over* attributes when the signed bytes are DER of a SET; the bytes of a seal begin
with ``{`` (0x7b), which no DER SET (0x31) does, and that is checked here. Of suite 2 only the ECDSA
half is written so: a program that does not know ML-DSA takes no CMS with such a signer in it.

Source: RFC 5652, 5; RFC 5754 (algorithm identifiers).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509

from edoccore.errors import EvidenceInvalidError
from edoccore.identity.suites import Suite

_SEQUENCE, _SET, _INTEGER, _OCTETS = 0x30, 0x31, 0x02, 0x04
_CONTENT, _CERTIFICATES = 0xA0, 0xA0  # both [0], in different places
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_DATA = bytes.fromhex("06092a864886f70d010701")
_SHA256 = bytes.fromhex("300b0609608648016503040201")
_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
_SIGNATURE_ALGORITHMS = {
    Suite.ECDSA_P256_SHA256: _ECDSA,
    Suite.ECDSA_P256_MLDSA65: _ECDSA,
    Suite.RSA_PKCS1_SHA256: bytes.fromhex("300d06092a864886f70d01010b0500"),
}
_UTC_TIME, _SIGNED_ATTRIBUTES = 0x17, 0xA0
_CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
_SIGNING_TIME = bytes.fromhex("06092a864886f70d010905")
_CERTIFICATE_V2 = bytes.fromhex("060b2a864886f70d010910022f")
_SHORT = 0x80  # lengths below it take one byte


def detached_signature(seal: bytes, signature: bytes, suite: int, chain: Sequence[bytes]) -> bytes:
    """Writes a seal's signature as CMS; the content, which is the seal's bytes, is not in it.

    Args:
        seal: Exact bytes.
        signature: Over them; of suite 2 the classical half.
        suite: As the seal names it.
        chain: DER of the seal certificate and its issuers.

    Raises:
        EvidenceInvalidError: The bytes are no statement, or the suite has no CMS form.
    """
    if not seal.startswith(b"{"):
        raise EvidenceInvalidError("What is no statement cannot be written as CMS.")
    return _signed_data(b"", suite, chain, signature)


class Cades:
    """A detached signature with signed attributes: content type, digest, time, certificate (B-B).

    What is signed begins with the tag of a SET, which no statement does: the one signature is never
    taken for the other.
    """

    def __init__(self, content: bytes, suite: int, chain: Sequence[bytes], at: datetime) -> None:
        """Takes what is to be signed.

        Args:
            suite: Of the key.
            chain: DER of its certificate and the issuers.
            at: Signing time, aware; whole seconds count.
        """
        self._suite, self._chain = suite, chain
        time = at.astimezone(UTC).strftime("%y%m%d%H%M%SZ").encode()
        certificate = _der(_OCTETS, sha256(chain[0]).digest())
        attributes = (
            _attribute(_CONTENT_TYPE, _DATA),
            _attribute(_SIGNING_TIME, _der(_UTC_TIME, time)),
            _attribute(_MESSAGE_DIGEST, _der(_OCTETS, sha256(content).digest())),
            # ESSCertIDv2 without a hash algorithm: SHA-256 (RFC 5035, 4)
            _attribute(
                _CERTIFICATE_V2, _der(_SEQUENCE, _der(_SEQUENCE, _der(_SEQUENCE, certificate)))
            ),
        )
        self._attributes = b"".join(sorted(attributes))

    @property
    def to_be_signed(self) -> bytes:
        """The exact bytes that the key signs: RFC 5652, 5.4."""
        return _der(_SET, self._attributes)

    def signed_data(self, signature: bytes) -> bytes:
        """The CMS around a signature over ``to_be_signed``.

        Raises:
            EvidenceInvalidError: The suite has no CMS form.
        """
        attributes = _der(_SIGNED_ATTRIBUTES, self._attributes)
        return _signed_data(attributes, self._suite, self._chain, signature)


def _attribute(kind: bytes, value: bytes) -> bytes:
    return _der(_SEQUENCE, kind, _der(_SET, value))


def _signed_data(attributes: bytes, suite: int, chain: Sequence[bytes], signature: bytes) -> bytes:
    algorithm = _SIGNATURE_ALGORITHMS.get(Suite(suite)) if suite in set(Suite) else None
    if algorithm is None:
        raise EvidenceInvalidError(f"A seal of suite {suite} cannot be written as CMS.")
    signer_info = _der(
        _SEQUENCE,
        _integer(1),
        _issuer_and_serial(chain[0]),
        _SHA256,
        attributes,
        algorithm,
        _der(_OCTETS, signature),
    )
    signed_data = _der(
        _SEQUENCE,
        _integer(1),
        _der(_SET, _SHA256),
        _der(_SEQUENCE, _DATA),
        _der(_CERTIFICATES, *sorted(chain)),  # DER orders the members of a SET
        _der(_SET, signer_info),
    )
    return _der(_SEQUENCE, _SIGNED_DATA, _der(_CONTENT, signed_data))


def _issuer_and_serial(certificate: bytes) -> bytes:
    leaf = x509.load_der_x509_certificate(certificate)
    return _der(_SEQUENCE, leaf.issuer.public_bytes(), _integer(leaf.serial_number))


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < _SHORT:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT | len(length))) + length + content
