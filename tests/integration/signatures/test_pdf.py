"""Signatures in real Vietnamese PDFs by real keys: each thing that can be wrong is told apart."""

import asyncio
import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer

from edocnode.domain.signatures import (
    Chain,
    Coverage,
    LegalStatus,
    PartState,
    PartVerdict,
    Reason,
    Result,
    Revocation,
    SignerKind,
    TimeSource,
    judge_document,
)
from edocnode.signatures.parts import check_part
from edocnode.signatures.trust import read_trust
from tests.integration.signatures.conftest import Stores, part_of
from tests.support import bombs
from tests.support.signing_pki import (
    DOCUMENTS,
    NOW,
    OFFICE,
    PERSON,
    YEAR,
    Authority,
    resigned,
    sign_pdf,
)


def status(verdict: PartVerdict) -> LegalStatus:
    return judge_document([verdict], NOW).legal_status


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*.pdf")), ids=lambda path: path.stem)
def test_two_valid_signatures_replace_paper(
    path: Path, stores: Stores, government: Authority
) -> None:
    one = sign_pdf(path.read_bytes(), government.person(), timestamper=government.timestamper())
    verdict = stores.check(sign_pdf(one, government.office()))
    assert status(verdict) is LegalStatus.REPLACES_PAPER
    person, office = (each.facts for each in verdict.signatures)
    assert (person.kind, person.signer) == (SignerKind.PERSONAL, PERSON)
    assert (office.kind, office.signer) == (SignerKind.ORGANISATION, OFFICE)
    assert person.coverage is Coverage.SIGNATURES_ADDED
    assert office.coverage is Coverage.WHOLE
    assert person.revocation is office.revocation is Revocation.GOOD
    assert person.store == government.name
    assert (person.time_source, person.signed_at) == (TimeSource.TIMESTAMP, NOW)


def test_time_that_the_signer_states_is_told_as_claimed(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    claimed = NOW - timedelta(days=2)
    [signature] = stores.check(sign_pdf(decision, government.person(), at=claimed)).signatures
    assert signature.result is Result.VALID
    assert signature.facts.time_source is TimeSource.CLAIMED
    assert signature.facts.signed_at == claimed


def test_timestamp_of_an_authority_that_no_store_knows_proves_no_time(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    foreign = Authority.make("CA lạ").timestamper()
    signed = sign_pdf(decision, government.person(), timestamper=foreign)
    [signature] = stores.check(signed).signatures
    assert signature.facts.time_source is TimeSource.CLAIMED


def test_one_changed_byte_breaks_the_signature(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    signed = bytearray(sign_pdf(decision, government.person()))
    place = signed.index(b"endstream") - 20
    signed[place] ^= 1
    verdict = stores.check(bytes(signed))
    assert verdict.reason is Reason.DIGEST_MISMATCH
    assert status(verdict) is LegalStatus.REFERENCE_ONLY


def test_signature_by_another_key_than_its_certificates_is_told(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    real, other = government.person(), government.person()
    forged = sign_pdf(decision, replace(real, key=other.key))
    assert stores.check(forged).reason is Reason.SIGNATURE_MISMATCH


def test_root_that_no_store_has_is_not_trusted(stores: Stores, decision: bytes) -> None:
    foreign = Authority.make("CA lạ")
    verdict = stores.check(sign_pdf(decision, foreign.person(), chain=[foreign.root]))
    assert verdict.reason is Reason.UNTRUSTED_ROOT
    assert stores.check(sign_pdf(decision, foreign.person())).reason is Reason.NO_PATH


def test_stolen_name_of_a_trusted_root_vouches_for_nobody(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    imitation = Authority.make(government.name)
    verdict = stores.check(sign_pdf(decision, imitation.person(), chain=[imitation.root]))
    assert verdict.signatures[0].result is Result.INVALID
    assert verdict.signatures[0].facts.chain is not Chain.TRUSTED


@pytest.mark.parametrize("crl_url", ["", "http://crl.test/ca.crl"])
def test_revoked_certificate_is_refused_also_when_it_names_no_list(
    crl_url: str, stores: Stores, decision: bytes
) -> None:
    authority = Authority.make("CA có danh sách thu hồi")
    stores.trust(authority)
    person = authority.person(crl_url=crl_url)
    authority.revoke(person, NOW - timedelta(days=10))
    stores.revocations(authority.crl(), "its")
    verdict = stores.check(sign_pdf(decision, person))
    assert verdict.reason is Reason.REVOKED
    assert verdict.signatures[0].facts.revoked_at == NOW - timedelta(days=10)


def test_revocation_in_a_list_that_is_out_of_date_counts(stores: Stores, decision: bytes) -> None:
    authority = Authority.make("CA có danh sách cũ")
    stores.trust(authority)
    person = authority.person()
    authority.revoke(person, NOW - timedelta(days=30))
    old = authority.crl(made=NOW - timedelta(days=20), until=NOW - timedelta(days=10))
    stores.revocations(old, "its")
    assert stores.check(sign_pdf(decision, person)).reason is Reason.REVOKED


def test_list_that_is_out_of_date_clears_nobody(stores: Stores, decision: bytes) -> None:
    authority = Authority.make("CA có danh sách cũ")
    stores.trust(authority)
    old = authority.crl(made=NOW - timedelta(days=20), until=NOW - timedelta(days=10))
    stores.revocations(old, "its")
    [signature] = stores.check(sign_pdf(decision, authority.person())).signatures
    assert signature.facts.revocation is Revocation.UNKNOWN


def test_list_that_its_authority_did_not_sign_clears_and_revokes_nobody(
    stores: Stores, decision: bytes
) -> None:
    authority, imitation = Authority.make("CA thật"), Authority.make("CA thật")
    stores.trust(authority)
    person = authority.person()
    imitation.revoke(person, NOW - timedelta(days=10))
    stores.revocations(imitation.crl(), "its")
    [signature] = stores.check(sign_pdf(decision, person)).signatures
    assert signature.facts.revocation is Revocation.UNKNOWN


def test_revocation_after_a_proven_signing_time_is_told_and_counts_not(
    stores: Stores, decision: bytes
) -> None:
    authority = Authority.make("CA có danh sách thu hồi")
    stores.trust(authority)
    person = authority.person()
    authority.revoke(person, NOW + timedelta(days=1))
    stores.revocations(authority.crl(made=NOW + timedelta(days=2)), "its")
    later = NOW + timedelta(days=3)
    proven = sign_pdf(decision, person, timestamper=authority.timestamper())
    [signature] = stores.check(proven, known_at=later, now=later).signatures
    assert signature.result is Result.VALID
    assert signature.facts.revocation is Revocation.REVOKED_SINCE
    claimed = sign_pdf(decision, person)
    assert stores.check(claimed, known_at=later, now=later).reason is Reason.REVOKED
    [known] = stores.check(claimed, known_at=NOW, now=later).signatures
    assert known.facts.revocation is Revocation.REVOKED_SINCE  # it was here before


def test_certificate_without_any_list_is_told_and_refused_when_strict(
    stores: Stores, decision: bytes
) -> None:
    authority = Authority.make("CA không có danh sách")
    stores.trust(authority)
    signed = sign_pdf(decision, authority.person())
    [signature] = stores.check(signed).signatures
    assert signature.result is Result.VALID
    assert signature.facts.revocation is Revocation.UNKNOWN
    stores.strict()
    assert stores.check(signed).reason is Reason.REVOCATION_UNKNOWN


def test_certificate_that_had_ended_when_it_signed_is_refused(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    ended = government.person(since=NOW - 2 * YEAR, until=NOW - YEAR)
    assert stores.check(sign_pdf(decision, ended)).reason is Reason.NOT_VALID_AT_SIGNING
    to_come = government.person(since=NOW + timedelta(days=1), until=NOW + YEAR)
    assert stores.check(sign_pdf(decision, to_come)).reason is Reason.NOT_VALID_AT_SIGNING


def test_certificate_that_ended_since_still_counts(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    signed = sign_pdf(decision, government.person(until=NOW + timedelta(days=1)))
    late = NOW + timedelta(days=30)
    assert stores.check(signed, now=late).reason is Reason.VALID


def test_key_that_is_not_for_signatures_is_refused(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    key = government.person(uses=[ExtendedKeyUsageOID.TIME_STAMPING])
    assert stores.check(sign_pdf(decision, key)).reason is Reason.KEY_USAGE


def test_text_added_after_signing_is_told(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    signed = sign_pdf(sign_pdf(decision, government.person()), government.office())
    verdict = stores.check(_with_note(signed))
    assert [each.reason for each in verdict.signatures] == [Reason.CHANGED_AFTER_SIGNING] * 2
    assert status(verdict) is LegalStatus.REFERENCE_ONLY


def test_form_field_filled_in_after_signing_is_told(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    signed = sign_pdf(_with_form(decision), government.office())
    verdict = stores.check(_filled(signed))
    assert verdict.reason is Reason.CHANGED_AFTER_SIGNING


@pytest.mark.parametrize("tail", [b"\n% more\n", b"\n5 0 obj\n<<>>\nendobj\n", b"PK"])
def test_bytes_behind_the_end_are_told(
    tail: bytes, stores: Stores, government: Authority, decision: bytes
) -> None:
    signed = sign_pdf(decision, government.office())
    assert stores.check(signed + tail).reason is Reason.CHANGED_AFTER_SIGNING
    assert stores.check(signed + b"\r\n").reason is Reason.VALID


@pytest.mark.parametrize(
    ("who", "lacks"),
    [
        ("person", Reason.NO_ORGANISATION_SIGNATURE),
        ("office", Reason.NO_PERSONAL_SIGNATURE),
    ],
)
def test_one_of_two_signatures_does_not_replace_paper(
    who: str, lacks: Reason, stores: Stores, government: Authority, decision: bytes
) -> None:
    verdict = stores.check(sign_pdf(decision, getattr(government, who)()))
    assert verdict.reason is Reason.VALID
    document = judge_document([verdict], NOW)
    assert document.legal_status is LegalStatus.REFERENCE_ONLY
    assert document.reasons == (lacks,)


def test_later_signature_of_a_stranger_vouches_for_nothing(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    signed = sign_pdf(sign_pdf(decision, government.person()), government.office())
    stranger = sign_pdf(signed, Authority.make("CA lạ").person())
    verdict = stores.check(stranger)
    document = judge_document([verdict], NOW)
    assert document.legal_status is LegalStatus.REFERENCE_ONLY
    assert Reason.PARTIAL in document.reasons


def test_sha1_is_weak_and_never_valid(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    [signature] = stores.check(sign_pdf(decision, government.person(), digest="sha1")).signatures
    assert signature.facts.weak == ("SHA-1",)
    assert signature.result is Result.WEAK
    assert signature.reason is Reason.WEAK_ALGORITHM


def test_rsa_key_below_2048_bits_is_weak(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    signed = sign_pdf(decision, government.person(key=small))
    [signature] = stores.check(signed).signatures
    assert signature.result is Result.WEAK
    assert "RSA 1024" in signature.facts.weak


def test_kind_of_a_store_decides_before_any_rule(stores: Stores, decision: bytes) -> None:
    authority = Authority.make("CA tổ chức")
    stores.trust(authority, kind="organisation")
    [signature] = stores.check(sign_pdf(decision, authority.person())).signatures
    assert signature.facts.kind is SignerKind.ORGANISATION


def test_certificate_that_no_rule_knows_is_of_no_kind(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    key = government.issue([(NameOID.COMMON_NAME, "abc")])
    [signature] = stores.check(sign_pdf(decision, key)).signatures
    assert signature.facts.kind is SignerKind.UNKNOWN


def test_encrypted_pdf_is_told(stores: Stores, decision: bytes) -> None:
    writer = copy_into_new_writer(PdfFileReader(io.BytesIO(decision)))
    writer.encrypt(owner_pass="khóa")
    out = io.BytesIO()
    writer.write(out)
    verdict = stores.check(out.getvalue())
    assert (verdict.state, verdict.reason) == (PartState.CHECKED, Reason.ENCRYPTED)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.NOT_PDF),
        ("Đây không phải là PDF".encode(), Reason.NOT_PDF),
        (b"%PDF-1.7\nnothing else", Reason.UNREADABLE),
    ],
)
def test_what_is_no_pdf_though_named_so_is_told(
    content: bytes, reason: Reason, stores: Stores
) -> None:
    assert stores.check(content).reason is reason


def test_pdf_with_two_tables_of_objects_is_not_judged(stores: Stores) -> None:
    verdict = stores.check(bombs.hybrid_pdf())
    assert verdict.reason is Reason.UNREADABLE
    assert "two tables" in verdict.detail


def test_signature_that_covers_itself_instead_of_the_end_is_told(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    office = government.office()
    signed = sign_pdf(decision, office)
    assert stores.check(resigned(signed, office)).reason is Reason.VALID
    assert stores.check(resigned(signed, office, left_out=2)).reason is Reason.PARTIAL


def test_signature_without_signed_attributes_is_refused(
    stores: Stores, government: Authority, decision: bytes
) -> None:
    office = government.office()
    bare = resigned(sign_pdf(decision, office), office, bare=True)
    assert stores.check(bare).reason is Reason.MALFORMED


def test_unsigned_pdf_is_told(stores: Stores, decision: bytes) -> None:
    verdict = stores.check(decision)
    assert verdict.reason is Reason.UNSIGNED
    assert judge_document([verdict], NOW).reasons == (Reason.NO_SIGNED_PART,)


def test_part_with_other_bytes_than_were_sealed_is_not_judged(
    stores: Stores, decision: bytes
) -> None:
    part = part_of(decision)
    other = msgspec.structs.replace(part, data=decision + b"\n")
    verdict = asyncio.run(check_part(other, read_trust(stores.settings), NOW))
    assert (verdict.state, verdict.reason) == (PartState.CHECK_FAILED, Reason.PART_MISSING)


def test_poppler_agrees_on_what_is_intact(
    tool: Callable[[str], Path],
    tmp_path: Path,
    government: Authority,
    stores: Stores,
    decision: bytes,
) -> None:
    program = tool("pdfsig")
    small = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # it knows RSA best
    signed = sign_pdf(decision, government.person(key=small))
    changed = bytearray(signed)
    changed[signed.index(b"endstream") - 20] ^= 1
    for content, words in ((signed, "Signature is Valid"), (bytes(changed), "Digest Mismatch")):
        file = tmp_path / "a.pdf"
        file.write_bytes(content)
        told = subprocess.run(
            [program, "-nocert", file], capture_output=True, text=True, check=False, timeout=120
        ).stdout
        assert words in told
        assert (stores.check(content).reason is Reason.VALID) == (content == signed)


def _with_note(pdf: bytes) -> bytes:
    """Adds a page annotation in an incremental update."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    page = writer.root["/Pages"]["/Kids"][0]
    note = generic.DictionaryObject(
        {
            generic.pdf_name("/Type"): generic.pdf_name("/Annot"),
            generic.pdf_name("/Subtype"): generic.pdf_name("/FreeText"),
            generic.pdf_name("/Contents"): generic.pdf_string("Số tiền: 9.000.000.000 đồng"),
            generic.pdf_name("/Rect"): generic.ArrayObject(
                map(generic.NumberObject, (50, 50, 400, 90))
            ),
        }
    )
    target = page.get_object()
    target["/Annots"] = generic.ArrayObject([writer.add_object(note)])
    writer.update_container(target)
    return _written(writer)


def _with_form(pdf: bytes) -> bytes:
    """Adds a text field for an amount."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    text = generic.DictionaryObject(
        {
            generic.pdf_name("/FT"): generic.pdf_name("/Tx"),
            generic.pdf_name("/T"): generic.pdf_string("amount"),
            generic.pdf_name("/V"): generic.pdf_string("1"),
        }
    )
    form = generic.DictionaryObject(
        {generic.pdf_name("/Fields"): generic.ArrayObject([writer.add_object(text)])}
    )
    writer.root["/AcroForm"] = writer.add_object(form)
    writer.update_root()
    return _written(writer)


def _filled(pdf: bytes) -> bytes:
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    fields = [each.get_object() for each in writer.root["/AcroForm"]["/Fields"]]
    [amount] = [each for each in fields if each["/T"] == "amount"]
    amount["/V"] = generic.pdf_string("1000000")
    writer.update_container(amount)
    return _written(writer)


def _written(writer: IncrementalPdfFileWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
