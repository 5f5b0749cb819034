"""What a node makes of statements that are not as they must be.

Each hostile parcel gets the answer of the table of reasons, leaves nothing in the inbox, and the
same stream carries the next hundred good ones.
"""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest
from cryptography import x509

from edoccore.identity.keys import SoftwareSigner
from edoccore.signing import canonical
from edoccore.signing.statements import Operation, Receipt, Result, time_text
from edocnode.domain.exchange import Parcel
from edocnode.rpc.peers import WRITE_FAILED
from tests.integration.exchange.conftest import Scene
from tests.support.bad_peer import BadPeer, Ended, now, part
from tests.support.nation import new_uuid7

Bend = Callable[[BadPeer], Parcel]


def sealed(peer: BadPeer, data: bytes, parts: bytes = b"") -> Parcel:
    """Any bytes under a genuine seal."""
    return Parcel(envelope=peer.seal(data)[0], parts=parts, offer=False)


def bent(change: Callable[[bytes], bytes]) -> Bend:
    """A letter whose bytes were changed before they were sealed."""

    def make(peer: BadPeer) -> Parcel:
        letter = peer.letter()
        data = change(letter.data)
        assert data != letter.data
        return sealed(peer, data, letter.joined)

    return make


def stating(**changes: object) -> Bend:
    """A letter whose envelope states something else."""
    return lambda peer: peer.parcel(peer.letter(**changes))


def altered_after_sealing(peer: BadPeer) -> Parcel:
    parcel = peer.parcel(peer.letter())
    data = parcel.envelope.statement.replace(b'"normal"', b'"khan"')
    return msgspec.structs.replace(
        parcel, envelope=msgspec.structs.replace(parcel.envelope, statement=data)
    )


def altered_signature(peer: BadPeer) -> Parcel:
    parcel = peer.parcel(peer.letter())
    other = peer.parcel(peer.letter()).envelope.seal.signature
    seal = msgspec.structs.replace(parcel.envelope.seal, signature=other)
    return msgspec.structs.replace(
        parcel, envelope=msgspec.structs.replace(parcel.envelope, seal=seal)
    )


def sealed_for_another_network(peer: BadPeer) -> Parcel:
    letter = peer.letter(network="vn-other")
    envelope = peer.seal(letter.data, network="vn-other")[0]
    return Parcel(envelope=envelope, parts=letter.joined, offer=False)


def over_64_kib(peer: BadPeer) -> Parcel:
    letter = peer.letter(*[b""] * 99, names=[f"{i}{'ế' * 240}" for i in range(99)])
    data = msgspec.json.encode(letter.envelope, order="sorted")
    assert len(data) > canonical.MAX_STATEMENT_BYTES
    return sealed(peer, data)


def one_byte_over_64_kib(peer: BadPeer) -> Parcel:
    data = peer.letter().data[:-1] + b',"zzz":"'
    return sealed(peer, data + b"z" * (canonical.MAX_STATEMENT_BYTES - 1 - len(data)) + b'"}')


def thousands_of_parts(peer: BadPeer) -> Parcel:
    letter = peer.letter()
    parts = tuple(part(i % 100, "x", b"") for i in range(6_000))
    envelope = msgspec.structs.replace(letter.envelope, parts=parts)
    return sealed(peer, msgspec.json.encode(envelope, order="sorted"))


def a_hundred_and_one_parts(peer: BadPeer) -> Parcel:
    parts = tuple(part(i % 100, f"{i}", b"") for i in range(101))
    return peer.parcel(peer.letter(parts=parts))


def numbered_to_a_hundred(peer: BadPeer) -> Parcel:
    letter = peer.letter(*[b""] * 100)
    return sealed(peer, msgspec.json.encode(letter.envelope, order="sorted"), letter.joined)


def record_of_another_document(peer: BadPeer) -> Parcel:
    return peer.parcel(peer.letter(record=peer.record(new_uuid7(now()))))


@pytest.mark.parametrize(
    ("bend", "answer"),
    [
        pytest.param(altered_after_sealing, ("refused", "SEAL_INVALID"), id="altered"),
        pytest.param(altered_signature, ("refused", "SEAL_INVALID"), id="signature"),
        pytest.param(bent(lambda d: d + b" "), ("refused", "NOT_CANONICAL"), id="space"),
        pytest.param(
            bent(lambda d: d.replace(b",", b",\r\n", 1)), ("refused", "NOT_CANONICAL"), id="crlf"
        ),
        pytest.param(
            bent(lambda d: d[:-1] + b',"zzz":1}'), ("refused", "NOT_CANONICAL"), id="unknown-field"
        ),
        pytest.param(
            bent(lambda d: d.replace(b'{"created"', b'{"created":"x","created"', 1)),
            ("refused", "NOT_CANONICAL"),
            id="twice",
        ),
        pytest.param(
            bent(lambda d: b"\xef\xbb\xbf" + d), ("refused", "NOT_CANONICAL"), id="byte-order-mark"
        ),
        pytest.param(bent(lambda d: d + b"\x00"), ("refused", "NOT_CANONICAL"), id="nul"),
        pytest.param(bent(lambda _: b"{" * 60_000), ("refused", "NOT_CANONICAL"), id="deep"),
        pytest.param(bent(lambda _: b""), ("refused", "NOT_CANONICAL"), id="empty"),
    ],
)
async def test_t11_an_envelope_altered_or_encoded_anew_is_refused(
    scene: Scene, bend: Bend, answer: tuple[str, str]
) -> None:
    await _answered(scene, bend, answer)


@pytest.mark.parametrize(
    ("bend", "answer"),
    [
        pytest.param(
            sealed_for_another_network, ("refused", "WRONG_NETWORK"), id="network-of-seal"
        ),
        pytest.param(
            stating(network="vn-other"), ("rejected", "WRONG_NETWORK"), id="network-of-envelope"
        ),
        pytest.param(stating(to="H30"), ("refused", "RECIPIENT_NOT_HERE"), id="recipient"),
        pytest.param(over_64_kib, ("refused", "STATEMENT_TOO_LARGE"), id="over-64-kib"),
        pytest.param(one_byte_over_64_kib, ("refused", "STATEMENT_TOO_LARGE"), id="64-kib-and-1"),
        pytest.param(thousands_of_parts, ("refused", "STATEMENT_TOO_LARGE"), id="6000-parts"),
        pytest.param(a_hundred_and_one_parts, ("refused", "LIMIT_EXCEEDED"), id="101-parts"),
        pytest.param(numbered_to_a_hundred, ("refused", "NOT_CANONICAL"), id="index-100"),
        pytest.param(stating(parts=()), ("refused", "NOT_CANONICAL"), id="no-record"),
        pytest.param(
            stating(expires=time_text(now() + timedelta(days=91))),
            ("refused", "LIMIT_EXCEEDED"),
            id="life",
        ),
        pytest.param(
            stating(created=time_text(now() + timedelta(hours=1))),
            ("try_later", "CLOCK_SKEW"),
            id="future",
        ),
        pytest.param(
            stating(
                created=time_text(now() - timedelta(days=2)),
                expires=time_text(now() - timedelta(days=1)),
            ),
            ("try_later", "ENVELOPE_EXPIRED"),
            id="expired",
        ),
        pytest.param(
            stating(created="2026-02-31T00:00:00.000Z"), ("refused", "NOT_CANONICAL"), id="no-day"
        ),
        pytest.param(record_of_another_document, ("rejected", "RECORD_INVALID"), id="record"),
        pytest.param(
            stating(operation=Operation.STATUS), ("rejected", "RECORD_INVALID"), id="no-status"
        ),
    ],
)
async def test_an_envelope_that_states_what_it_must_not_is_answered_by_the_table(
    scene: Scene, bend: Bend, answer: tuple[str, str]
) -> None:
    await _answered(scene, bend, answer)


async def test_t25_ten_thousand_parts_end_the_stream_unread(scene: Scene) -> None:
    parts = tuple(part(i % 100, "x", b"") for i in range(10_000))
    envelope = msgspec.structs.replace(scene.peer.letter().envelope, parts=parts)
    parcel = sealed(scene.peer, msgspec.json.encode(envelope, order="sorted"))
    async with scene.peer.connect() as connection:
        async with connection.stream() as stream:
            with pytest.raises(Ended, match=rf"RESOURCE_EXHAUSTED|{WRITE_FAILED}"):
                await stream.exchange(parcel)
        async with connection.stream() as stream:
            await scene.good(stream)
    assert scene.kept() == 100


async def test_t13_a_receipt_is_never_taken_for_an_envelope(scene: Scene) -> None:
    def own_receipt(peer: BadPeer) -> Parcel:
        receipt = Receipt(
            network=peer.nation.network,
            envelope=sha256(b"").hexdigest(),
            message_id=new_uuid7(now()),
            from_=peer.agency.code,
            to=peer.target.code,
            result=Result.RECEIVED,
            time=time_text(now()),
        )
        return sealed(peer, canonical.encode(receipt))

    await _answered(scene, own_receipt, ("refused", "STATEMENT_TYPE_UNEXPECTED"))


async def test_t13_the_node_s_own_receipt_sent_back_to_it_is_refused(scene: Scene) -> None:
    async with scene.peer.stream() as stream:
        (first,) = await scene.good(stream, 1)
        replayed = Parcel(envelope=first.receipt, parts=b"", offer=False)
        (answer,) = await stream.exchange(replayed)
        assert scene.told(answer)[0] == "refused"
        await scene.good(stream)
    assert scene.kept() == 101


@pytest.mark.parametrize("code", ["G01", "H30", "H290", "H29.55", "H29.5.1"])
async def test_t01_an_agency_cannot_send_in_the_name_of_another(scene: Scene, code: str) -> None:
    await _answered(scene, stating(from_=code), ("refused", "FROM_NOT_OWNED"))


LOOK_ALIKES = ["H290", "H29.", "H29.5.", "h29.5", "\u041d29.5", "H29.\uff15", "H29.5\u200b"]


@pytest.mark.parametrize("code", LOOK_ALIKES)
async def test_t02_a_sender_that_only_looks_like_an_agency_is_refused(
    scene: Scene, code: str
) -> None:
    await _answered(scene, stating(from_=code), ("refused", "FROM_NOT_OWNED"))


@pytest.mark.parametrize("code", ["G010", "G01.", "G01.22.", "g01.22", "G01.2\uff12", "G\u041e1"])
async def test_t02_a_recipient_that_only_looks_like_one_served_here_is_refused(
    scene: Scene, code: str
) -> None:
    await _answered(scene, stating(to=code), ("refused", "RECIPIENT_NOT_HERE"))


async def test_t01_a_node_delivers_only_what_its_own_agency_sealed(scene: Scene) -> None:
    def of_h30(_: BadPeer) -> Parcel:
        other = scene.other("H30")
        return other.parcel(other.letter())

    await _answered(scene, of_h30, ("refused", "FROM_NOT_OWNED"))


async def test_t03_t05_the_tls_key_cannot_seal(scene: Scene) -> None:
    def by_tls_key(peer: BadPeer) -> Parcel:
        letter = peer.letter()
        return Parcel(
            envelope=peer.seal_with_tls_key(letter.data)[0], parts=letter.joined, offer=False
        )

    await _answered(scene, by_tls_key, ("refused", "SEAL_CERTIFICATE_REFUSED"))


async def test_t03_the_tls_key_cannot_seal_in_the_name_of_the_seal_s_certificate(
    scene: Scene,
) -> None:
    def by_tls_key(peer: BadPeer) -> Parcel:
        letter = peer.letter()
        certificate = x509.load_der_x509_certificate(peer.agency.tls_certificate)
        signer = SoftwareSigner(peer.agency.tls_key, certificate)
        envelope = peer.seal(letter.data, signer=signer)[0]
        return Parcel(envelope=envelope, parts=letter.joined, offer=False)

    await _answered(scene, by_tls_key, ("refused", "SEAL_INVALID"))


async def test_bad_parcels_do_not_hold_up_the_good_ones_of_their_batch(scene: Scene) -> None:
    peer = scene.peer
    bad = [altered_after_sealing(peer), peer.parcel(peer.letter(to="H30"))]
    good = peer.parcels(*(peer.letter() for _ in range(50)))
    async with peer.stream() as stream:
        answers = await stream.exchange(bad[0], *good, bad[1])
        assert [scene.told(answer)[0] for answer in answers].count("received") == 50
        assert (answers[0].reason, answers[-1].reason) == ("SEAL_INVALID", "RECIPIENT_NOT_HERE")
        await scene.good(stream)


async def _answered(scene: Scene, bend: Bend, answer: tuple[str, str]) -> None:
    """One hostile parcel, then a hundred good ones on the same stream."""
    parcel = bend(scene.peer)
    async with scene.peer.stream() as stream:
        (got,) = await stream.exchange(parcel)
        assert scene.told(got) == answer
        assert scene.node.inbox() == 0
        assert scene.kept() == (1 if answer[0] == "rejected" else 0)
        await scene.good(stream)
