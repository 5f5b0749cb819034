"""What proves a signature long after it was made: OCSP answers, lists, archive timestamps."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from asn1crypto import crl, ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as x509_ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers, timestamps
from pyhanko.sign.validation.dss import DocumentSecurityStore

from tests.support.signing_pki import NOW, YEAR, Authority, Key

WEEK = timedelta(days=7)


def responder(authority: Authority, *, allowed: bool = True) -> Key:
    """A key that answers for an authority; without the extended use it may not."""
    names = [(NameOID.COMMON_NAME, f"OCSP của {authority.name}")]
    uses = [ExtendedKeyUsageOID.OCSP_SIGNING] if allowed else [ExtendedKeyUsageOID.CODE_SIGNING]
    return authority.issue(names, uses=uses, since=NOW - 9 * YEAR, until=NOW + 9 * YEAR)


def answer(
    of: Key,
    authority: Authority,
    by: Key,
    *,
    made: datetime = NOW,
    until: datetime | None = NOW + WEEK,
    revoked_at: datetime | None = None,
) -> bytes:
    """An OCSP response about a certificate, signed by a key that brings its certificate along."""
    status = x509_ocsp.OCSPCertStatus
    builder = x509_ocsp.OCSPResponseBuilder().add_response(
        cert=of.certificate,
        issuer=authority.root.certificate,
        algorithm=hashes.SHA256(),
        cert_status=status.GOOD if revoked_at is None else status.REVOKED,
        this_update=made,
        next_update=until,
        revocation_time=revoked_at,
        revocation_reason=None if revoked_at is None else x509.ReasonFlags.key_compromise,
    )
    builder = builder.responder_id(x509_ocsp.OCSPResponderEncoding.HASH, by.certificate)
    signed = builder.certificates([by.certificate]).sign(by.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def with_proofs(
    pdf: bytes,
    *,
    ocsps: Sequence[bytes] = (),
    crls: Sequence[bytes] = (),
    certificates: Sequence[Key] = (),
) -> bytes:
    """Adds a document security store (PAdES B-LT) in an incremental update."""
    out = io.BytesIO(pdf)
    DocumentSecurityStore.add_dss(
        out,
        sig_contents=None,
        certs=[each.asn1() for each in certificates],
        ocsps=[ocsp.OCSPResponse.load(each) for each in ocsps],
        crls=[crl.CertificateList.load(each) for each in crls],
    )
    return out.getvalue()


def with_answers_as_they_are(pdf: bytes, answers: Sequence[bytes]) -> bytes:
    """Adds a document security store whose OCSP answers nobody looks at first."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    streams = [writer.add_object(generic.StreamObject(stream_data=each)) for each in answers]
    store = generic.DictionaryObject(
        {
            generic.pdf_name("/Type"): generic.pdf_name("/DSS"),
            generic.pdf_name("/OCSPs"): generic.ArrayObject(streams),
        }
    )
    writer.root["/DSS"] = writer.add_object(store)
    writer.update_root()
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@dataclass(frozen=True)
class TimeAuthority:
    """A timestamping authority (RFC 3161) whose clock the test sets."""

    key: Key

    @classmethod
    def make(
        cls, authority: Authority, *, since: datetime = NOW - YEAR, until: datetime = NOW + YEAR
    ) -> "TimeAuthority":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        names = [(NameOID.COMMON_NAME, "Dịch vụ dấu thời gian")]
        uses = [ExtendedKeyUsageOID.TIME_STAMPING]
        return cls(authority.issue(names, key=key, uses=uses, since=since, until=until))

    def at(self, moment: datetime) -> timestamps.DummyTimeStamper:
        return timestamps.DummyTimeStamper(
            tsa_cert=self.key.asn1(), tsa_key=self.key.asn1_key(), fixed_dt=moment
        )


def archived(pdf: bytes, by: timestamps.DummyTimeStamper) -> bytes:
    """Adds a timestamp of the whole file (PAdES B-LTA)."""
    out = io.BytesIO()
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    with ThreadPoolExecutor(1) as thread:  # it runs a loop of its own
        thread.submit(
            signers.PdfTimeStamper(by).timestamp_pdf, writer, "sha256", output=out
        ).result()
    return out.getvalue()
