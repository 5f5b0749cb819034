"""Signatures in XML parts by real keys; xmlsec1 is asked for a second opinion."""

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.signer import XMLSigner
from signxml.verifier import VerifyResult

from edocnode.domain.signatures import (
    Coverage,
    LegalStatus,
    PartState,
    Reason,
    Result,
    SignerKind,
    judge_document,
)
from edocnode.signatures import xml
from tests.integration.signatures.conftest import Stores
from tests.support import bombs
from tests.support.signing_pki import NOW, YEAR, Authority, Key

DS = "{http://www.w3.org/2000/09/xmldsig#}"
XML = "<vanban><trichyeu>Về việc ban hành Quy chế</trichyeu></vanban>"


class _AnySigner(XMLSigner):
    """Signs by weak algorithms too: what is weak must be made to be told."""

    def check_deprecated_methods(self) -> None:
        pass


def sign_xml(
    xml: str,
    key: Key,
    *,
    method: SignatureMethod = SignatureMethod.ECDSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    reference: str | None = None,
) -> bytes:
    signer = _AnySigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=method,
        digest_algorithm=digest,
        c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
    )
    signed = signer.sign(
        etree.fromstring(xml), key=key.key, cert=[key.certificate], reference_uri=reference
    )
    return etree.tostring(signed)


def test_valid_signature_is_told(stores: Stores, government: Authority) -> None:
    verdict = stores.check(sign_xml(XML, government.office()), kind="xml")
    [signature] = verdict.signatures
    assert signature.result is Result.VALID
    assert signature.facts.kind is SignerKind.ORGANISATION
    assert signature.facts.coverage is Coverage.WHOLE


def test_changed_content_is_told(stores: Stores, government: Authority) -> None:
    signed = sign_xml(XML, government.office())
    changed = signed.replace("ban hành".encode("ascii", "xmlcharrefreplace"), b"huy bo")
    assert changed != signed
    assert stores.check(changed, kind="xml").reason is Reason.DIGEST_MISMATCH


def test_changed_signature_value_is_told(stores: Stores, government: Authority) -> None:
    root = etree.fromstring(sign_xml(XML, government.office()))
    [value] = root.iter("{http://www.w3.org/2000/09/xmldsig#}SignatureValue")
    other = etree.fromstring(sign_xml(XML, government.office()))
    [theirs] = other.iter("{http://www.w3.org/2000/09/xmldsig#}SignatureValue")
    value.text = theirs.text
    assert stores.check(etree.tostring(root), kind="xml").reason is Reason.SIGNATURE_MISMATCH


def test_signature_over_something_that_was_wrapped_is_not_over_the_document(
    stores: Stores, government: Authority
) -> None:
    part = '<vanban Id="a"><trichyeu>Về việc ban hành Quy chế</trichyeu></vanban>'
    signed = sign_xml(part, government.office(), reference="#a").decode()
    assert stores.check(signed.encode(), kind="xml").reason is Reason.VALID
    wrapped = f"<vanban><trichyeu>Chi 9 tỷ đồng</trichyeu><cu>{signed}</cu></vanban>"
    [signature] = stores.check(wrapped.encode(), kind="xml").signatures
    assert signature.facts.intact  # what it covers is whole, but is not the document
    assert signature.reason is Reason.PARTIAL
    twice = wrapped.replace("<vanban>", '<vanban Id="a">', 1)
    assert stores.check(twice.encode(), kind="xml").signatures[0].result is Result.INVALID


def test_signature_that_carries_the_signed_document_inside_itself_is_not_over_the_other(
    stores: Stores, government: Authority
) -> None:
    part = '<vanban Id="a"><trichyeu>Về việc ban hành Quy chế</trichyeu></vanban>'
    original = etree.fromstring(sign_xml(part, government.office(), reference="#a"))
    [signature] = original.iter(f"{DS}Signature")
    original.remove(signature)
    etree.SubElement(signature, f"{DS}Object").append(original)
    root = etree.fromstring("<vanban><trichyeu>Chi 9 tỷ đồng</trichyeu></vanban>")
    root.append(signature)
    [found] = stores.check(etree.tostring(root), kind="xml").signatures
    assert found.facts.intact
    assert found.reason is Reason.PARTIAL


def test_only_what_the_verifier_returns_as_signed_counts_as_covered() -> None:
    root = etree.fromstring(
        f'<a><b/><s:Signature xmlns:s="{DS[1:-1]}"><s:SignedInfo>'
        '<s:Reference URI=""/></s:SignedInfo></s:Signature></a>'
    )

    def coverage(signed: str) -> Coverage:
        result = VerifyResult(b"", etree.fromstring(signed), root[1], b"")
        return xml._coverage(root, root[1], [result])

    assert coverage("<a><b/></a>") is Coverage.WHOLE
    assert coverage("<a/>") is Coverage.PARTIAL


@pytest.mark.parametrize(
    ("method", "digest"),
    [
        (SignatureMethod.ECDSA_SHA1, DigestAlgorithm.SHA256),
        (SignatureMethod.ECDSA_SHA256, DigestAlgorithm.SHA1),
    ],
)
def test_sha1_is_weak_and_never_valid(
    method: SignatureMethod, digest: DigestAlgorithm, stores: Stores, government: Authority
) -> None:
    signed = sign_xml(XML, government.office(), method=method, digest=digest)
    [signature] = stores.check(signed, kind="xml").signatures
    assert (signature.result, signature.facts.weak) == (Result.WEAK, ("SHA-1",))


def test_untrusted_revoked_and_ended_certificates_are_told_apart(
    stores: Stores, government: Authority
) -> None:
    stranger = Authority.make("CA lạ").office()
    assert stores.check(sign_xml(XML, stranger), kind="xml").reason is Reason.NO_PATH
    own = Authority.make("CA có danh sách")
    stores.trust(own)
    revoked = own.office()
    own.revoke(revoked, NOW - timedelta(days=1))
    stores.revocations(own.crl(), "its")
    assert stores.check(sign_xml(XML, revoked), kind="xml").reason is Reason.REVOKED
    ended = government.office(since=NOW - 2 * YEAR, until=NOW - YEAR)
    assert stores.check(sign_xml(XML, ended), kind="xml").reason is Reason.NOT_VALID_AT_SIGNING


def test_unsigned_xml_and_what_is_none_are_told(stores: Stores) -> None:
    assert stores.check(XML.encode(), kind="xml").reason is Reason.UNSIGNED
    assert stores.check(b"%PDF-1.7", kind="xml").reason is Reason.NOT_XML


def test_xml_stands_for_the_document_only_without_a_pdf(
    stores: Stores, government: Authority
) -> None:
    office = stores.check(sign_xml(XML, government.office()), kind="xml")
    document = judge_document([office], NOW)
    assert document.legal_status is LegalStatus.REFERENCE_ONLY
    assert document.reasons == (Reason.NO_PERSONAL_SIGNATURE,)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bombs.deep_xml(), Reason.TOO_DEEP),
        (bombs.laughing_xml(), None),
        (b"<!DOCTYPE a><a/>", Reason.DTD_REFUSED),
        (b"<a>" + b"x" * (11 << 20) + b"</a>", Reason.TOO_DEEP),
    ],
    ids=["deep", "laughing", "dtd", "long text"],
)
def test_xml_that_asks_for_too_much_is_refused(
    content: bytes, reason: Reason | None, stores: Stores
) -> None:
    verdict = stores.check(content, kind="xml")
    assert verdict.state is PartState.CHECKED
    assert verdict.reason in ([reason] if reason else [Reason.NOT_XML, Reason.DTD_REFUSED])


def test_entity_that_names_a_file_of_the_reader_is_never_read(
    stores: Stores, tmp_path: Path
) -> None:
    secret = tmp_path / "bí mật"
    secret.write_text("mật khẩu", encoding="utf-8")
    verdict = stores.check(bombs.reading_xml(secret), kind="xml")
    assert verdict.reason in (Reason.DTD_REFUSED, Reason.NOT_XML)
    assert "mật khẩu" not in verdict.detail


def test_xmlsec1_agrees(
    tool: Callable[[str], Path], tmp_path: Path, government: Authority, stores: Stores
) -> None:
    program = tool("xmlsec1")
    signed = sign_xml(XML, government.office())
    changed = signed.replace(b"ban h", b"bon h")
    root = tmp_path / "root.pem"
    root.write_bytes(government.root.pem())
    for content in (signed, changed):
        file = tmp_path / "a.xml"
        file.write_bytes(content)
        told = subprocess.run(
            [program, "--verify", "--trusted-pem", root, file],
            capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        ours = stores.check(content, kind="xml").reason is Reason.VALID
        assert (told.returncode == 0) == ours == (content == signed)
