"""What signatures in the parts of a document are worth: facts, verdicts, and the law's conclusion.

Facts are found elsewhere (``edocnode.signatures``); here they are judged, and only here. A verdict
is kept as JSON with its document.

Source: Decision 28/2018/QD-TTg, Articles 4, 6 and 9; Decree 30/2020/ND-CP, Article 5 and
Appendix I: a document that its authorised person and its organisation signed replaces paper.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from edoccore.errors import StorageDamagedError
from edoccore.signing.readers import reader_of
from edoccore.signing.statements import Part

TO_CHECK = "to_check"  # key in the listing of an arrival that has parts to be checked
CHECKER_VERSION = 2  # raised when the same bytes would be judged otherwise
MAX_VERDICT_BYTES = 1024 * 1024  # of the JSON of one document
MAX_SIGNATURES = 50  # checked in one part; more are told
_MOST_COUNTED = 2**31 - 1  # of parts or signatures; what messages can hold

_ENDINGS = {".pdf": "pdf", ".xml": "xml", ".edxml": "xml"}
_ENDED = tuple(_ENDINGS)
_MEDIA_TYPES = {"application/pdf": "pdf", "application/xml": "xml", "text/xml": "xml"}


class SignerKind(StrEnum):
    """Who signs: a person who is authorised, or the organisation."""

    PERSONAL = "personal"
    ORGANISATION = "organisation"
    UNKNOWN = "unknown"


class Chain(StrEnum):
    """How the signer's certificate leads to a root of the trust stores."""

    TRUSTED = "trusted"
    UNTRUSTED_ROOT = "untrusted_root"  # to a root that no store has
    NO_PATH = "no_path"  # to none: certificates are missing
    INVALID = "invalid"  # to a trusted one, but the path breaks a rule (RFC 5280)


class Revocation(StrEnum):
    """What revocation lists say of the certificate."""

    GOOD = "good"
    REVOKED = "revoked"  # when it signed, or nobody can show that it signed before
    REVOKED_SINCE = "revoked_since"  # but provably after it signed
    UNKNOWN = "unknown"  # no list in hand speaks of it


class Coverage(StrEnum):
    """How much of the part the signature covers."""

    WHOLE = "whole"  # every byte but itself
    VALIDATION_ADDED = "validation_added"  # whole, then revocation data or timestamps were added
    SIGNATURES_ADDED = "signatures_added"  # whole, then others signed, and nothing else changed
    CHANGED = "changed"  # the document was changed after signing
    PARTIAL = "partial"  # some of the content never was covered


class TimeSource(StrEnum):
    """Who says when it was signed."""

    TIMESTAMP = "timestamp"  # a timestamping authority that a trust store knows
    CLAIMED = "claimed"  # the signer
    NONE = "none"


class TimestampState(StrEnum):
    """What became of the timestamp on a signature, which proves when it was there."""

    NONE = "none"  # it has none
    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"  # of an authority that no store knows, or that may not do this
    BROKEN = "broken"  # it is of something else, or was changed
    EXPIRED = "expired"  # the authority's certificate ended before anything else proves the time
    REVOKED = "revoked"  # likewise, but was revoked


class Result(StrEnum):
    """What one signature is worth."""

    VALID = "valid"
    WEAK = "weak"  # sound as far as it goes, by an algorithm that can be forged: never valid
    INVALID = "invalid"


class Reason(StrEnum):
    """Why a signature, a part or a document is judged as it is."""

    VALID = "VALID"
    # Of a signature, in the order in which they are looked at.
    MALFORMED = "SIGNATURE_MALFORMED"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    SIGNATURE_MISMATCH = "SIGNATURE_MISMATCH"
    PARTIAL = "NOT_WHOLE_FILE"
    CHANGED_AFTER_SIGNING = "CHANGED_AFTER_SIGNING"
    WEAK_ALGORITHM = "WEAK_ALGORITHM"
    UNTRUSTED_ROOT = "UNTRUSTED_ROOT"
    NO_PATH = "NO_PATH_TO_ROOT"
    CHAIN_INVALID = "CHAIN_INVALID"
    NOT_VALID_AT_SIGNING = "CERTIFICATE_NOT_VALID_AT_SIGNING"
    EXPIRED_UNPROVEN = "CERTIFICATE_EXPIRED_TIME_UNPROVEN"
    REVOKED = "CERTIFICATE_REVOKED"
    REVOCATION_UNKNOWN = "REVOCATION_UNKNOWN"
    KEY_USAGE = "KEY_NOT_FOR_SIGNING"
    # Of a part that holds no signature, or whose signatures cannot be read.
    UNSIGNED = "UNSIGNED"
    ENCRYPTED = "ENCRYPTED"
    NOT_PDF = "NOT_A_PDF"
    NOT_XML = "NOT_XML"
    DTD_REFUSED = "DTD_REFUSED"
    UNREADABLE = "UNREADABLE"
    TOO_DEEP = "NESTED_TOO_DEEP"
    BOMB = "DECOMPRESSION_LIMIT"
    # Of a part that could not be checked.
    TOO_LARGE = "TOO_LARGE"
    TOO_LONG = "CHECK_TOOK_TOO_LONG"
    OUT_OF_MEMORY = "CHECK_OUT_OF_MEMORY"
    CRASHED = "CHECK_CRASHED"
    PART_MISSING = "PART_NOT_HERE"
    NOT_DECRYPTED = "PART_NOT_DECRYPTED"
    NO_TRUST_STORE = "NO_TRUST_STORE"
    NOT_INSTALLED = "NOT_INSTALLED"
    PENDING = "PENDING"
    VERDICT_DAMAGED = "VERDICT_DAMAGED"
    # Of a document.
    NO_SIGNED_PART = "NO_SIGNED_PART"
    NO_PERSONAL_SIGNATURE = "NO_VALID_PERSONAL_SIGNATURE"
    NO_ORGANISATION_SIGNATURE = "NO_VALID_ORGANISATION_SIGNATURE"
    ATTACHMENT_UNSIGNED = "ATTACHMENT_WITHOUT_ORGANISATION_SIGNATURE"


class PartState(StrEnum):
    """Whether a part was checked."""

    CHECKED = "checked"  # its content was read, whatever it is worth
    CHECK_FAILED = "check_failed"  # the check broke: nothing is known
    NOT_CHECKED = "not_checked"


class LegalStatus(StrEnum):
    """What the law makes of the document."""

    REPLACES_PAPER = "replaces_paper"
    REFERENCE_ONLY = "reference_only"
    NOT_CHECKED = "not_checked"


class CheckState(StrEnum):
    """Where the check of a document stands."""

    PENDING = "pending"
    DONE = "done"


class SignatureFacts(Struct, frozen=True, kw_only=True):
    """What was found of one signature; nothing is judged yet.

    Attributes:
        field: Name of the field in the PDF, or path of the element in the XML.
        readable: Whether it could be taken apart; if not, all else stands at its defaults.
        intact: The signed bytes have the signed digest.
        authentic: The digest was signed by the key of the certificate.
        weak: What is too weak of its algorithms, such as ``SHA-1`` or ``RSA 1024``; empty: none.
        store: Name of the trust store that has the root; empty: none has.
        usable: The certificate is for signatures.
        valid_at_signing: The signing time lies within the certificate's validity; None: no time.
        proven_in_time: It certainly had been made before the certificate ended.
        timestamp: Of the signature itself; timestamps of the whole file show in ``time_source``.
        signed_at: As ``time_source`` says.
    """

    field: str
    readable: bool = True
    kind: SignerKind = SignerKind.UNKNOWN
    signer: str = ""
    organisation: str = ""
    certificate_sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    signed_at: datetime | None = None
    time_source: TimeSource = TimeSource.NONE
    coverage: Coverage = Coverage.PARTIAL
    intact: bool = False
    authentic: bool = False
    weak: tuple[str, ...] = ()
    chain: Chain = Chain.NO_PATH
    store: str = ""
    usable: bool = True
    valid_at_signing: bool | None = None
    proven_in_time: bool = True
    timestamp: TimestampState = TimestampState.NONE
    revocation: Revocation = Revocation.UNKNOWN
    revoked_at: datetime | None = None


class SignatureVerdict(Struct, frozen=True, kw_only=True):
    """One signature with what it is worth."""

    facts: SignatureFacts
    result: Result
    reason: Reason


class PartVerdict(Struct, frozen=True, kw_only=True):
    """What was found in one part.

    Attributes:
        reason: VALID when every signature is; else of the part itself, or of its first signature
            that is not valid.
        detail: For a person, may be empty.
        more: Signatures beyond ``MAX_SIGNATURES``, which were not looked at.
    """

    index: Annotated[int, Meta(ge=0, le=_MOST_COUNTED)]
    name: str
    kind: str
    state: PartState
    reason: Reason
    detail: str = ""
    signatures: tuple[SignatureVerdict, ...] = ()
    more: Annotated[int, Meta(ge=0, le=_MOST_COUNTED)] = 0


class DocumentVerdict(Struct, frozen=True, kw_only=True):
    """What was found in all parts of a document, and what the law makes of it.

    Attributes:
        reasons: Why it does not replace paper; empty when it does.
        checker: ``CHECKER_VERSION`` that judged.
    """

    legal_status: LegalStatus
    reasons: tuple[Reason, ...]
    parts: tuple[PartVerdict, ...]
    checked_at: datetime
    checker: int = CHECKER_VERSION

    @property
    def lacks_a_part(self) -> bool:
        """Whether a part was not here, or not as it was sealed."""
        return any(part.reason is Reason.PART_MISSING for part in self.parts)


class PartToCheck(Struct, frozen=True, kw_only=True):
    """A part as the checker gets it: its bytes, or the path of a file that has them.

    Attributes:
        sha256: Lower hex, as sealed; the checker looks whether these are the bytes.
        known_at: A moment at which this node had it, so that it was signed before.
        encrypted_from: Sender of the document, while the bytes are encrypted; then empty.
    """

    index: int
    name: str
    kind: str
    size: int
    sha256: str
    known_at: datetime
    path: str = ""
    data: bytes = b""
    encrypted_from: str = ""


class SignatureChecker(Protocol):
    """Checks parts, one at a time, where nothing that a part does can hurt."""

    async def check(self, part: PartToCheck) -> PartVerdict:
        """Judges one part; whatever it does, there is a verdict."""


def kind_to_check(name: str, media_type: str) -> str:
    """``pdf`` or ``xml`` when a part may hold signatures, by its name or type; empty otherwise."""
    return _MEDIA_TYPES.get(media_type) or _ENDINGS.get(PurePath(name).suffix.lower(), "")


def has_parts_to_check(parts: Sequence[Part]) -> bool:
    """Whether a document has a part that may hold signatures; under a microsecond each.

    Args:
        parts: All, the record first, which is never looked at.
    """
    for part in parts[1:]:
        if part.media_type in _MEDIA_TYPES or part.name.lower().endswith(_ENDED):
            return True
    return False


def judge(facts: SignatureFacts, *, strict: bool) -> SignatureVerdict:
    """Says what a signature is worth.

    Args:
        strict: A certificate of which no revocation list speaks makes it invalid; else it counts,
            and people are told.
    """
    reason = _reason(facts, strict=strict)
    results = {Reason.VALID: Result.VALID, Reason.WEAK_ALGORITHM: Result.WEAK}
    return SignatureVerdict(facts=facts, result=results.get(reason, Result.INVALID), reason=reason)


def checked_part(
    part: PartToCheck, signatures: Sequence[SignatureVerdict], *, more: int = 0
) -> PartVerdict:
    """The verdict of a part whose signatures were judged."""
    bad = [each.reason for each in signatures if each.result is not Result.VALID]
    reason = bad[0] if bad else Reason.VALID
    return part_verdict(
        part, PartState.CHECKED, reason if signatures else Reason.UNSIGNED, signatures, more=more
    )


def part_verdict(
    part: PartToCheck,
    state: PartState,
    reason: Reason,
    signatures: Sequence[SignatureVerdict] = (),
    *,
    detail: str = "",
    more: int = 0,
) -> PartVerdict:
    """A verdict of a part."""
    return PartVerdict(
        index=part.index,
        name=part.name,
        kind=part.kind,
        state=state,
        reason=reason,
        detail=detail,
        signatures=tuple(signatures),
        more=more,
    )


def judge_document(parts: Sequence[PartVerdict], at: datetime) -> DocumentVerdict:
    """What the law makes of a document.

    The first PDF part is the document itself: it needs a valid signature of a person and one of
    the organisation. Every further PDF part is an attachment in a file of its own, which needs
    that of the organisation (Decree 30/2020, Appendix I). Without a PDF part the first XML part
    stands for the document.
    """
    official = [part for part in parts if part.kind == "pdf"] or list(parts)[:1]
    unknown = [part.reason for part in official if part.state is not PartState.CHECKED]
    reasons = _missing(official)
    if unknown:
        status, reasons = LegalStatus.NOT_CHECKED, unknown
    elif reasons:
        status = LegalStatus.REFERENCE_ONLY
    else:
        status = LegalStatus.REPLACES_PAPER
    return DocumentVerdict(
        legal_status=status,
        reasons=tuple(dict.fromkeys(reasons)),
        parts=tuple(parts),
        checked_at=at,
    )


def encode_verdict(verdict: DocumentVerdict) -> bytes:
    """A verdict as JSON."""
    return msgspec.json.encode(verdict)


def decode_verdict(data: bytes) -> DocumentVerdict:
    """The verdict in a row.

    Raises:
        StorageDamagedError: These bytes are none.
    """
    try:
        if len(data) > MAX_VERDICT_BYTES:
            raise msgspec.ValidationError("it is too large")
        return _verdicts.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise StorageDamagedError(
            f"The verdict on the signatures of a document cannot be read: {error}.",
            hint="Check it again: edocnode signatures recheck ID",
        ) from error


def decode_part_verdict(data: bytes) -> PartVerdict:
    """The verdict that a checking process answered with.

    Raises:
        ValueError: These bytes are none.
    """
    try:
        return _part_verdicts.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no verdict of a part: {error}") from error


_verdicts = reader_of(DocumentVerdict)
_part_verdicts = reader_of(PartVerdict)


def _reason(facts: SignatureFacts, *, strict: bool) -> Reason:
    """The first thing that is wrong, the gravest first."""
    if not facts.readable:
        return Reason.MALFORMED
    if not facts.intact:
        return Reason.DIGEST_MISMATCH
    if not facts.authentic:
        return Reason.SIGNATURE_MISMATCH
    if facts.coverage in _UNCOVERED:
        return _UNCOVERED[facts.coverage]
    if facts.weak:
        return Reason.WEAK_ALGORITHM
    if facts.chain in _CHAINS:
        return _CHAINS[facts.chain]
    return _reason_of_certificate(facts, strict=strict)


def _reason_of_certificate(facts: SignatureFacts, *, strict: bool) -> Reason:
    if not facts.valid_at_signing:
        return Reason.NOT_VALID_AT_SIGNING
    if facts.revocation is Revocation.REVOKED:
        return Reason.REVOKED
    if not facts.proven_in_time:
        return Reason.EXPIRED_UNPROVEN
    if facts.chain is Chain.INVALID:
        return Reason.CHAIN_INVALID
    if not facts.usable:
        return Reason.KEY_USAGE
    if facts.revocation is Revocation.UNKNOWN and strict:
        return Reason.REVOCATION_UNKNOWN
    return Reason.VALID


_UNCOVERED: Mapping[Coverage, Reason] = {
    Coverage.PARTIAL: Reason.PARTIAL,
    Coverage.CHANGED: Reason.CHANGED_AFTER_SIGNING,
}
_CHAINS: Mapping[Chain, Reason] = {
    Chain.UNTRUSTED_ROOT: Reason.UNTRUSTED_ROOT,
    Chain.NO_PATH: Reason.NO_PATH,
}


def _missing(official: Sequence[PartVerdict]) -> list[Reason]:
    """What the official parts lack for replacing paper."""
    if not any(part.signatures for part in official):
        told = [part.reason for part in official if part.reason is not Reason.UNSIGNED]
        return [Reason.NO_SIGNED_PART, *told]
    main, *attachments = official
    reasons = []
    if not _has_valid(main, SignerKind.PERSONAL):
        reasons.append(Reason.NO_PERSONAL_SIGNATURE)
    if not _has_valid(main, SignerKind.ORGANISATION):
        reasons.append(Reason.NO_ORGANISATION_SIGNATURE)
    reasons += [] if _is_covered(main) else [Reason.PARTIAL]
    lacking = [each for each in attachments if not _has_valid(each, SignerKind.ORGANISATION)]
    lacking += [each for each in attachments if not _is_covered(each)]
    return reasons + [Reason.ATTACHMENT_UNSIGNED] * bool(lacking) + _why(official, bool(reasons))


def _has_valid(part: PartVerdict, kind: SignerKind) -> bool:
    return any(each.result is Result.VALID and each.facts.kind is kind for each in part.signatures)


def _is_covered(part: PartVerdict) -> bool:
    """Whether a valid signature vouches for all that the file shows, later signatures included."""
    whole = (Coverage.WHOLE, Coverage.VALIDATION_ADDED)
    valid = [each for each in part.signatures if each.result is Result.VALID]
    return not valid or any(each.facts.coverage in whole for each in valid)


def _why(official: Sequence[PartVerdict], lacks: bool) -> list[Reason]:
    """The reasons of signatures that do not count, when some are lacking."""
    if not lacks:
        return []
    signatures = [each for part in official for each in part.signatures]
    return [each.reason for each in signatures if each.result is not Result.VALID]
