"""Certificates, requests and revocation lists (DER), signed anew after each change.

A changed certificate fails at its signature. So what is inside is signed again, with the key that
the seeds have: then everything behind the signature is tried too.
"""

from collections.abc import Iterator
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edoccore.directory import endpoints, seals
from edoccore.directory.layout import SealListing, to_base64
from edoccore.directory.loading import _read_crl
from edoccore.errors import EdocError
from edoccore.identity.request import SealRequest
from edoccore.signing import canonical
from edoccore.signing.statements import Endpoint
from edockit import certificates
from edocnode.evidence.cms import detached_signature
from edocregistry.domain.enrolment import requested_keys
from tests.fuzz.target import Target
from tests.fuzz.world import NOW, world


def seal_certificate(data: bytes) -> None:
    """A seal certificate that a directory lists."""
    nation = world().exchange.nation
    _each(data, nation.ca_key, lambda der: _list_and_use(der, nation.ca_certificate))


def _list_and_use(der: bytes, authority: bytes) -> None:
    listing = SealListing(certificate=to_base64(der))
    listed = seals._check_listing("H26", listing, (to_base64(authority),))
    assert listed.chain[0] == der
    detached_signature(b"{}", b"x", 1, listed.chain)


def authority_certificate(data: bytes) -> None:
    """An issuer that a directory lists between a seal certificate and an authority."""
    nation, agency = world().exchange.nation, world().exchange.sender

    def use(der: bytes) -> None:
        listing = SealListing(
            certificate=to_base64(agency.seal_certificate), issuers=(to_base64(der),)
        )
        with suppress(EdocError):
            seals._check_listing("H26", listing, (to_base64(nation.ca_certificate),))
        seals._check_listing(
            "H26", SealListing(certificate=to_base64(agency.seal_certificate)), (to_base64(der),)
        )

    _each(data, nation.ca_key, use)


def tls_certificate(data: bytes) -> None:
    """A TLS certificate in an endpoint statement that its agency sealed."""
    agency = world().exchange.sender
    listed = world().directory.seals.listed(agency.code, agency.digests[0])

    def use(der: bytes) -> None:
        statement = Endpoint(
            network=agency.network,
            agency=agency.code,
            addresses=("h:1",),
            server_name=agency.server_name,
            certificates=(to_base64(der[:3000] or b"0"),),
            abilities=("edoc.envelope/v1",),
            counter=1,
            created="2026-11-26T08:00:00.000Z",
        )
        sealed = agency.seal(canonical.encode(statement), time=NOW)[0]
        found = endpoints._check(sealed, listed, agency.network)
        assert [pin.certificate for pin in found.pins] == [der[:3000] or b"0"]

    _each(data, agency.tls_key, use)


def request(data: bytes) -> None:
    """What a node without a certificate sends to the registry."""
    _each(data, world().exchange.sender.seal_key, lambda der: requested_keys(SealRequest(der)))


def crl(data: bytes) -> None:
    """A revocation list in the directory."""
    nation = world().exchange.nation
    authority = x509.load_der_x509_certificate(nation.ca_certificate)
    _each(data, nation.ca_key, lambda der: _read_crl(to_base64(der), [authority], []))


def _each(data: bytes, key: ec.EllipticCurvePrivateKey, use) -> None:
    """Tries bytes as they are, and with a signature that fits what is signed."""
    signed = _signed_again(data, key)
    if signed is not None:
        with suppress(EdocError):
            use(data)
    use(signed or data)


def _signed_again(data: bytes, key: ec.EllipticCurvePrivateKey) -> bytes | None:
    """``SEQUENCE { tbs, algorithm, signature }`` with the signature of ``key``; None: no such."""
    outer = _tlv(data)
    if outer is None or outer[0] != 0x30:
        return None
    body = _tlv(outer[1])
    if body is None:
        return None
    inside = outer[1][: len(outer[1]) - len(body[2])]
    algorithm = _tlv(body[2])
    if algorithm is None:
        return None
    encoded = body[2][: len(body[2]) - len(algorithm[2])]
    signature = key.sign(inside, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return _wrap(0x30, inside + encoded + _wrap(0x03, b"\0" + signature))


def _tlv(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Tag, content and rest of the first element."""
    if len(data) < 2:
        return None
    length, start = data[1], 2
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if start > 6 or start + length > len(data):
        return None
    return data[0], data[start : start + length], data[start + length :]


def _wrap(tag: int, content: bytes) -> bytes:
    length = len(content)
    size = length.to_bytes((length.bit_length() + 7) // 8 or 1, "big")
    head = bytes([length]) if length < 0x80 else bytes([0x80 | len(size)]) + size
    return bytes([tag]) + head + content


def _seeds() -> Iterator[bytes]:
    made = world().exchange
    yield from (made.sender.seal_certificate, made.sender.tls_certificate)
    yield made.nation.ca_certificate


def _requests() -> Iterator[bytes]:
    yield certificates.seal_request(world().exchange.sender.seal_key, "H26")


def _crls() -> Iterator[bytes]:
    nation = world().exchange.nation
    for revoked in ([], [certificates.RevokedCertificate(7, NOW)]):
        yield certificates.build_crl(
            nation.ca_key, nation.ca_certificate, revoked, number=1, this_update=NOW
        )


TARGETS = [
    Target(name="seal_certificate", run=seal_certificate, seeds=_seeds, max_bytes=2048),
    Target(name="authority_certificate", run=authority_certificate, seeds=_seeds, max_bytes=2048),
    Target(name="tls_certificate", run=tls_certificate, seeds=_seeds, max_bytes=2048),
    Target(name="certificate_request", run=request, seeds=_requests, max_bytes=2048),
    Target(name="crl", run=crl, seeds=_crls, max_bytes=2048),
]
