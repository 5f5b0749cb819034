"""What signatures are worth, and what the law makes of a document; the facts are given."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import StorageDamagedError
from edoccore.signing.statements import Part
from edocnode.domain.signatures import (
    Chain,
    Coverage,
    LegalStatus,
    PartState,
    PartVerdict,
    Reason,
    Result,
    Revocation,
    SignatureFacts,
    SignatureVerdict,
    SignerKind,
    TimeSource,
    decode_verdict,
    encode_verdict,
    has_parts_to_check,
    judge,
    judge_document,
    kind_to_check,
)

NOW = datetime(2026, 11, 23, 3, 4, tzinfo=UTC)
SOUND = SignatureFacts(
    field="a",
    kind=SignerKind.PERSONAL,
    signer="Nguyễn Văn A",
    signed_at=NOW,
    time_source=TimeSource.TIMESTAMP,
    coverage=Coverage.WHOLE,
    intact=True,
    authentic=True,
    chain=Chain.TRUSTED,
    store="s",
    valid_at_signing=True,
    revocation=Revocation.GOOD,
)


def facts(**other: object) -> SignatureFacts:
    return msgspec.structs.replace(SOUND, **other)


def part(*signatures: SignatureVerdict, kind: str = "pdf", index: int = 1, **other: object):
    made = PartVerdict(
        index=index,
        name="a",
        kind=kind,
        state=PartState.CHECKED,
        reason=Reason.VALID if signatures else Reason.UNSIGNED,
        signatures=signatures,
    )
    return msgspec.structs.replace(made, **other)


PERSON = judge(facts(coverage=Coverage.SIGNATURES_ADDED), strict=False)
OFFICE = judge(facts(kind=SignerKind.ORGANISATION), strict=False)


@pytest.mark.parametrize(
    ("wrong", "reason", "result"),
    [
        ({}, Reason.VALID, Result.VALID),
        ({"readable": False}, Reason.MALFORMED, Result.INVALID),
        ({"intact": False}, Reason.DIGEST_MISMATCH, Result.INVALID),
        ({"authentic": False}, Reason.SIGNATURE_MISMATCH, Result.INVALID),
        ({"coverage": Coverage.PARTIAL}, Reason.PARTIAL, Result.INVALID),
        ({"coverage": Coverage.CHANGED}, Reason.CHANGED_AFTER_SIGNING, Result.INVALID),
        ({"coverage": Coverage.SIGNATURES_ADDED}, Reason.VALID, Result.VALID),
        ({"coverage": Coverage.VALIDATION_ADDED}, Reason.VALID, Result.VALID),
        ({"weak": ("SHA-1",)}, Reason.WEAK_ALGORITHM, Result.WEAK),
        ({"chain": Chain.UNTRUSTED_ROOT}, Reason.UNTRUSTED_ROOT, Result.INVALID),
        ({"chain": Chain.NO_PATH}, Reason.NO_PATH, Result.INVALID),
        ({"chain": Chain.INVALID}, Reason.CHAIN_INVALID, Result.INVALID),
        ({"valid_at_signing": False}, Reason.NOT_VALID_AT_SIGNING, Result.INVALID),
        ({"valid_at_signing": None}, Reason.NOT_VALID_AT_SIGNING, Result.INVALID),
        ({"revocation": Revocation.REVOKED}, Reason.REVOKED, Result.INVALID),
        ({"revocation": Revocation.REVOKED_SINCE}, Reason.VALID, Result.VALID),
        ({"revocation": Revocation.UNKNOWN}, Reason.VALID, Result.VALID),
        ({"proven_in_time": False}, Reason.EXPIRED_UNPROVEN, Result.INVALID),
        ({"usable": False}, Reason.KEY_USAGE, Result.INVALID),
    ],
)
def test_each_fact_has_its_reason(wrong: dict[str, object], reason: Reason, result: Result) -> None:
    verdict = judge(facts(**wrong), strict=False)
    assert (verdict.reason, verdict.result) == (reason, result)


def test_strict_node_refuses_what_no_list_speaks_of() -> None:
    verdict = judge(facts(revocation=Revocation.UNKNOWN), strict=True)
    assert (verdict.reason, verdict.result) == (Reason.REVOCATION_UNKNOWN, Result.INVALID)


@given(st.lists(st.sampled_from(sorted(Coverage)), min_size=1, max_size=3), st.booleans())
def test_weak_signature_is_never_valid(coverages: list[Coverage], strict: bool) -> None:
    for coverage in coverages:
        weak = facts(weak=("SHA-1",), coverage=coverage)
        assert judge(weak, strict=strict).result is not Result.VALID


def test_person_and_organisation_together_replace_paper() -> None:
    verdict = judge_document([part(PERSON, OFFICE)], NOW)
    assert (verdict.legal_status, verdict.reasons) == (LegalStatus.REPLACES_PAPER, ())


@pytest.mark.parametrize(
    ("parts", "reasons"),
    [
        ([], (Reason.NO_SIGNED_PART,)),
        ([part()], (Reason.NO_SIGNED_PART,)),
        ([part(PERSON)], (Reason.NO_ORGANISATION_SIGNATURE, Reason.PARTIAL)),
        ([part(OFFICE)], (Reason.NO_PERSONAL_SIGNATURE,)),
        ([part(OFFICE), part(PERSON, index=2)], None),
        ([part(PERSON, OFFICE), part(index=2)], (Reason.ATTACHMENT_UNSIGNED,)),
        ([part(state=PartState.CHECKED, reason=Reason.ENCRYPTED)], None),
    ],
)
def test_what_lacks_a_signature_is_for_reference(
    parts: list[PartVerdict], reasons: tuple[Reason, ...] | None
) -> None:
    verdict = judge_document(parts, NOW)
    assert verdict.legal_status is LegalStatus.REFERENCE_ONLY
    assert verdict.reasons
    if reasons is not None:
        assert verdict.reasons == reasons


def test_attachment_in_a_file_of_its_own_needs_the_organisation_alone() -> None:
    verdict = judge_document([part(PERSON, OFFICE), part(OFFICE, index=2)], NOW)
    assert verdict.legal_status is LegalStatus.REPLACES_PAPER


def test_xml_beside_a_pdf_decides_nothing() -> None:
    verdict = judge_document([part(kind="xml"), part(PERSON, OFFICE, index=2)], NOW)
    assert verdict.legal_status is LegalStatus.REPLACES_PAPER


@pytest.mark.parametrize("reason", [Reason.TOO_LONG, Reason.CRASHED, Reason.OUT_OF_MEMORY])
def test_failed_check_is_no_verdict_on_the_document(reason: Reason) -> None:
    failed = part(state=PartState.CHECK_FAILED, reason=reason)
    verdict = judge_document([part(PERSON, OFFICE), msgspec.structs.replace(failed, index=2)], NOW)
    assert (verdict.legal_status, verdict.reasons) == (LegalStatus.NOT_CHECKED, (reason,))


def test_valid_signatures_count_only_when_one_covers_all_that_the_file_shows() -> None:
    both = [PERSON, judge(facts(kind=SignerKind.ORGANISATION, coverage=Coverage.SIGNATURES_ADDED), strict=False)]  # fmt: skip  # noqa: E501
    stranger = judge(facts(chain=Chain.UNTRUSTED_ROOT), strict=False)
    verdict = judge_document([part(*both, stranger)], NOW)
    assert verdict.legal_status is LegalStatus.REFERENCE_ONLY
    assert verdict.reasons == (Reason.PARTIAL, Reason.UNTRUSTED_ROOT)


def test_verdict_comes_back_as_it_was_kept() -> None:
    verdict = judge_document([part(PERSON, OFFICE)], NOW + timedelta(microseconds=5))
    assert decode_verdict(encode_verdict(verdict)) == verdict


@given(st.binary(max_size=200))
def test_damaged_verdict_is_told_as_such(data: bytes) -> None:
    with pytest.raises(StorageDamagedError, match="cannot be read") as told:
        decode_verdict(data)
    assert "recheck" in told.value.hint


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("Quyết định.pdf", "application/pdf", "pdf"),
        ("Quyết định.PDF", "application/octet-stream", "pdf"),
        ("a", "application/pdf", "pdf"),
        ("a.xml", "text/xml", "xml"),
        ("a.edXML", "application/octet-stream", "xml"),
        ("a.docx", "application/msword", ""),
        ("pdf", "text/plain", ""),
    ],
)
def test_parts_that_may_hold_signatures_are_known_by_name_or_type(
    name: str, media_type: str, kind: str
) -> None:
    assert kind_to_check(name, media_type) == kind
    record = _part(0, "record.xml", "application/xml")
    assert has_parts_to_check([record, _part(1, name, media_type)]) is bool(kind)
    assert not has_parts_to_check([record])


def _part(index: int, name: str, media_type: str) -> Part:
    return Part(index=index, name=name, media_type=media_type, size=1, sha256="0" * 64)
