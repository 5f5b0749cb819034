"""The numbered checks, each with a parcel in which only it fails."""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest

from edoccore import errors
from edoccore.agency_errors import AgencyEndedError
from edoccore.signing import canonical
from edoccore.signing.seal import VerifiedSeal
from edoccore.signing.statements import Envelope, Operation, Receipt, Result, time_text
from edocnode.domain import receiving
from edocnode.domain.checks import Standing, is_same_document
from edocnode.domain.exchange import Parcel
from edocnode.domain.model import Arrival
from edocnode.domain.receiving import Offered, judge_parcels
from tests.support.nation import new_uuid7
from tests.unit.edocnode.conftest import Post


def judge(post: Post, data: bytes, **standing: object) -> Arrival | Offered:
    parcel = post.parcel(data)
    return judge_parcel(parcel, post.verified(parcel.envelope), post.standing(**standing))


def judge_parcel(parcel: Parcel, seal: VerifiedSeal, standing: Standing) -> Arrival | Offered:
    """One parcel alone; an error is raised."""
    (judged,) = judge_parcels([parcel], [(seal, {})], [standing])
    if isinstance(judged, Exception):
        raise judged
    return judged


def judge_envelope(post: Post, **changes: object) -> Arrival | Offered:
    return judge(post, canonical.encode(post.envelope(**changes)))


def test_a_right_parcel_is_kept_with_what_lists_show(post: Post) -> None:
    arrival = judge_envelope(post)
    assert isinstance(arrival, Arrival)
    assert arrival.result is Result.RECEIVED
    assert arrival.listing["subject"] == "Về việc kết nối trục liên thông văn bản"
    assert arrival.inline == post.joined()


def test_t41_each_parcel_of_many_is_judged_by_itself(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good, refused, rejected under seal, offered, met by a fault of the program, without seal."""
    parcels = [
        post.parcel(canonical.encode(post.envelope(**changes)))
        for changes in ({}, {"to": "H29"}, {"operation": Operation.STATUS}, {}, {}, {})
    ]
    parcels[3] = msgspec.structs.replace(parcels[3], parts=b"", offer=True)
    faulty = canonical.decode(parcels[4].envelope.statement, Envelope).message_id
    read = receiving.read_record

    def read_record(envelope: Envelope, record: bytes) -> Mapping[str, str]:
        if envelope.message_id == faulty:
            raise ZeroDivisionError("nobody foresaw it")
        return read(envelope, record)

    monkeypatch.setattr(receiving, "read_record", read_record)
    unsealed = errors.SealInvalidError("Not its signature.")
    seals = [(post.verified(parcel.envelope), {}) for parcel in parcels[:5]]
    good, refused, rejected, offered, fault, bare = receiving.judge_parcels(
        parcels, [*seals, unsealed], [post.standing()] * 6
    )
    assert isinstance(good, Arrival)
    assert good.result is Result.RECEIVED
    assert isinstance(refused, errors.RecipientNotHereError)
    assert isinstance(rejected, Arrival)
    assert (rejected.result, rejected.reason) == (Result.REJECTED, "RECORD_INVALID")
    assert isinstance(offered, Offered)
    assert isinstance(fault, ZeroDivisionError)
    assert bare is unsealed


def test_t11_every_re_encoding_of_an_envelope_is_refused(post: Post) -> None:
    good = canonical.encode(post.envelope())
    bent = [
        good + b" ",
        good.replace(b",", b",\r\n", 1),
        b"\xef\xbb\xbf" + good,
        good + b"\x00",
        good.replace(b'{"created"', b'{"created":"2020-01-01T00:00:00.000Z","created"', 1),
        good[:-1] + b',"zzz":1}',
        good.replace("ế".encode(), "ế".encode(), 1),
    ]
    for data in bent:
        if data == good:
            continue
        with pytest.raises((errors.NotCanonicalError, errors.StatementTypeError)):
            judge(post, data)


def test_check_5_a_statement_that_is_not_under_the_seal_is_refused(post: Post) -> None:
    parcel = post.parcel(canonical.encode(post.envelope()))
    other = msgspec.structs.replace(parcel.envelope, statement=canonical.encode(post.envelope()))
    with pytest.raises(errors.SealInvalidError):
        judge_parcel(
            msgspec.structs.replace(parcel, envelope=other),
            post.verified(parcel.envelope),
            post.standing(),
        )


def test_t01_an_agency_cannot_send_in_the_name_of_another(post: Post) -> None:
    with pytest.raises(errors.FromNotOwnedError, match="does not own"):
        judge_envelope(post, from_="G01")


def test_t46_a_successor_answers_for_the_agency_it_follows_and_says_nothing_new_for_it(
    post: Post,
) -> None:
    post.nation.add_agency("H26", "Hà Nam")
    post.nation.end("H26", post.now, successors=("H29",))
    post.directory = post.nation.directory()
    with pytest.raises(errors.FromNotOwnedError, match="does not own"):
        judge_envelope(post, from_="H26")
    status = judge_envelope(post, from_="H26", operation=Operation.STATUS, about="0" * 64)
    assert isinstance(status, Arrival)
    assert status.reason == "RECORD_INVALID"  # judged further: the record is a document's
    post.nation.end("H26", post.now + timedelta(hours=1), successors=("H29",))
    post.directory = post.nation.directory()
    with pytest.raises(errors.FromNotOwnedError, match="does not own"):
        judge_envelope(post, from_="H26", operation=Operation.STATUS, about="0" * 64)


def test_t46_an_agency_that_has_ended_hands_over_what_it_sealed_before(post: Post) -> None:
    post.nation.end("H29", post.now + timedelta(milliseconds=1), successors=("G01",))
    post.directory = post.nation.directory()
    letter = canonical.encode(post.envelope())
    for days in (0, 29):  # it counts when it was sealed, not when it arrives
        assert isinstance(judge(post, letter, now=post.now + timedelta(days=days)), Arrival)
    post.nation.end("H29", post.now, successors=("G01",))
    post.directory = post.nation.directory()
    with pytest.raises(AgencyEndedError, match="H29 is merged into G01"):
        judge_envelope(post)


def test_t01_a_node_cannot_deliver_what_another_agency_sealed(post: Post) -> None:
    stranger = post.nation.add_agency("H30", "Ủy ban nhân dân tỉnh Hải Dương")
    post.directory = post.nation.directory()
    data = canonical.encode(post.envelope())
    parcel = post.parcel(data, by=stranger)
    with pytest.raises(errors.FromNotOwnedError, match="only its own"):
        judge_parcel(parcel, post.verified(parcel.envelope), post.standing())


@pytest.mark.parametrize("code", ["H29.", "H290", "H29.55", "h29", "H2９"])
def test_t01_no_code_is_owned_by_looking_alike(post: Post, code: str) -> None:
    with pytest.raises((errors.FromNotOwnedError, errors.NotCanonicalError)):
        judge_envelope(post, from_=code)


def test_a_listed_sub_agency_may_be_sent_from_and_to(post: Post) -> None:
    arrival = judge_envelope(post, from_="H29.5", to="G01.22")
    assert isinstance(arrival, Arrival)
    assert (arrival.sender, arrival.recipient) == ("H29.5", "G01.22")


def test_check_7_an_envelope_for_another_agency_is_refused(post: Post) -> None:
    with pytest.raises(errors.RecipientNotHereError):
        judge_envelope(post, to="H29")


def test_check_7_waits_for_a_directory_that_may_know_better(post: Post) -> None:
    data = canonical.encode(post.envelope(to="G01.99"))
    newer = msgspec.structs.replace(post.directory.mark, version=post.directory.mark.version + 1)
    sealed = post.sender.seal(data, time=post.now, directory=newer)[0]
    parcel = msgspec.structs.replace(post.parcel(data), envelope=sealed)
    with pytest.raises(errors.DirectoryBehindError):
        judge_parcel(parcel, post.verified(sealed), post.standing())


def test_check_8_tells_a_wrong_clock_from_an_expired_envelope(post: Post) -> None:
    data = canonical.encode(post.envelope())
    with pytest.raises(errors.ClockSkewError):
        judge(post, data, now=post.now - timedelta(minutes=6))
    with pytest.raises(errors.EnvelopeExpiredError):
        judge(post, data, now=post.now + timedelta(days=30))


def test_check_8_bounds_the_life_of_an_envelope(post: Post) -> None:
    with pytest.raises(errors.LimitExceededError):
        judge_envelope(post, expires=time_text(post.now + timedelta(days=91)))


def test_check_8_refuses_a_hundred_and_one_parts(post: Post) -> None:
    parts = post.envelope().parts
    many = tuple(msgspec.structs.replace(parts[1], index=i % 100, name=f"{i}") for i in range(101))
    with pytest.raises(errors.LimitExceededError, match="101 parts"):
        judge_envelope(post, parts=many)


def test_t25_ten_thousand_parts_are_refused_by_size_before_they_are_read(post: Post) -> None:
    parts = post.envelope().parts
    many = tuple(msgspec.structs.replace(parts[1], index=0, name="x") for _ in range(10_000))
    with pytest.raises(errors.StatementTooLargeError):
        canonical.decode(msgspec.json.encode(post.envelope(parts=many), order="sorted"), Envelope)


def test_check_2_another_network_is_rejected_under_seal(post: Post) -> None:
    arrival = judge_envelope(post, network="vn-other")
    assert isinstance(arrival, Arrival)
    assert (arrival.result, arrival.reason) == (Result.REJECTED, "WRONG_NETWORK")
    assert arrival.inline == b""


@pytest.mark.parametrize(
    "name",
    ["../x", "C:\\x", "a\x00b", "a\u202eb.pdf", "x" * 300, "..／x", "con", "-rf", ".ssh", "a/b"],
)
def test_t22_an_unsafe_name_is_never_kept(post: Post, name: str) -> None:
    post.names = [name]
    try:
        arrival = judge(post, msgspec.json.encode(post.envelope(), order="sorted"))
    except errors.NotCanonicalError:
        return
    assert isinstance(arrival, Arrival)
    assert (arrival.result, arrival.reason) == (Result.REJECTED, "PART_NAME_UNSAFE")
    assert arrival.inline == b""


def test_t22_twins_under_folding_are_rejected(post: Post) -> None:
    post.names, post.contents = ["Báo cáo.pdf", "BÁO CÁO.pdf"], [b"1", b"2"]
    arrival = judge_envelope(post)
    assert isinstance(arrival, Arrival)
    assert arrival.reason == "PART_NAME_UNSAFE"


@pytest.mark.parametrize("bend", ["flip", "longer", "shorter", "swapped", "empty"])
def test_t12_parts_with_other_bytes_are_asked_for_again(post: Post, bend: str) -> None:
    post.names, post.contents = ["1.pdf", "2.pdf"], [b"abcd", b"efgh"]
    data = canonical.encode(post.envelope())
    joined = post.joined()
    bent = {
        "flip": joined[:-1] + bytes([joined[-1] ^ 1]),
        "longer": joined + b"\x00",
        "shorter": joined[:-1],
        "swapped": post.record + b"efghabcd",
        "empty": b"",
    }[bend]
    parcel = post.parcel(data, parts=bent)
    with pytest.raises(errors.PartDigestError):
        judge_parcel(parcel, post.verified(parcel.envelope), post.standing())


def test_check_11_a_record_about_another_document_is_rejected(post: Post) -> None:
    arrival = judge_envelope(post, document_id=new_uuid7(post.now))
    assert isinstance(arrival, Arrival)
    assert (arrival.result, arrival.reason) == (Result.REJECTED, "RECORD_INVALID")


def test_check_11_a_document_is_no_status(post: Post) -> None:
    arrival = judge_envelope(post, operation=Operation.STATUS)
    assert isinstance(arrival, Arrival)
    assert arrival.reason == "RECORD_INVALID"


def test_t13_a_sealed_receipt_is_never_taken_for_an_envelope(post: Post) -> None:
    receipt = Receipt(
        network=post.nation.network,
        envelope=sha256(b"").hexdigest(),
        message_id=new_uuid7(post.now),
        from_=post.sender.code,
        to=post.recipient.code,
        result=Result.RECEIVED,
        time=time_text(post.now),
    )
    with pytest.raises(errors.StatementTypeError):
        judge(post, canonical.encode(receipt))


def test_t13_a_document_whose_content_is_a_receipt_stays_a_document(post: Post) -> None:
    post.contents = [b'{"type":"edoc.receipt/v1"}']
    arrival = judge_envelope(post)
    assert isinstance(arrival, Arrival)
    assert arrival.operation is Operation.NEW


def test_an_envelope_is_of_the_same_document_whatever_its_epoch_seq_and_created(post: Post) -> None:
    first = post.envelope()
    sealed_anew = {
        "epoch": new_uuid7(post.now),
        "seq": 9,
        "created": time_text(post.now - timedelta(hours=1)),
    }
    assert is_same_document(first, msgspec.structs.replace(first, **sealed_anew))
    for field in {"network", *first.__struct_fields__} - sealed_anew.keys():
        changed = "khan" if field == "urgency" else "x"
        other = msgspec.structs.replace(first, **{field: changed})
        assert not is_same_document(first, other), field
