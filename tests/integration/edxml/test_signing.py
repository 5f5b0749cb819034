"""XML signatures of packages: made so that xmlsec1 agrees, and refused when anything changed."""

import io
import re
import secrets
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from edoccore.errors import KeyUnusableError, LimitExceededError
from edoccore.office_errors import EdxmlInvalidError
from edocnode.edxml.bounds import BOUNDS, Bounds
from edocnode.edxml.layout import find_layout
from edocnode.edxml.reading import read_tree
from edocnode.edxml.signing import Verdict, _parser, check_signature, sign_package
from edocnode.edxml.validating import SignatureReport
from tests.integration.edxml.packages import sample, written

pytest.importorskip("signxml")
etree = pytest.importorskip("lxml.etree")

SHA1 = {
    b"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256": b"http://www.w3.org/2000/09/xmldsig#rsa-sha1",
    b"http://www.w3.org/2001/04/xmlenc#sha256": b"http://www.w3.org/2000/09/xmldsig#sha1",
}
FIELDS = {"issuer": {"code": "H29", "name": "Ủy ban"}, "subject": "Về việc ban hành Quy chế"}


CHECKER = """
import sys, tempfile
from pathlib import Path
from edocnode.edxml.document_types import types_of
from edocnode.edxml.signing import judge_file
with tempfile.TemporaryDirectory() as scratch:
    trust = Path(sys.argv[2])
    found = judge_file(Path(sys.argv[1]), Path(scratch), types=types_of(()), authorities=trust)
status = Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(found.signature, peak / 1024)
"""


class Signer:
    """A key with its certificate under an authority of its own."""

    def __init__(
        self, folder: Path, *, kind: str = "ec", until: timedelta = timedelta(days=1)
    ) -> None:
        self.authority = ec.generate_private_key(ec.SECP256R1())
        root = self._certificate(
            "Tổ chức chứng thực", self.authority, "Tổ chức chứng thực", timedelta(days=2), ca=True
        )
        self.key = (
            ec.generate_private_key(ec.SECP256R1())
            if kind == "ec"
            else rsa.generate_private_key(65537, 2048)
        )
        own = self._certificate("Văn phòng Ủy ban", self.key, "Tổ chức chứng thực", until, ca=False)
        self.key_pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.certificate_pem = own.public_bytes(Encoding.PEM)
        self.root = folder / "root.pem"
        self.root.write_bytes(root.public_bytes(Encoding.PEM))

    def sign(self, data: bytes) -> bytes:
        return sign_package(data, self.key_pem, self.certificate_pem)

    def _certificate(self, name: str, key, issuer: str, until: timedelta, *, ca: bool):
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not ca,
                    key_cert_sign=ca,
                    crl_sign=ca,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()),
                critical=False,
            )
        )
        if not ca:
            made = made.add_extension(
                x509.SubjectAlternativeName([x509.DNSName("h29.example.vn")]), critical=False
            )
        return made.sign(self.authority, hashes.SHA256())


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture
def package() -> bytes:
    return written({**FIELDS, "_to": ["G22"]}, {"Quyết định.pdf": b"%PDF-1.7 " * 500})


def check(
    data: bytes, folder: Path, *, authorities: Path | None = None, bounds: Bounds | None = None
) -> SignatureReport:
    path = folder / "package.edxml"
    path.write_bytes(data)
    scratch = folder / f"scratch{len(list(folder.iterdir()))}"
    scratch.mkdir()
    tree = read_tree(io.BytesIO(data), scratch)
    return check_signature(
        tree, find_layout(tree), path, authorities=authorities, bounds=bounds or Bounds()
    )


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_signature_that_was_made_is_valid_and_xmlsec1_agrees(
    kind: str, package: bytes, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    signer = Signer(tmp_path, kind=kind)
    signed = signer.sign(package)
    report = check(signed, tmp_path, authorities=signer.root)
    assert (report.verdict, report.signer) == (Verdict.VALID, "CN=Văn phòng Ủy ban")
    assert xmlsec1(tool, tmp_path, signer.root) == 0
    assert b"http://www.w3.org/2001/10/xml-exc-c14n#" in signed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Quy chế", "Quy chê"),
        ("<edXML:Priority>0", "<edXML:Priority>3"),
        ("</edXML:MessageHeader>", "<edXML:X>1</edXML:X></edXML:MessageHeader>"),
        ("JVBERi0xLjcg", "JVBERi0xLjUg"),
        ("<SignatureValue>", "<SignatureValue>AAAA"),
    ],
)
def test_a_signed_package_that_was_changed_is_broken_and_xmlsec1_agrees(
    old: str,
    new: str,
    package: bytes,
    signer: Signer,
    tmp_path: Path,
    tool: Callable[[str], Path],
) -> None:
    signed = re.sub(rb"<(/?)ds:", rb"<\1", signer.sign(package)).replace(b"xmlns:ds=", b"xmlns=")
    changed = signed.replace(old.encode(), new.encode(), 1)
    assert changed != signed
    report = check(changed, tmp_path, authorities=signer.root)
    assert report.verdict is Verdict.BROKEN
    assert [each.code for each in report.findings] == ["SIGNATURE_BROKEN"]
    assert xmlsec1(tool, tmp_path, signer.root) != 0


def test_a_signer_of_no_trusted_authority_is_told_apart(
    package: bytes, signer: Signer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Signer(tmp_path / "other")
    signed = signer.sign(package)
    assert check(signed, tmp_path).verdict is Verdict.UNTRUSTED
    assert check(signed, tmp_path, authorities=other.root).verdict is Verdict.UNTRUSTED


def test_a_certificate_that_has_ended_is_not_trusted(package: bytes, tmp_path: Path) -> None:
    ended = Signer(tmp_path, until=timedelta(days=-1))
    report = check(ended.sign(package), tmp_path, authorities=ended.root)
    assert report.verdict is Verdict.UNTRUSTED


def test_a_signature_with_sha1_is_weak_and_never_valid(package: bytes, tmp_path: Path) -> None:
    from signxml.algorithms import DigestAlgorithm, SignatureMethod
    from signxml.signer import XMLSigner

    class OldSigner(XMLSigner):
        def check_deprecated_methods(self) -> None:
            """Signs as software of 2015 did."""

    signer = Signer(tmp_path, kind="rsa")
    root = etree.fromstring(package)
    header = root.find(".//{*}edXMLHeader")
    dsig = "http://www.w3.org/2000/09/xmldsig#"
    etree.SubElement(header, f"{{{dsig}}}Signature", {"Id": "placeholder"}, {None: dsig})
    made = OldSigner(
        signature_algorithm=SignatureMethod.RSA_SHA1, digest_algorithm=DigestAlgorithm.SHA1
    ).sign(root, key=signer.key_pem, cert=[x509.load_pem_x509_certificate(signer.certificate_pem)])
    report = check(etree.tostring(made), tmp_path, authorities=signer.root)
    assert report.verdict is Verdict.WEAK
    assert [each.code for each in report.findings] == ["SIGNATURE_WEAK"]


def test_a_signature_over_a_part_of_the_package_is_refused(
    package: bytes, signer: Signer, tmp_path: Path
) -> None:
    signed = (
        signer.sign(package)
        .replace(b'URI=""', b'URI="#part"')
        .replace(b"<edXML:MessageHeader>", b'<edXML:MessageHeader Id="part">')
    )
    with pytest.raises(EdxmlInvalidError, match="refers to #part"):
        check(signed, tmp_path)


def test_a_signed_package_wrapped_into_another_is_broken(
    package: bytes, signer: Signer, tmp_path: Path
) -> None:
    signed = signer.sign(package)
    body = signed[signed.index(b"<edXML ") :]
    forged = package.replace("Quy chế".encode(), "Khác".encode())
    at = forged.index(b"</edXML:edXMLHeader>")
    signature = re.search(rb"<(ds:)?Signature.*</(ds:)?Signature>", signed, re.DOTALL)
    assert signature
    wrapped = (
        forged[:at]
        + signature[0]
        + b"<Hidden>"
        + body.replace(signature[0], b"")
        + b"</Hidden>"
        + forged[at:]
    )
    assert check(wrapped, tmp_path, authorities=signer.root).verdict is Verdict.BROKEN


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            b"http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            b"http://www.w3.org/TR/1999/REC-xslt-19991116",
            "forbidden transform",
        ),
        (
            b"http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            b"http://www.w3.org/TR/1999/REC-xpath-19991116",
            "forbidden transform",
        ),
        (b'URI=""', b'URI="http://127.0.0.1:9/x"', "refers to http"),
        (b'URI=""', b'URI="file:///etc/passwd"', "refers to file"),
    ],
)
def test_what_a_signature_must_not_ask_for_is_refused_before_any_library_sees_it(
    old: bytes, new: bytes, told: str, package: bytes, signer: Signer, tmp_path: Path
) -> None:
    signed = signer.sign(package)
    assert old in signed
    with pytest.raises(EdxmlInvalidError, match=told):
        check(signed.replace(old, new, 1), tmp_path)


def test_many_references_and_several_signatures_are_refused(
    package: bytes, signer: Signer, tmp_path: Path
) -> None:
    signed = signer.sign(package)
    reference = re.search(rb"<(ds:)?Reference.*</(ds:)?Reference>", signed, re.DOTALL)
    signature = re.search(rb"<(ds:)?Signature.*</(ds:)?Signature>", signed, re.DOTALL)
    assert reference
    assert signature
    with pytest.raises(EdxmlInvalidError, match="more than 8 References"):
        check(signed.replace(reference[0], reference[0] * 9), tmp_path)
    with pytest.raises(EdxmlInvalidError, match="there are several"):
        check(signed.replace(signature[0], signature[0] * 2), tmp_path)


def test_a_signature_that_another_hides_is_not_taken_for_it(
    package: bytes, signer: Signer, tmp_path: Path
) -> None:
    """One that verifies lies deep inside, over a package that shows one that was never made."""
    from signxml.signer import XMLSigner

    dsig = "http://www.w3.org/2000/09/xmldsig#"
    root = etree.fromstring(package)
    certificate = x509.load_pem_x509_certificate(signer.certificate_pem)
    shown = etree.SubElement(
        root.find(".//{*}edXMLHeader"), f"{{{dsig}}}Signature", nsmap={None: dsig}
    )
    etree.SubElement(shown, f"{{{dsig}}}SignatureValue").text = "AAAA"
    der = b64encode(certificate.public_bytes(Encoding.DER)).decode()
    etree.SubElement(shown, f"{{{dsig}}}X509Certificate").text = der
    deep = etree.SubElement(root.find(".//{*}MessageHeader"), "{urn:x}Deep")
    etree.SubElement(deep, f"{{{dsig}}}Signature", {"Id": "placeholder"}, {None: dsig})
    signed = XMLSigner(
        signature_algorithm="ecdsa-sha256",
        c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
    ).sign(root, key=signer.key_pem, cert=[certificate])
    report = check(etree.tostring(signed), tmp_path, authorities=signer.root)
    assert report.verdict is Verdict.BROKEN


def test_an_empty_signature_is_none_and_a_sample_of_old_software_is_broken(tmp_path: Path) -> None:
    assert check(sample("Văn bản mới.edxml"), tmp_path).verdict is Verdict.NONE
    assert check(sample("Văn bản mới, tệp nén.edxml"), tmp_path).verdict is Verdict.BROKEN


def test_a_package_over_the_bound_is_told_unchecked_and_cannot_be_signed(
    package: bytes, signer: Signer, tmp_path: Path
) -> None:
    for bounds, told in (
        (Bounds(checked=100), "larger than 0 MiB"),
        (Bounds(checked_nodes=20), "more than 20 elements and attributes"),
    ):
        report = check(signer.sign(package), tmp_path, bounds=bounds)
        assert report.verdict is Verdict.UNCHECKED
        assert told in report.findings[0].english
    with pytest.raises(LimitExceededError):
        sign_package(package, signer.key_pem, signer.certificate_pem, bounds=Bounds(signed=100))


@pytest.mark.slow
def test_t24_a_signature_over_the_largest_package_is_checked_in_bounded_memory(
    signer: Signer, tmp_path: Path
) -> None:
    from signxml.signer import XMLSigner

    class LargeSigner(XMLSigner):
        parser = property(lambda _: _parser())

    size, nodes = BOUNDS.checked - (1 << 20), BOUNDS.checked_nodes - 200
    data = written({**FIELDS, "_to": ["G22"]}, {"a.pdf": secrets.token_bytes(size * 7 // 10)})
    many = b"".join(b"<a x='%d'>%s</a>" % (each, b"y" * 10) for each in range(nodes // 2))
    data = data.replace(b"</edXML:MessageHeader>", many + b"</edXML:MessageHeader>")
    root = etree.fromstring(data, _parser())
    place = root.find(".//{*}edXMLHeader")
    dsig = "http://www.w3.org/2000/09/xmldsig#"
    etree.SubElement(place, f"{{{dsig}}}Signature", {"Id": "placeholder"}, {None: dsig})
    made = LargeSigner(signature_algorithm="ecdsa-sha256").sign(
        root, key=signer.key_pem, cert=[x509.load_pem_x509_certificate(signer.certificate_pem)]
    )
    path = tmp_path / "large.edxml"
    path.write_bytes(etree.tostring(made))
    assert path.stat().st_size > BOUNDS.checked * 9 // 10
    command = [sys.executable, "-c", CHECKER, path, signer.root]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    verdict, peak_mib = done.stdout.split()
    assert verdict == "valid"
    assert float(peak_mib) < 300


def test_a_key_and_a_certificate_that_do_not_fit_are_refused(
    package: bytes, signer: Signer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Signer(tmp_path / "other")
    with pytest.raises(KeyUnusableError, match="of another key"):
        sign_package(package, signer.key_pem, other.certificate_pem)


def xmlsec1(tool: Callable[[str], Path], folder: Path, root: Path) -> int:
    """What the program of another implementation says of the last package."""
    command = [tool("xmlsec1"), "--verify", "--trusted-pem", root, "--enabled-key-data", "x509"]
    done = subprocess.run([*command, folder / "package.edxml"], capture_output=True, check=False)
    return done.returncode
