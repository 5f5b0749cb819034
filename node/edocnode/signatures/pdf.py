"""Signatures in a PDF part: what each covers, whether it holds, who made it and when.

pyHanko reads the file, offline. What is worth what is decided in ``edocnode.domain.signatures``.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, Any

from asn1crypto import cms
from asn1crypto.core import VOID
from asn1crypto.crl import CertificateList
from asn1crypto.ocsp import OCSPResponse
from pyhanko.pdf_utils.decode_limits import DecodeLimits, DecodePurpose
from pyhanko.pdf_utils.misc import PdfDecodeLimitError, PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import (
    DEFAULT_DIFF_POLICY,
    DiffResult,
    FormUpdatingRule,
    ModificationLevel,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
)
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.errors import NoDSSFoundError
from pyhanko.sign.validation.generic_cms import validate_sig_integrity
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from edocnode.domain.signatures import (
    MAX_SIGNATURES,
    Chain,
    Coverage,
    PartState,
    PartToCheck,
    PartVerdict,
    Reason,
    SignatureFacts,
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
from edocnode.signatures.timestamps import Archived, Timestamps
from edocnode.signatures.trust import Trust

_HEADER_WITHIN = 1024  # bytes before which %PDF- must stand (ISO 32000-1, Annex H.3.4.1)
_WEAK_DIGESTS = frozenset({"md2", "md5", "sha1"})
_SHA1_FORMS = frozenset({"/adbe.x509.rsa_sha1", "/adbe.pkcs7.sha1"})
# What other programs may add after a signature: signatures, timestamps, revocation data. Filled
# form fields, which pyHanko lets pass by default, change what people read.
_ADDITIONS = StandardDiffPolicy(
    global_rules=DEFAULT_DIFF_POLICY.global_rules,
    form_rule=FormUpdatingRule(
        field_rules=[
            SigFieldCreationRule(),  # type: ignore[no-untyped-call]  # as it is
            SigFieldModificationRule(),
        ]
    ),
)
_HYBRID = "the file has two tables of its objects, so that programs may show different content"
# What a file that is not as it should be makes the reader raise.
_BROKEN = (
    PdfError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    AssertionError,
)


async def check_pdf(file: IO[bytes], part: PartToCheck, trust: Trust, now: datetime) -> PartVerdict:
    """Judges all signatures of a PDF.

    Raises:
        RecursionError, MemoryError: It asks for too much.
    """
    if b"%PDF-" not in file.read(_HEADER_WITHIN):
        return part_verdict(part, PartState.CHECKED, Reason.NOT_PDF)
    try:
        reader = PdfFileReader(file, strict=False, decode_limits=DecodeLimits())
        if reader.encrypted:
            return part_verdict(part, PartState.CHECKED, Reason.ENCRYPTED)
        if reader.xrefs.hybrid_xrefs_present:
            return part_verdict(part, PartState.CHECKED, Reason.UNREADABLE, detail=_HYBRID)
        fields = list(enumerate_sig_fields(reader, filled_status=True))
        check = _PdfCheck(reader, part, trust, now)
        await check.read_timestamps(fields[: MAX_SIGNATURES + 1])
        found = [await check.facts(*field) for field in fields[: MAX_SIGNATURES + 1]]
    except PdfDecodeLimitError as error:
        return part_verdict(part, PartState.CHECKED, Reason.BOMB, detail=_told(error))
    except _BROKEN as error:
        return part_verdict(part, PartState.CHECKED, Reason.UNREADABLE, detail=_told(error))
    verdicts = [judge(facts, strict=trust.strict) for facts in found if facts is not None]
    more = max(len(fields) - MAX_SIGNATURES, 0)
    return checked_part(part, verdicts[:MAX_SIGNATURES], more=more)


class _PdfCheck:
    """Checks the signatures of one PDF."""

    def __init__(
        self, reader: PdfFileReader, part: PartToCheck, trust: Trust, now: datetime
    ) -> None:
        """Takes a file, and reads what it brings along."""
        self._reader = reader
        self._trust = trust
        self._embedded = _embedded(reader)
        self._now = now
        self._timestamps = Timestamps(trust, self._embedded, known_at=part.known_at, now=now)
        self._archived: tuple[Archived, ...] = ()

    async def read_timestamps(self, fields: Sequence[Any]) -> None:
        """Judges the timestamps of the whole file, before any signature.

        Raises:
            PdfDecodeLimitError: The file unpacks to too much.
        """
        stamps = []
        for name, value, field in fields:
            try:
                if value.get_object().get("/Type") == "/DocTimeStamp":
                    stamp = EmbeddedPdfSignature(self._reader, field, name)
                    stamps += [stamp] if _is_of_all_before(stamp) else []
            except PdfDecodeLimitError:
                raise
            except _BROKEN:
                continue  # it proves nothing
        self._archived = await self._timestamps.archived(stamps)

    async def facts(self, name: str, value: Any, field: Any) -> SignatureFacts | None:  # noqa: ANN401
        """What is found of a signature; None when it is a timestamp of the whole document.

        Raises:
            PdfDecodeLimitError: The file unpacks to too much.
        """
        unreadable = SignatureFacts(field=str(name), readable=False)
        try:
            dictionary = value.get_object()
            if dictionary.get("/Type") == "/DocTimeStamp":
                return None
            if dictionary.get("/SubFilter") in _SHA1_FORMS:
                return _of_sha1_form(name)
            signature = EmbeddedPdfSignature(self._reader, field, name)
            return await self._of(signature)
        except PdfDecodeLimitError:
            raise
        except _BROKEN:
            return unreadable

    async def _of(self, signature: EmbeddedPdfSignature) -> SignatureFacts:
        certificate = signature.signer_cert
        subject = subject_of(certificate)
        intact, authentic = _integrity(signature)
        own = Embedded(
            (*signature.other_embedded_certs, *self._embedded.certificates),
            (*_lists(signature), *self._embedded.crls),
            (*_answers(signature), *self._embedded.ocsps),
        )
        moment = await self._timestamps.moment_of(signature, self._archived)
        standing = await standing_of(
            certificate,
            self._trust,
            own,
            signed_at=moment.at or self._now,
            proven_at=moment.proven_at,
            now=self._now,
        )
        store = self._trust.stores.get(standing.root)
        trusted = standing.chain in (Chain.TRUSTED, Chain.INVALID)
        return SignatureFacts(
            field=str(signature.field_name),
            kind=self._trust.kind_of(subject, standing.root if trusted else b""),
            signer=name_of(subject),
            organisation=organisation_of(subject),
            certificate_sha256=certificate.sha256.hex(),
            signed_at=moment.at,
            time_source=moment.source,
            coverage=_coverage(signature),
            intact=intact,
            authentic=authentic,
            weak=(*_weak(signature), *standing.weak),
            chain=standing.chain,
            store="" if store is None else store.name,
            usable=is_for_signing(certificate),
            valid_at_signing=_is_within(moment.at, certificate),
            proven_in_time=moment.proven_at <= certificate.not_valid_after,
            timestamp=moment.timestamp,
            revocation=standing.revocation,
            revoked_at=standing.revoked_at,
        )


def _embedded(reader: PdfFileReader) -> Embedded:
    """What the document security store of the file holds; it proves nothing by being there."""
    try:
        store = DocumentSecurityStore.read_dss(reader)
        certificates = tuple(store.load_certs())
    except (NoDSSFoundError, ValueError, TypeError):  # what cannot be read proves nothing
        return Embedded()
    crls = (each.get_object().read_data(DecodePurpose.CRL) for each in store.crls)
    ocsps = (each.get_object().read_data(DecodePurpose.OCSP_RESPONSE) for each in store.ocsps)
    return Embedded(
        certificates, tuple(map(CertificateList.load, crls)), tuple(map(OCSPResponse.load, ocsps))
    )


def _integrity(signature: EmbeddedPdfSignature) -> tuple[bool, bool]:
    if signature.signer_info["signed_attrs"] is VOID or not signature.signer_info["signed_attrs"]:
        raise ValueError("it has no signed attributes, which could be read as another signature")
    signature.compute_integrity_info(diff_policy=_ADDITIONS)  # type: ignore[no-untyped-call]  # as it is
    content = signature.signed_data["encap_content_info"]
    intact, authentic = validate_sig_integrity(
        signature.signer_info,
        signature.signer_cert,
        expected_content_type=content["content_type"].native,
        actual_digest=signature.compute_digest(),
    )
    return intact and content["content_type"].native == "data", authentic


def _coverage(signature: EmbeddedPdfSignature) -> Coverage:
    if not _is_gap_the_signature(signature):
        return Coverage.PARTIAL
    if signature.coverage is SignatureCoverageLevel.ENTIRE_FILE:
        return Coverage.WHOLE
    if signature.coverage is not SignatureCoverageLevel.ENTIRE_REVISION:
        return Coverage.PARTIAL
    result = signature.diff_result
    if not isinstance(result, DiffResult) or _has_unknown_tail(signature):
        return Coverage.CHANGED
    levels = {
        ModificationLevel.NONE: Coverage.VALIDATION_ADDED,
        ModificationLevel.LTA_UPDATES: Coverage.VALIDATION_ADDED,
        ModificationLevel.FORM_FILLING: Coverage.SIGNATURES_ADDED,
    }
    allowed = signature.summarise_integrity_info()["docmdp_ok"]
    return levels.get(result.modification_level, Coverage.CHANGED) if allowed else Coverage.CHANGED


def _is_of_all_before(stamp: EmbeddedPdfSignature) -> bool:
    """Whether a timestamp covers all of the file up to its own revision."""
    stamp.compute_integrity_info(skip_diff=True)  # type: ignore[no-untyped-call]  # as it is
    whole = (SignatureCoverageLevel.ENTIRE_FILE, SignatureCoverageLevel.ENTIRE_REVISION)
    return _is_gap_the_signature(stamp) and stamp.coverage in whole


def _is_gap_the_signature(signature: EmbeddedPdfSignature) -> bool:
    """Whether what the digest leaves out is the signature in hexadecimal, and nothing else."""
    ranges = [int(each) for each in signature.byte_range]
    if len(ranges) != 4 or ranges[0] != 0 or min(ranges) < 0:
        return False
    start, end = ranges[1], ranges[2]
    if end - start != 2 * len(signature.pkcs7_content) + 2:
        return False
    stream = signature.reader.stream
    stream.seek(start)
    gap = stream.read(end - start)
    return bool(gap[:1] == b"<" and gap[-1:] == b">" and gap[1:-1].isalnum())


def _has_unknown_tail(signature: EmbeddedPdfSignature) -> bool:
    """Whether bytes follow that no later version of the file accounts for."""
    if signature.signed_revision < signature.reader.xrefs.total_revisions - 1:
        return False
    stream = signature.reader.stream
    stream.seek(int(signature.byte_range[2]) + int(signature.byte_range[3]))
    return bool(stream.read().strip())


def _weak(signature: EmbeddedPdfSignature) -> Iterator[str]:
    digests = {signature.md_algorithm, _digest_of_mechanism(signature.signer_info)}
    for digest in sorted(digests & _WEAK_DIGESTS):
        yield digest.upper().replace("SHA1", "SHA-1")
    if small := weak_key(signature.signer_cert):
        yield small


def _digest_of_mechanism(signer: cms.SignerInfo) -> str:
    try:
        return str(signer["signature_algorithm"].hash_algo)
    except ValueError:  # it names none: that of the digest counts
        return ""


def _of_sha1_form(name: str) -> SignatureFacts:
    """A signature of a form that can hold nothing but SHA-1 (ISO 32000-2 has withdrawn them)."""
    return SignatureFacts(
        field=str(name), intact=True, authentic=True, coverage=Coverage.WHOLE, weak=("SHA-1",)
    )


def _lists(signature: EmbeddedPdfSignature) -> Iterator[Any]:
    """Revocation lists inside the signature itself."""
    crls = signature.signed_data["crls"]
    for choice in crls if crls.native else ():
        if choice.name == "crl":
            yield choice.chosen
    attributes = signature.signer_info["signed_attrs"]
    for attribute in attributes if attributes.native else ():
        if attribute["type"].native == "adobe_revocation_info_archival":
            yield from attribute["values"][0]["crl"] or ()


def _answers(signature: EmbeddedPdfSignature) -> Iterator[Any]:
    """OCSP answers inside the signature itself (Adobe's form)."""
    attributes = signature.signer_info["signed_attrs"]
    for attribute in attributes if attributes.native else ():
        if attribute["type"].native == "adobe_revocation_info_archival":
            yield from attribute["values"][0]["ocsp"] or ()


def _is_within(moment: datetime | None, certificate: Any) -> bool | None:  # noqa: ANN401
    if moment is None:
        return None
    return bool(certificate.not_valid_before <= moment <= certificate.not_valid_after)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
