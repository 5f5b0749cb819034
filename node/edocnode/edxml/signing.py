"""The XML signature of a package: checked, and made, by signxml.

Only what the verification returns as signed is believed, and only when that is the whole package.
A signature with SHA-1 is read and called weak; it never counts as valid. What a signature may ask
of this program is looked at before the library sees it: few transforms and references, none
to anything but the whole package.

Source: XML Signature Syntax and Processing 1.1; Decision 28/2018/QD-TTg, Article 4.
"""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edoccore.errors import KeyUnusableError, LimitExceededError, RequestInvalidError
from edocnode.edxml.bounds import BOUNDS, Bounds
from edocnode.edxml.document_types import DocumentTypes
from edocnode.edxml.findings import Finding, finding, refusal, warning
from edocnode.edxml.layout import Layout
from edocnode.edxml.model import Judged
from edocnode.edxml.reading import Tree, open_package, read_tree, scratch_folder
from edocnode.edxml.tree import DSIG, Node, shape
from edocnode.edxml.validating import SignatureReport, judge

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from lxml import etree

    SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_TRANSFORMS = frozenset(
    {
        f"{DSIG}enveloped-signature",
        _EXCLUSIVE,
        f"{_EXCLUSIVE}WithComments",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
        "http://www.w3.org/2006/12/xml-c14n11",
    }
)
_HEADER = ".//{*}edXMLHeader"


class Verdict(StrEnum):
    """What is known of a signature."""

    NONE = "none"
    VALID = "valid"  # by a signer whose certificate leads to a trusted authority
    UNTRUSTED = "untrusted"  # nothing was changed, but nobody shows who the signer is
    WEAK = "weak"  # nothing was changed as far as SHA-1 can tell
    BROKEN = "broken"
    UNCHECKED = "unchecked"


def judge_file(
    path: Path,
    scratch: Path,
    *,
    types: DocumentTypes,
    authorities: Path | None = None,
    follow: bool = True,
) -> Judged:
    """Reads and judges a file, its signature included.

    Args:
        follow: It may be a symbolic link.

    Raises:
        EdxmlInvalidError: It cannot be read to its end.
        DiskFullError: No room for its attachments.
        RequestInvalidError: There is no such file.
    """

    def verify(tree: Tree, layout: Layout) -> SignatureReport:
        return check_signature(tree, layout, path, authorities=authorities)

    with open_package(path, follow=follow) as file:
        return judge(file, scratch, types=types, verify=verify)


def check_signature(
    tree: Tree,
    layout: Layout,
    path: Path,
    *,
    authorities: Path | None = None,
    bounds: Bounds = BOUNDS,
) -> SignatureReport:
    """Checks the XML signature of a package.

    Args:
        path: The file that was read as ``tree``.
        authorities: PEM certificates of trusted authorities; None: no signer is trusted.

    Raises:
        EdxmlInvalidError: The signature asks for something that no package may.
    """
    if not layout.signatures:
        return SignatureReport(verdict=Verdict.NONE, signer="")
    if len(layout.signatures) > 1:
        node = layout.signatures[1]
        raise refusal(
            "SIGNATURE_FORM", line=node.line, element="Signature", why="there are several"
        )
    node = layout.signatures[0]
    _check_form(node, bounds)
    if not any(inner.name == "SignatureValue" for inner in node):
        return SignatureReport(verdict=Verdict.NONE, signer="")
    if tree.size > bounds.checked:
        return _unchecked(node, "SIGNATURE_TOO_LARGE", limit=bounds.checked >> 20)
    if sum(1 + len(each.attributes) for each in _walk(tree.root)) > bounds.checked_nodes:
        return _unchecked(node, "SIGNATURE_TOO_MANY", limit=bounds.checked_nodes)
    try:
        import signxml  # noqa: F401, PLC0415 - an extra, and heavy
    except ImportError:
        return _unchecked(
            node, "SIGNATURE_UNCHECKED", why="the extra [signatures] is not installed"
        )
    return _verified(tree, node, path.read_bytes(), authorities)


def sign_package(
    data: bytes, key_pem: bytes, certificate_pem: bytes, *, bounds: Bounds = BOUNDS
) -> bytes:
    """Signs a package: enveloped, exclusive C14N, SHA-256, ECDSA or RSA as the key is.

    Args:
        data: A package that ``writing`` made.
        certificate_pem: The signer's certificate, and those between it and its authority.

    Raises:
        LimitExceededError: The package is too large to be signed.
        KeyUnusableError: Key or certificate cannot be used.
        RequestInvalidError: The extra [signatures] is not installed.
    """
    if len(data) > bounds.signed:
        raise LimitExceededError(
            f"The package has {len(data)} bytes; at most {bounds.signed} can be signed as XML.",
            hint="Leave out --sign-key; the exchange's own seal covers files of any size.",
        )
    try:
        from lxml import etree  # noqa: PLC0415 - an extra
        from signxml.algorithms import (  # noqa: PLC0415
            CanonicalizationMethod,
            SignatureConstructionMethod,
        )
        from signxml.signer import XMLSigner  # noqa: PLC0415
    except ImportError as error:
        raise RequestInvalidError(
            "Signing needs the extra [signatures], which is not installed.",
            hint="Install it: pip install 'edocnode[signatures]'.",
        ) from error
    key, chain = _key_and_chain(key_pem, certificate_pem)
    root = _parsed(data)
    holder = root.find(_HEADER)
    if holder is None:
        raise RequestInvalidError("A package without edXMLHeader cannot be signed.")
    placeholder = etree.SubElement(
        holder, f"{{{DSIG}}}Signature", {"Id": "placeholder"}, {None: DSIG}
    )
    placeholder.tail = "\n"
    signer = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=_algorithm(key),
        digest_algorithm="sha256",
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signed = signer.sign(root, key=key, cert=chain)
    return bytes(etree.tostring(signed, xml_declaration=True, encoding="UTF-8"))


def _check_form(node: Node, bounds: Bounds) -> None:
    """Refuses what a signature must not ask for, before any library sees it."""
    references = [each for each in _walk(node) if each.name == "Reference"]
    if len(references) > bounds.signature_references:
        raise refusal(
            "SIGNATURE_REFERENCES",
            line=node.line,
            element="Signature",
            limit=bounds.signature_references,
        )
    for each in _walk(node):
        algorithm = each.attributes.get(("", "Algorithm"), "")
        if each.name == "Transform" and algorithm not in _TRANSFORMS:
            raise refusal(
                "SIGNATURE_TRANSFORM", line=each.line, element="Transform", value=algorithm
            )
        uri = each.attributes.get(("", "URI"), "")
        if each.name in ("Reference", "RetrievalMethod") and uri:
            why = f"it refers to {uri}"
            raise refusal("SIGNATURE_FORM", line=each.line, element=each.name, why=why)


def _walk(node: Node) -> Sequence[Node]:
    found = [node]
    for each in found:
        found += list(each)
    return found


def _verified(tree: Tree, node: Node, data: bytes, authorities: Path | None) -> SignatureReport:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from lxml import etree  # noqa: PLC0415
    from signxml.exceptions import SignXMLException  # noqa: PLC0415

    try:
        certificate = _stated_certificate(node)
        _check_covers(
            tree, _verify(data, x509_cert=certificate, at=certificate.not_valid_before_utc)
        )
    except (SignXMLException, InvalidSignature, etree.LxmlError, ValueError) as error:
        return _report(Verdict.BROKEN, "", finding("SIGNATURE_BROKEN", line=node.line, why=error))
    signer = certificate.subject.rfc4514_string()
    weak = next((each for each in _algorithms(node) if "sha1" in each), "")
    if weak:
        name = weak.rpartition("#")[2]
        return _report(Verdict.WEAK, signer, warning("SIGNATURE_WEAK", line=node.line, value=name))
    try:
        if authorities is None:
            raise SignXMLException("no authority was named")
        _verify(data, ca_pem_file=str(authorities))
    except (SignXMLException, InvalidSignature, ValueError):
        told = warning("SIGNATURE_UNTRUSTED", line=node.line, value=signer)
        return _report(Verdict.UNTRUSTED, signer, told)
    return _report(Verdict.VALID, signer)


def _verify(data: bytes, *, at: datetime | None = None, **trust: "str | x509.Certificate") -> bytes:
    """Verifies a signature and returns the bytes that it covers.

    Args:
        at: Moment at which certificates must be valid; None: now.
        trust: The signer's certificate, or a file of authorities.

    Raises:
        SignXMLException: It does not verify.
    """
    from signxml.algorithms import DigestAlgorithm, SignatureMethod  # noqa: PLC0415
    from signxml.verifier import SignatureConfiguration, XMLVerifier  # noqa: PLC0415

    configuration = SignatureConfiguration(
        signature_methods=frozenset(SignatureMethod),  # SHA-1 is read, and told
        digest_algorithms=frozenset(DigestAlgorithm),
        verification_time=at,
    )
    given: dict[str, Any] = dict(trust)
    result = XMLVerifier().verify(data, parser=_parser(), expect_config=configuration, **given)
    if isinstance(result, list):  # one reference is demanded
        raise TypeError("several references")
    return result.signed_data


def _check_covers(tree: Tree, signed: bytes) -> None:
    """Demands that what was signed is the package without its signature, attachments included.

    Raises:
        ValueError: It is something else.
    """
    with scratch_folder() as scratch:
        other = read_tree(io.BytesIO(signed), scratch)
        same = [_digests(one) for one in (tree, other)]
        if shape(_without_signature(tree.root)) != shape(other.root) or same[0] != same[1]:
            raise ValueError("it does not cover the whole package")


def _digests(tree: Tree) -> list[bytes]:
    found = []
    for content in tree.contents:
        with content.path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").digest())
    return found


def _without_signature(node: Node) -> Node:
    kept = [
        _without_signature(item) if isinstance(item, Node) else item
        for item in node.content
        if isinstance(item, str) or (item.namespace, item.name) != (DSIG, "Signature")
    ]
    return replace(node, content=kept)


def _algorithms(node: Node) -> list[str]:
    return [
        each.attributes.get(("", "Algorithm"), "").lower()
        for each in _walk(node)
        if each.name in ("SignatureMethod", "DigestMethod")
    ]


def _parsed(data: bytes) -> "etree._Element":
    """The package for the library, which sees only what was judged and bounded before."""
    from lxml import etree  # noqa: PLC0415

    return etree.fromstring(data, _parser())


def _parser() -> "etree.XMLParser":
    """Asks nobody, and takes texts of any length: ``read_tree`` has kept every bound before."""
    from lxml import etree  # noqa: PLC0415

    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=True,
    )


def _stated_certificate(node: Node) -> "x509.Certificate":
    """The certificate that the signature names; whether it is to be trusted is asked later."""
    from cryptography import x509  # noqa: PLC0415

    stated = [each.text for each in _walk(node) if each.name == "X509Certificate"]
    if not stated:
        raise ValueError("it names no certificate")
    return x509.load_der_x509_certificate(
        base64.b64decode("".join(stated[0].split()), validate=True)
    )


def _key_and_chain(
    key_pem: bytes, certificate_pem: bytes
) -> "tuple[SigningKey, list[x509.Certificate]]":
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(key_pem, password=None)
        chain = x509.load_pem_x509_certificates(certificate_pem)
        if key.public_key() != chain[0].public_key():
            raise ValueError("the certificate is of another key")
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("it is neither ECDSA nor RSA")
    except (ValueError, TypeError) as error:
        raise KeyUnusableError(
            f"The key for XML signatures cannot be used: {error}.",
            hint="Give a PEM file without a password for the key, and its certificate.",
        ) from error
    return key, chain


def _algorithm(key: "SigningKey") -> str:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    return "ecdsa-sha256" if isinstance(key, ec.EllipticCurvePrivateKey) else "rsa-sha256"


def _unchecked(node: Node, code: str, **facts: object) -> SignatureReport:
    told = warning(code, line=node.line, element="Signature", **facts)
    return _report(Verdict.UNCHECKED, "", told)


def _report(verdict: Verdict, signer: str, *findings: Finding) -> SignatureReport:
    return SignatureReport(verdict=verdict, signer=signer, findings=findings)
