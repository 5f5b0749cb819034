"""Signatures in an XML part: what each covers, whether it holds, who made it and when.

signxml verifies, without any network. Only what it returns as signed counts as covered: whatever
else stands in the file may have been put there by anybody.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import IO, Any

from asn1crypto import x509
from cryptography.x509 import load_der_x509_certificate
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest, InvalidSignature, SignXMLException
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from edocnode.domain.signatures import (
    MAX_SIGNATURES,
    Chain,
    Coverage,
    PartState,
    PartToCheck,
    PartVerdict,
    Reason,
    SignatureFacts,
    TimeSource,
    checked_part,
    judge,
    part_verdict,
)
from edocnode.signatures.certificates import (
    Embedded,
    is_for_signing,
    name_of,
    organisation_of,
    standing_of,
    subject_of,
    weak_key,
)
from edocnode.signatures.trust import Trust

MAX_XML_BYTES = 32 * 1024 * 1024  # read whole, and held several times by a verifier

_DS = "{http://www.w3.org/2000/09/xmldsig#}"
_SIGNING_TIME = "{http://uri.etsi.org/01903/v1.3.2#}SigningTime"
_ID_NAMES = ("Id", "ID", "id")
_BROKEN = (SignXMLException, etree.LxmlError, ValueError, TypeError, LookupError, AttributeError)


async def check_xml(file: IO[bytes], part: PartToCheck, trust: Trust, now: datetime) -> PartVerdict:
    """Judges all signatures of an XML file.

    Raises:
        RecursionError, MemoryError: It asks for too much.
    """
    if part.size > MAX_XML_BYTES:
        return part_verdict(part, PartState.NOT_CHECKED, Reason.TOO_LARGE)
    content = file.read()
    try:
        root = _parsed(content)
    except etree.XMLSyntaxError as error:
        deep = "depth" in str(error) or "huge" in str(error).lower()
        reason = Reason.TOO_DEEP if deep else Reason.NOT_XML
        return part_verdict(part, PartState.CHECKED, reason, detail=str(error)[:200])
    if root.getroottree().docinfo.internalDTD is not None:
        return part_verdict(part, PartState.CHECKED, Reason.DTD_REFUSED)
    elements = [each for each in root.iter(f"{_DS}Signature") if not _is_inside_signature(each)]
    found = [await _facts(root, each, part, trust, now) for each in elements[:MAX_SIGNATURES]]
    verdicts = [judge(facts, strict=trust.strict) for facts in found]
    return checked_part(part, verdicts, more=max(len(elements) - MAX_SIGNATURES, 0))


def _parsed(content: bytes) -> Any:  # noqa: ANN401 - lxml's own classes are private
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False,
    )  # fmt: skip
    return etree.fromstring(content, parser)


async def _facts(
    root: Any,  # noqa: ANN401
    element: Any,  # noqa: ANN401
    part: PartToCheck,
    trust: Trust,
    now: datetime,
) -> SignatureFacts:
    path = root.getroottree().getelementpath(element)
    try:
        certificates = [
            x509.Certificate.load(base64.b64decode(each.text or ""))
            for each in element.iter(f"{_DS}X509Certificate")
        ]
        certificate = _signer(certificates)
        intact, authentic, results = _verified(root, path, certificate)
        return await _of(
            certificate,
            SignatureFacts(
                field=path,
                intact=intact,
                authentic=authentic,
                coverage=_coverage(root, element, results),
                weak=(*_weak(element), *filter(None, [weak_key(certificate)])),
                signed_at=(claimed := _claimed_time(results)),
                time_source=TimeSource.NONE if claimed is None else TimeSource.CLAIMED,
            ),
            part=part,
            trust=trust,
            others=certificates,
            now=now,
        )
    except _BROKEN:
        return SignatureFacts(field=path, readable=False)


async def _of(
    certificate: Any,  # noqa: ANN401
    found: SignatureFacts,
    *,
    part: PartToCheck,
    trust: Trust,
    others: Sequence[Any],
    now: datetime,
) -> SignatureFacts:
    """Adds who signed, and where the certificate stands.

    XML signatures of the kind seen carry no time: the part was signed before it was here.
    """
    moment = found.signed_at or part.known_at
    standing = await standing_of(
        certificate,
        trust,
        Embedded(tuple(others)),
        signed_at=moment,
        proven_at=part.known_at,
        now=now,
    )
    subject = subject_of(certificate)
    trusted = standing.chain in (Chain.TRUSTED, Chain.INVALID)
    store = trust.stores.get(standing.root)
    return SignatureFacts(
        field=found.field,
        kind=trust.kind_of(subject, standing.root if trusted else b""),
        signer=name_of(subject),
        organisation=organisation_of(subject),
        certificate_sha256=certificate.sha256.hex(),
        signed_at=found.signed_at,
        time_source=found.time_source,
        coverage=found.coverage,
        intact=found.intact,
        authentic=found.authentic,
        weak=(*found.weak, *standing.weak),
        chain=standing.chain,
        store="" if store is None else store.name,
        usable=is_for_signing(certificate),
        valid_at_signing=certificate.not_valid_before <= moment <= certificate.not_valid_after,
        proven_in_time=part.known_at <= certificate.not_valid_after,
        revocation=standing.revocation,
        revoked_at=standing.revoked_at,
    )


class _At(XMLVerifier):
    """Verifies the signature at one place; signxml by itself takes the first it meets."""

    def __init__(self, path: str) -> None:
        """Takes the path of the signature from the root."""
        super().__init__()
        self._path = path

    def _get_signature(self, root: Any) -> Any:  # noqa: ANN401 - as the class it changes
        found = root if self._path == "." else root.find(self._path)
        if found is None:
            raise InvalidSignature("the signature is not at its place")
        return found


def _verified(root: Any, path: str, certificate: Any) -> tuple[bool, bool, list[VerifyResult]]:  # noqa: ANN401
    """Whether the signed bytes are intact, and signed by the certificate; and these bytes."""
    signer = load_der_x509_certificate(certificate.dump())
    config = SignatureConfiguration(
        expect_references=True,
        signature_methods=frozenset(SignatureMethod),  # weak ones are told, and never valid
        digest_algorithms=frozenset(DigestAlgorithm),
        verification_time=signer.not_valid_before_utc,  # validity is judged elsewhere
    )
    try:
        results = _At(path).verify(root, x509_cert=signer, expect_config=config)
    except InvalidDigest:
        return False, True, []
    except InvalidSignature:
        return True, False, []
    return True, True, results if isinstance(results, list) else [results]


def _coverage(root: Any, element: Any, results: Sequence[VerifyResult]) -> Coverage:  # noqa: ANN401
    """Whether the whole document was signed: its root is what a reference names and returns."""
    own = {root.get(name) for name in _ID_NAMES} - {None}
    whole = {"", *(f"#{name}" for name in own)}
    uris = [each.get("URI", "?") for each in element.iterfind(f"{_DS}SignedInfo/{_DS}Reference")]
    signed = [
        result.signed_xml
        for uri, result in zip(uris, results, strict=False)
        if uri in whole and result.signed_xml is not None
    ]
    return Coverage.WHOLE if any(_is_same(root, each) for each in signed) else Coverage.PARTIAL


def _is_same(root: Any, signed: Any) -> bool:  # noqa: ANN401
    """Whether signed content is all of the document but signatures."""
    theirs = [each.tag for each in signed.iter("*") if not _is_signature(each)]
    own = [each.tag for each in root.iter("*") if not _is_signature(each)]
    return theirs == own


def _is_signature(element: Any) -> bool:  # noqa: ANN401
    return element.tag == f"{_DS}Signature" or _is_inside_signature(element)


def _is_inside_signature(element: Any) -> bool:  # noqa: ANN401
    return next(element.iterancestors(f"{_DS}Signature"), None) is not None


def _signer(certificates: Sequence[Any]) -> Any:  # noqa: ANN401
    """The certificate that signed: the one that vouches for no other of the file.

    Raises:
        LookupError: There is none.
    """
    issuers = {each.issuer.hashable for each in certificates if not each.self_issued}
    own = [each for each in certificates if each.subject.hashable not in issuers]
    return (own or certificates)[0]


def _weak(element: Any) -> list[str]:  # noqa: ANN401
    """The weak algorithms that a signature names."""
    named = [
        each.get("Algorithm", "")
        for tag in ("SignatureMethod", "DigestMethod")
        for each in element.iterfind(f"{_DS}SignedInfo//{_DS}{tag}")
    ]
    return ["SHA-1"] if any(each.lower().endswith("sha1") for each in named) else []


def _claimed_time(results: Sequence[VerifyResult]) -> datetime | None:
    """The time that the signer claims under the signature (XAdES)."""
    for result in results:
        if result.signed_xml is None:
            continue
        for each in result.signed_xml.iter(_SIGNING_TIME):
            moment = datetime.fromisoformat(str(each.text or "").strip())
            return moment if moment.tzinfo is not None else None
    return None
