"""Envelopes that come again: the same bytes, the same document, or another one under its id."""

import asyncio

import msgspec
import pytest

from edoccore.signing.statements import time_text
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain.calendar import day_in_viet_nam
from edocnode.domain.exchange import Duplicate, Parcel, Received
from tests.integration.exchange.conftest import Scene
from tests.support.bad_peer import Letter, now
from tests.support.nation import new_uuid7
from tests.support.nodes import until

CONNECTIONS = 8
REPLAYS = 125  # on each


async def test_t14_a_thousand_concurrent_replays_leave_one_row_and_one_receipt(
    scene: Scene,
) -> None:
    parcel = scene.peer.parcel(scene.peer.letter())

    async def replay() -> set[tuple[bytes, bytes, bytes]]:
        async with scene.peer.stream() as stream:
            answers = [(await stream.exchange(parcel))[0] for _ in range(REPLAYS)]
        assert all(isinstance(answer, Received) for answer in answers)
        receipts = [answer.receipt for answer in answers if isinstance(answer, Received)]
        return {(item.statement, item.seal.data, item.seal.signature) for item in receipts}

    receipts = await asyncio.gather(*(replay() for _ in range(CONNECTIONS)))
    assert len(set.union(*receipts)) == 1
    assert (scene.node.inbox(), scene.kept()) == (1, 1)
    assert scene.node.count("SELECT count(*) FROM receipt_given") == 1
    async with scene.peer.stream() as stream:
        await scene.good(stream)
    await scene.node.stop()  # which writes down what was only counted
    await scene.node.start()
    assert await repeated(scene) == CONNECTIONS * REPLAYS - 1


async def repeated(scene: Scene) -> int:
    """Deliveries that were here already, as statistics have them."""
    today = day_in_viet_nam(now()).isoformat()
    async with scene.node.office() as stub:
        found = await stub.GetStatistics(
            office.GetStatisticsRequest(first_day=today, last_day=today)
        )
    return found.total.repeated


async def test_t14_one_batch_may_hold_the_same_envelope_many_times(scene: Scene) -> None:
    parcel = scene.peer.parcel(scene.peer.letter())
    async with scene.peer.stream() as stream:
        answers = await stream.exchange(*[parcel] * 50)
        assert {scene.told(answer) for answer in answers} == {("received", "")}
        assert (scene.node.inbox(), scene.kept()) == (1, 1)
        await scene.good(stream)


def rivals(scene: Scene) -> tuple[Letter, Letter]:
    """Two letters under one message id with other contents."""
    first = scene.peer.letter(b"Duyet chi 1 ty dong")
    second = scene.peer.letter(b"Duyet chi 9 ty dong", message_id=first.message_id)
    return first, second


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_t15_of_two_contents_racing_for_one_id_exactly_one_is_received(
    scene: Scene, order: tuple[int, int]
) -> None:
    parcels = [scene.peer.parcel(letter) for letter in rivals(scene)]
    async with scene.peer.stream() as one, scene.peer.stream() as other:
        streams = (one, other)

        async def both() -> list[tuple[str, str]]:
            answers = await asyncio.gather(
                *(streams[i].exchange(parcels[order[i]]) for i in range(2))
            )
            return [scene.told(answer[0]) for answer in answers]

        told = await both()
        assert sorted(told) == [("received", ""), ("rejected", "MESSAGE_CONFLICT")]
        assert await both() == told
        assert (scene.node.inbox(), scene.kept()) == (1, 2)
        ranks = scene.node.rows("SELECT rank, result, envelope FROM incoming ORDER BY rank")
        assert [row[:2] for row in ranks] == [(0, "received"), (1, "rejected")]
        assert {row[2] for row in ranks} == {item.envelope.statement for item in parcels}
        await until(lambda: "MESSAGE_CONFLICT" in scene.node.alarms())
        await scene.good(one)


async def test_t15_two_contents_for_one_id_in_one_batch_are_told_apart(scene: Scene) -> None:
    async with scene.peer.stream() as stream:
        answers = await stream.exchange(*scene.peer.parcels(*rivals(scene)))
        assert [scene.told(answer) for answer in answers] == [
            ("received", ""),
            ("rejected", "MESSAGE_CONFLICT"),
        ]
        await scene.good(stream)


async def test_a_conflict_in_an_offer_is_told_before_its_parts_travel(scene: Scene) -> None:
    first = scene.peer.letter()
    rival = scene.peer.letter(bytes(400_000), message_id=first.message_id)
    async with scene.peer.stream() as stream:
        await stream.exchange(scene.peer.parcel(first))
        (answer,) = await stream.exchange(scene.peer.offer(rival))
        assert scene.told(answer) == ("rejected", "MESSAGE_CONFLICT")
        await scene.good(stream)
    assert scene.node.count("SELECT count(*) FROM stage") == 0


async def test_the_same_document_under_another_epoch_and_seq_is_a_duplicate(scene: Scene) -> None:
    letter = scene.peer.letter()
    parcel = scene.peer.parcel(letter)
    async with scene.peer.stream() as stream:
        (received,) = await stream.exchange(parcel)
    scene.peer.open_epoch()
    changed = msgspec.structs.replace(
        letter.envelope, epoch=scene.peer.agency.epoch, seq=77, created=time_text(now())
    )
    again = scene.peer.parcel(Letter(envelope=changed, parts=letter.parts))
    async with scene.peer.stream() as stream:
        (answer,) = await stream.exchange(again)
        assert isinstance(answer, Duplicate)
        assert isinstance(received, Received)
        assert answer.envelope == parcel.envelope
        assert answer.receipt == received.receipt
        assert (scene.node.inbox(), scene.kept()) == (1, 1)
        await scene.good(stream)


async def test_hundreds_of_duplicates_are_answered_in_messages_that_fit(scene: Scene) -> None:
    names = [f"{i}{'ế' * 60}" for i in range(99)]
    letters = [scene.peer.letter(*[b"x"] * 99, names=names) for _ in range(20)]
    async with scene.peer.stream() as stream:
        await stream.exchange(*scene.peer.parcels(*letters))
        changed = [
            Letter(envelope=msgspec.structs.replace(letter.envelope, seq=900), parts=letter.parts)
            for letter in letters
        ]
        again: list[Parcel] = [scene.peer.parcel(letter) for letter in changed]
        answers = await stream.exchange(*again)
        assert all(isinstance(answer, Duplicate) for answer in answers)


async def test_a_second_seal_for_one_place_of_the_journal_is_kept_as_evidence(
    scene: Scene,
) -> None:
    first, second = (scene.peer.letter() for _ in range(2))
    index = scene.peer.agency.index
    async with scene.peer.stream() as stream:
        for letter in (first, second):
            envelope = scene.peer.seal(letter.data, index=index)[0]
            parcel = Parcel(envelope=envelope, parts=letter.joined, offer=False)
            assert scene.told((await stream.exchange(parcel))[0]) == ("received", "")
        await until(lambda: "TWO_HISTORIES" in scene.node.alarms())
        seals = scene.node.rows(
            "SELECT rank FROM seal WHERE agency = 'H29' AND seal_index = ? ORDER BY rank", index
        )
        assert seals == [(0,), (1,)]
        await scene.good(stream)


async def test_two_openings_of_one_epoch_are_two_histories(scene: Scene) -> None:
    async with scene.peer.connect() as connection:
        await connection.say_hello()
        epoch = scene.peer.agency.epoch
        scene.peer.open_epoch()
        scene.peer.agency.epoch = epoch
        rival = scene.peer.opening.statement.replace(
            canonical_epoch(scene.peer.opening.statement), epoch.encode()
        )
        await connection.say_hello(opening=scene.peer.seal(rival, index=0, time=now())[0])
    await until(lambda: "TWO_HISTORIES" in scene.node.alarms())


def canonical_epoch(statement: bytes) -> bytes:
    """The epoch that an opening states."""
    return msgspec.json.decode(statement)["epoch"].encode()


async def test_an_id_belongs_to_its_sender(scene: Scene) -> None:
    letter = scene.peer.letter()
    other = scene.other("H30")
    twin = other.letter(message_id=letter.message_id, document_id=new_uuid7(now()))
    async with scene.peer.stream() as stream, other.stream() as theirs:
        assert scene.told((await stream.exchange(scene.peer.parcel(letter)))[0])[0] == "received"
        assert scene.told((await theirs.exchange(other.parcel(twin)))[0])[0] == "received"
    assert scene.node.inbox() == 2
