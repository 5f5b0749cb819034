"""Proofs that a PDF brings along (PAdES B-LT, B-LTA): each counts for what it proves, no more."""

import asyncio
import socket
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edocnode.domain.signatures import (
    Coverage,
    PartVerdict,
    Reason,
    Result,
    Revocation,
    SignatureVerdict,
    TimeSource,
    TimestampState,
)
from edocnode.signatures.process import CheckingProcess
from tests.integration.signatures.conftest import Stores, part_of
from tests.support.long_term import (
    WEEK,
    TimeAuthority,
    answer,
    archived,
    responder,
    with_answers_as_they_are,
    with_proofs,
)
from tests.support.signing_pki import NOW, YEAR, Authority, Key, sign_pdf

DAY = timedelta(days=1)
SIGNED = NOW - 3 * YEAR  # of what is old
ENDED = NOW - 2 * YEAR  # when the certificate of its signer ended


@pytest.fixture
def bare(tmp_path: Path) -> Stores:
    """Trust stores without any revocation list."""
    return Stores(tmp_path / "bare")


@pytest.fixture
def authority(bare: Stores) -> Authority:
    """A trusted authority of which the node has no list."""
    made = Authority.make("CA trả lời OCSP")
    bare.trust(made)
    return made


@pytest.fixture
def person(authority: Authority) -> Key:
    return authority.person()


@pytest.fixture
def old(authority: Authority) -> Key:
    """A person whose certificate ended two years ago."""
    return authority.person(since=NOW - 5 * YEAR, until=ENDED)


def only(verdict: PartVerdict) -> SignatureVerdict:
    [signature] = verdict.signatures
    return signature


# --- OCSP answers in the document security store


def test_ocsp_answer_in_the_file_clears_the_signer(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    bare.strict()
    signed = sign_pdf(decision, person)
    assert only(bare.check(signed)).reason is Reason.REVOCATION_UNKNOWN
    good = answer(person, authority, responder(authority))
    found = only(bare.check(with_proofs(signed, ocsps=[good])))
    assert (found.reason, found.facts.revocation) == (Reason.VALID, Revocation.GOOD)
    assert found.facts.coverage is Coverage.VALIDATION_ADDED


def test_authority_itself_may_answer(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    own = answer(person, authority, authority.root)
    found = only(bare.check(with_proofs(sign_pdf(decision, person), ocsps=[own])))
    assert found.facts.revocation is Revocation.GOOD


def test_revocation_before_signing_counts_by_an_ocsp_answer(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    gone = answer(person, authority, responder(authority), revoked_at=NOW - DAY)
    stamped = sign_pdf(decision, person, timestamper=TimeAuthority.make(authority).at(NOW))
    found = only(bare.check(with_proofs(stamped, ocsps=[gone])))
    assert found.reason is Reason.REVOKED
    assert found.facts.revoked_at == NOW - DAY


def test_revocation_in_an_ocsp_answer_that_is_long_out_of_date_counts(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    made = NOW - timedelta(days=60)
    gone = answer(
        person, authority, responder(authority), made=made, until=made + DAY, revoked_at=made
    )
    assert bare.check(with_proofs(sign_pdf(decision, person), ocsps=[gone])).reason is (
        Reason.REVOKED
    )


def test_revocation_after_a_proven_time_is_told_and_counts_not_by_an_ocsp_answer(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    later = NOW + 3 * DAY
    gone = answer(person, authority, responder(authority), made=NOW + 2 * DAY, revoked_at=NOW + DAY)
    stamped = sign_pdf(decision, person, timestamper=TimeAuthority.make(authority).at(NOW))
    proven = bare.check(with_proofs(stamped, ocsps=[gone]), known_at=later, now=later)
    assert only(proven).result is Result.VALID
    assert only(proven).facts.revocation is Revocation.REVOKED_SINCE
    claimed = with_proofs(sign_pdf(decision, person), ocsps=[gone])
    assert bare.check(claimed, known_at=later, now=later).reason is Reason.REVOKED


def test_ocsp_answer_from_before_the_signing_clears_nobody(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    by = responder(authority)
    month = timedelta(days=30)
    for early in (
        answer(person, authority, by, made=NOW - month, until=NOW - month + WEEK),
        answer(person, authority, by, made=NOW - month, until=None),
    ):
        found = only(bare.check(with_proofs(sign_pdf(decision, person), ocsps=[early])))
        assert found.facts.revocation is Revocation.UNKNOWN


@pytest.mark.parametrize("status", ["good", "revoked"])
@pytest.mark.parametrize("who", ["foreign authority", "foreign responder", "no responder"])
def test_ocsp_answer_of_who_may_not_answer_clears_and_revokes_nobody(
    who: str,
    status: str,
    bare: Stores,
    authority: Authority,
    person: Key,
    decision: bytes,
) -> None:
    foreign = Authority.make("CA lạ")
    by = {
        "foreign authority": foreign.root,
        "foreign responder": responder(foreign),
        "no responder": responder(authority, allowed=False),
    }[who]
    revoked_at = NOW - DAY if status == "revoked" else None
    made = answer(person, authority, by, revoked_at=revoked_at)
    content = with_proofs(sign_pdf(decision, person), ocsps=[made], certificates=[foreign.root])
    found = only(bare.check(content))
    assert (found.reason, found.facts.revocation) == (Reason.VALID, Revocation.UNKNOWN)
    bare.strict()
    assert bare.check(content).reason is Reason.REVOCATION_UNKNOWN


def test_ocsp_answer_of_a_responder_that_a_list_revokes_clears_and_revokes_nobody(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    by = responder(authority)
    authority.revoke(by, NOW - DAY)
    for revoked_at in (None, NOW - DAY):
        made = answer(person, authority, by, revoked_at=revoked_at)
        stale = authority.crl(made=NOW - DAY / 2, until=NOW - DAY / 4)
        content = with_proofs(sign_pdf(decision, person), ocsps=[made], crls=[stale])
        found = only(bare.check(content))
        assert (found.reason, found.facts.revocation) == (Reason.VALID, Revocation.UNKNOWN)


def test_ocsp_answer_about_another_certificate_clears_and_revokes_nobody(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    other = authority.person("Lê Thị B")
    gone = answer(other, authority, responder(authority), revoked_at=NOW - DAY)
    found = only(bare.check(with_proofs(sign_pdf(decision, person), ocsps=[gone])))
    assert (found.reason, found.facts.revocation) == (Reason.VALID, Revocation.UNKNOWN)


def test_changed_ocsp_answer_counts_not(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    made = bytearray(answer(person, authority, responder(authority)))
    place = made.index(NOW.strftime("%Y%m%d").encode())
    made[place + 3] = ord("5") if made[place + 3] != ord("5") else ord("4")
    found = only(bare.check(with_proofs(sign_pdf(decision, person), ocsps=[bytes(made)])))
    assert found.facts.revocation is Revocation.UNKNOWN


def test_ocsp_answer_that_cannot_be_read_says_nothing(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    good = answer(person, authority, responder(authority))
    broken = good[:40] + bytes(len(good) - 40)
    signed = sign_pdf(decision, person)
    for answers, told in (
        ([broken, good], Revocation.GOOD),
        ([b"no answer", good], Revocation.UNKNOWN),  # such a store is no store at all
    ):
        found = only(bare.check(with_answers_as_they_are(signed, answers)))
        assert (found.reason, found.facts.revocation) == (Reason.VALID, told)


def test_list_in_the_file_clears_and_revokes_as_one_of_the_folder(
    bare: Stores, authority: Authority, person: Key, decision: bytes
) -> None:
    signed = sign_pdf(decision, person)
    assert only(bare.check(with_proofs(signed, crls=[authority.crl()]))).facts.revocation is (
        Revocation.GOOD
    )
    authority.revoke(person, NOW - DAY)
    assert bare.check(with_proofs(signed, crls=[authority.crl()])).reason is Reason.REVOKED


# --- Certificates that have ended


def test_signature_whose_certificate_ended_since_needs_a_proof_of_its_time(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    claimed = only(bare.check(sign_pdf(decision, old, at=SIGNED)))
    assert (claimed.result, claimed.reason) == (Result.INVALID, Reason.EXPIRED_UNPROVEN)
    by = TimeAuthority.make(authority, since=NOW - 5 * YEAR)
    stamped = sign_pdf(decision, old, at=SIGNED, timestamper=by.at(SIGNED))
    good = answer(old, authority, responder(authority), made=SIGNED, until=SIGNED + WEEK)
    bare.strict()
    proven = only(bare.check(with_proofs(stamped, ocsps=[good])))
    assert (proven.reason, proven.facts.revocation) == (Reason.VALID, Revocation.GOOD)
    assert (proven.facts.signed_at, proven.facts.time_source) == (SIGNED, TimeSource.TIMESTAMP)
    assert only(bare.check(stamped)).reason is Reason.REVOCATION_UNKNOWN


def test_signature_that_was_here_before_its_certificate_ended_needs_no_proof(
    bare: Stores, old: Key, decision: bytes
) -> None:
    signed = sign_pdf(decision, old, at=SIGNED)
    assert only(bare.check(signed, known_at=SIGNED + DAY)).reason is Reason.VALID


def test_signature_made_after_its_certificate_ended_is_told(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    late = TimeAuthority.make(authority).at(NOW)
    found = only(bare.check(sign_pdf(decision, old, at=SIGNED, timestamper=late)))
    assert found.reason is Reason.NOT_VALID_AT_SIGNING


def test_list_made_after_a_certificate_ended_clears_it_not(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    """Authorities may leave it out from then on, revoked or not (RFC 5280, 3.3)."""
    by = TimeAuthority.make(authority, since=NOW - 5 * YEAR)
    stamped = sign_pdf(decision, old, at=SIGNED, timestamper=by.at(SIGNED))
    for proofs in (
        {"crls": [authority.crl(made=NOW)]},
        {"ocsps": [answer(old, authority, responder(authority), made=NOW)]},
    ):
        found = only(bare.check(with_proofs(stamped, **proofs)))
        assert (found.reason, found.facts.revocation) == (Reason.VALID, Revocation.UNKNOWN)


# --- Timestamps of the whole file


def test_timestamp_of_the_whole_file_proves_the_time_of_what_was_signed_before(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    by = TimeAuthority.make(authority, since=NOW - 5 * YEAR)
    content = archived(sign_pdf(decision, old, at=SIGNED), by.at(SIGNED + DAY))
    found = only(bare.check(content))
    assert found.reason is Reason.VALID
    assert found.facts.coverage is Coverage.VALIDATION_ADDED
    assert (found.facts.signed_at, found.facts.time_source) == (SIGNED + DAY, TimeSource.TIMESTAMP)
    assert found.facts.timestamp is TimestampState.NONE


def test_timestamp_of_the_whole_file_proves_nothing_of_what_was_signed_after_it(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    by = TimeAuthority.make(authority, since=NOW - 5 * YEAR)
    stamped = archived(decision, by.at(SIGNED))
    found = only(bare.check(sign_pdf(stamped, old, at=SIGNED)))
    assert found.reason is Reason.EXPIRED_UNPROVEN


def test_timestamp_of_a_changed_file_proves_nothing(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    by = TimeAuthority.make(authority, since=NOW - 5 * YEAR)
    signed = sign_pdf(decision, old, at=SIGNED)
    content = bytearray(archived(signed, by.at(SIGNED + DAY)))
    content[len(signed) + 12] ^= 1  # between signature and timestamp
    found = bare.check(bytes(content))
    assert found.reason in (Reason.EXPIRED_UNPROVEN, Reason.CHANGED_AFTER_SIGNING)
    assert found.signatures[0].facts.time_source is TimeSource.CLAIMED


def test_archive_timestamp_keeps_alive_one_whose_authority_ended(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    """B-LTA: the first authority's certificate ended; a second had stamped all of it before."""
    first = TimeAuthority.make(authority, since=NOW - 5 * YEAR, until=NOW - YEAR)
    second = TimeAuthority.make(authority, since=NOW - 2 * YEAR)
    signed = sign_pdf(decision, old, at=SIGNED, timestamper=first.at(SIGNED))
    good = answer(old, authority, responder(authority), made=SIGNED, until=SIGNED + WEEK)
    content = with_proofs(signed, ocsps=[good])
    alone = only(bare.check(content))
    assert (alone.reason, alone.facts.timestamp) == (
        Reason.EXPIRED_UNPROVEN,
        TimestampState.EXPIRED,
    )
    too_late = only(bare.check(archived(content, second.at(NOW - YEAR + DAY))))
    assert too_late.reason is Reason.NOT_VALID_AT_SIGNING
    assert too_late.facts.timestamp is TimestampState.EXPIRED
    kept = only(bare.check(archived(content, second.at(NOW - YEAR - DAY))))
    assert (kept.reason, kept.facts.revocation) == (Reason.VALID, Revocation.GOOD)
    assert (kept.facts.signed_at, kept.facts.timestamp) == (SIGNED, TimestampState.TRUSTED)


def test_each_archive_timestamp_keeps_alive_the_one_before_it(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    ends = [ENDED + DAY, NOW - YEAR, NOW + YEAR]
    by = [TimeAuthority.make(authority, since=NOW - 5 * YEAR, until=until) for until in ends]
    content = sign_pdf(decision, old, at=SIGNED)
    stamped = archived(content, by[0].at(SIGNED + DAY))
    assert only(bare.check(stamped)).reason is Reason.EXPIRED_UNPROVEN
    again = archived(stamped, by[1].at(ENDED))
    assert only(bare.check(again)).reason is Reason.EXPIRED_UNPROVEN
    third = only(bare.check(archived(again, by[2].at(NOW - YEAR - DAY))))
    assert third.reason is Reason.VALID
    assert third.facts.signed_at == SIGNED + DAY
    broken = only(bare.check(archived(again, by[2].at(NOW - YEAR + DAY))))
    assert broken.reason is Reason.NOT_VALID_AT_SIGNING


def test_timestamp_of_a_revoked_authority_proves_nothing(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    by = TimeAuthority.make(authority, since=NOW - 5 * YEAR)
    stamped = sign_pdf(decision, old, at=SIGNED, timestamper=by.at(SIGNED))
    assert only(bare.check(stamped)).reason is Reason.VALID
    authority.revoke(by.key, NOW - DAY)
    bare.revocations(authority.crl())
    found = only(bare.check(stamped))
    assert (found.reason, found.facts.timestamp) == (
        Reason.EXPIRED_UNPROVEN,
        TimestampState.REVOKED,
    )
    here_before = only(bare.check(stamped, known_at=NOW - 2 * DAY))
    assert here_before.reason is Reason.VALID


def test_timestamp_of_something_else_proves_nothing(
    bare: Stores, authority: Authority, old: Key, decision: bytes
) -> None:
    """A token is taken from one signature and put on another."""
    by = TimeAuthority.make(authority, since=NOW - 5 * YEAR)
    other = by.at(SIGNED)

    class Borrowed(type(other)):  # type: ignore[misc]  # pyHanko's own
        async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> object:
            return await other.async_timestamp(bytes(len(message_digest)), md_algorithm)

    borrowed = Borrowed(tsa_cert=by.key.asn1(), tsa_key=by.key.asn1_key(), fixed_dt=SIGNED)
    found = only(bare.check(sign_pdf(decision, old, at=SIGNED, timestamper=borrowed)))
    assert (found.reason, found.facts.timestamp) == (
        Reason.EXPIRED_UNPROVEN,
        TimestampState.BROKEN,
    )


def test_timestamp_of_an_authority_that_no_store_knows_is_told(
    bare: Stores, person: Key, decision: bytes
) -> None:
    foreign = TimeAuthority.make(Authority.make("CA lạ")).at(NOW)
    found = only(bare.check(sign_pdf(decision, person, timestamper=foreign)))
    assert found.facts.timestamp is TimestampState.UNTRUSTED
    assert found.facts.time_source is TimeSource.CLAIMED


# --- Nobody is called


@pytest.mark.parametrize("where", ["in this process", "in the checking process"])
def test_addresses_in_certificates_are_never_called(
    where: str, tmp_path: Path, stores: Stores, government: Authority, decision: bytes
) -> None:
    called: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        try:
            while True:
                connection, who = server.accept()
                called.append(who)
                connection.close()
        except OSError:
            return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    stores.revocations(replace(government, revoked=[]).crl(made=NOW - 9 * DAY, until=NOW - DAY))
    key = government.person(crl_url=url + "ca.crl", access_url=url)
    signed = sign_pdf(decision, key, timestamper=government.timestamper())
    try:
        if where == "in this process":
            verdict = stores.check(signed)
        else:
            verdict = asyncio.run(_in_a_process(stores, signed))
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(60)
    assert only(verdict).facts.revocation is Revocation.UNKNOWN
    assert called == []


async def _in_a_process(stores: Stores, signed: bytes) -> PartVerdict:
    process = CheckingProcess(stores.settings, largest_bytes=1 << 30)
    try:
        return await process.check(part_of(signed))
    finally:
        await process.close()
