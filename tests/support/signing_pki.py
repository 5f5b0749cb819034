"""Authorities, signers and timestamps of a test: real keys, real PDF signatures, real lists."""

import asyncio
import hashlib
import io
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asn1crypto import cms
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
    ObjectIdentifier,
)
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers, timestamps
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter
from pyhanko_certvalidator.registry import SimpleCertificateStore

# Checking processes have a clock of their own, so what tests sign is a little older than now.
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
YEAR = timedelta(days=365)
DOCUMENTS = Path(__file__).parent.parent / "documents"
DECISION = DOCUMENTS / "Quyết định 28-QĐ-UBND.pdf"
ANNEX = DOCUMENTS / "Phụ lục II - Bảng tổng hợp.pdf"

ORGANIZATION_IDENTIFIER = ObjectIdentifier("2.5.4.97")
PERSON, OFFICE = "Nguyễn Văn A", "Ủy ban nhân dân tỉnh Đồng Nai"


@dataclass
class Key:
    """A key with its certificate."""

    key: Any
    certificate: x509.Certificate

    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def asn1(self) -> asn1_x509.Certificate:
        return asn1_x509.Certificate.load(self.certificate.public_bytes(Encoding.DER))

    def asn1_key(self) -> asn1_keys.PrivateKeyInfo:
        der = self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return asn1_keys.PrivateKeyInfo.load(der)


@dataclass
class Authority:
    """A root with what it issues and revokes."""

    name: str
    root: Key
    revoked: list[tuple[int, datetime]] = field(default_factory=list)

    @classmethod
    def make(cls, name: str, *, now: datetime = NOW) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _certificate(subject, subject, key, since=now - 10 * YEAR, until=now + 10 * YEAR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), True)
        return cls(name, Key(key, builder.sign(key, hashes.SHA256())))

    def person(self, name: str = PERSON, **more: Any) -> Key:
        """A person of an office."""
        given = name.rpartition(" ")[2]
        names = [
            (NameOID.COMMON_NAME, name),
            (NameOID.GIVEN_NAME, given),
            (NameOID.ORGANIZATION_NAME, OFFICE),
        ]
        return self.issue(names, **more)

    def office(self, name: str = OFFICE, **more: Any) -> Key:
        """An organisation."""
        names = [
            (NameOID.COMMON_NAME, name),
            (NameOID.ORGANIZATION_NAME, name),
            (ORGANIZATION_IDENTIFIER, "GOVVN-H19"),
        ]
        return self.issue(names, **more)

    def issue(
        self,
        names: Sequence[tuple[ObjectIdentifier, str]],
        *,
        key: Any = None,
        since: datetime = NOW - YEAR,
        until: datetime = NOW + YEAR,
        crl_url: str = "",
        access_url: str = "",
        uses: Sequence[ObjectIdentifier] = (),
    ) -> Key:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in names])
        issuer = self.root.certificate.subject
        builder = _certificate(subject, issuer, key, since=since, until=until)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        usage = _usage(digital_signature=True, content_commitment=True)
        builder = builder.add_extension(usage, True)
        if uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), True)
        if crl_url:
            point = x509.DistributionPoint(
                [x509.UniformResourceIdentifier(crl_url)], None, None, None
            )
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
        if access_url:
            place = x509.UniformResourceIdentifier(access_url)
            kinds = (AuthorityInformationAccessOID.OCSP, AuthorityInformationAccessOID.CA_ISSUERS)
            access = [x509.AccessDescription(kind, place) for kind in kinds]
            builder = builder.add_extension(x509.AuthorityInformationAccess(access), False)
        return Key(key, builder.sign(self.root.key, hashes.SHA256()))

    def timestamper(self) -> timestamps.DummyTimeStamper:
        """A timestamping authority; pyHanko's own takes RSA keys only."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        names = [(NameOID.COMMON_NAME, "Dịch vụ dấu thời gian")]
        tsa = self.issue(names, key=key, uses=[ExtendedKeyUsageOID.TIME_STAMPING])
        return timestamps.DummyTimeStamper(
            tsa_cert=tsa.asn1(), tsa_key=tsa.asn1_key(), fixed_dt=NOW
        )

    def revoke(self, key: Key, at: datetime) -> None:
        self.revoked.append((key.certificate.serial_number, at))

    def crl(self, *, made: datetime = NOW, until: datetime = NOW + YEAR) -> bytes:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.root.certificate.subject)
        builder = builder.last_update(made).next_update(until)
        builder = builder.add_extension(x509.CRLNumber(1), False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.key.public_key()), False
        )
        for serial, at in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.root.key, hashes.SHA256()).public_bytes(Encoding.DER)


def sign_pdf(
    pdf: bytes,
    key: Key,
    *,
    chain: Sequence[Key] = (),
    at: datetime = NOW,
    timestamper: Any = None,
    digest: str = "sha256",
    name: str = "",
) -> bytes:
    """Signs a PDF once more; ``at`` is the time that the signer claims."""
    store = SimpleCertificateStore()
    store.register_multiple([each.asn1() for each in chain])
    signer = signers.SimpleSigner(
        signing_cert=key.asn1(), signing_key=key.asn1_key(), cert_registry=store
    )
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    field = name or f"Ký {len(pdf)}"
    meta = signers.PdfSignatureMetadata(
        field_name=field, md_algorithm=digest, subfilter=SigSeedSubFilter.ADOBE_PKCS7_DETACHED
    )
    out = io.BytesIO()
    pdf_signer = signers.PdfSigner(
        meta, signer=_Clocked.of(signer, at), timestamper=timestamper,
        new_field_spec=SigFieldSpec(field),
    )  # fmt: skip
    with ThreadPoolExecutor(1) as thread:  # it runs a loop of its own
        thread.submit(pdf_signer.sign_pdf, writer, output=out).result()
    return out.getvalue()


def resigned(pdf: bytes, key: Key, *, left_out: int = 0, bare: bool = False) -> bytes:
    """The last signature made anew by its own key, in a way that no program signs.

    Args:
        left_out: So many bytes at the end are not covered; as many of the signature are instead.
        bare: Signs the content itself, without signed attributes.
    """
    ranges = re.compile(rb"/ByteRange \[0 (\d+) (\d+) (\d+) *\]")
    found = list(ranges.finditer(pdf))[-1]
    first, second, length = map(int, found.groups())
    text = b"/ByteRange [0 %d %d %d" % (first, second - left_out, length)
    text = text.ljust(len(found.group()) - 1) + b"]"
    pdf = pdf[: found.start()] + text + pdf[found.end() :]
    covered = pdf[:first] + pdf[second - left_out :][:length]
    digest = hashlib.sha256(covered).digest()
    signer = signers.SimpleSigner(
        signing_cert=key.asn1(),
        signing_key=key.asn1_key(),
        cert_registry=SimpleCertificateStore(),
    )
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(asyncio.run, signer.async_sign(digest, "sha256")).result()
    if bare:
        info = made["content"]["signer_infos"][0]
        kept = {name: info[name] for name in ("version", "sid", "digest_algorithm")}
        kept |= {"signature_algorithm": info["signature_algorithm"]}
        kept |= {"signature": key.key.sign(covered, ec.ECDSA(hashes.SHA256()))}
        made["content"]["signer_infos"] = [cms.SignerInfo(kept)]
    content = made.dump(force=True).hex().encode().ljust(second - first - 2, b"0")
    return pdf[: first + 1] + content + pdf[second - 1 :]


def enlarged(pdf: bytes, size_bytes: int) -> bytes:
    """The same document with a large object that nothing shows."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    filler = writer.add_object(generic.StreamObject(stream_data=os.urandom(size_bytes)))
    writer.root["/EdocFiller"] = filler
    writer.update_root()
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


class _Clocked(signers.SimpleSigner):
    """Claims another signing time than the clock says."""

    at = NOW

    @classmethod
    def of(cls, signer: signers.SimpleSigner, at: datetime) -> "_Clocked":
        made = cls(
            signing_cert=signer.signing_cert,
            signing_key=signer.signing_key,
            cert_registry=signer.cert_registry,
        )
        made.at = at
        return made

    async def signed_attrs(
        self, data_digest: bytes, digest_algorithm: str, *args: Any, **more: Any
    ) -> Any:
        from asn1crypto.core import UTCTime

        attributes = await super().signed_attrs(data_digest, digest_algorithm, *args, **more)
        kept = [each for each in attributes if each["type"].native != "signing_time"]
        time = cms.CMSAttribute(
            {"type": "signing_time", "values": [cms.Time({"utc_time": UTCTime(self.at)})]}
        )
        return cms.CMSAttributes([*kept, time])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Any, *, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _usage(**uses: bool) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: uses.get(name, False) for name in every})
