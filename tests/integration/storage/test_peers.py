"""What is known of other nodes, and what a person must know."""

from datetime import timedelta

from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office

SECOND = timedelta(seconds=1)


async def test_failures_are_counted_until_the_peer_answers(store: NodeStore) -> None:
    for number in range(3):
        at = NOW + number * SECOND
        await store.peer_failed(
            "G01", at, reason="PEER_UNREACHABLE", message="no\x00", next_at=at + 5 * SECOND
        )
    status = (await store.peer_statuses())["G01"]
    assert (status.attempts, status.down_since, status.message) == (3, NOW, "no")
    assert (status.next_at, status.last_seen) == (NOW + 7 * SECOND, None)
    await store.peer_answered("G01", NOW + 9 * SECOND)
    status = (await store.peer_statuses())["G01"]
    assert (status.attempts, status.down_since, status.next_at) == (0, None, None)
    assert (status.reason, status.last_seen) == ("", NOW + 9 * SECOND)
    await store.peer_failed("G01", NOW, reason="X", message="", next_at=NOW)
    assert (await store.peer_statuses())["G01"].last_seen == NOW + 9 * SECOND


async def test_the_newest_opening_and_the_highest_seal_are_remembered(
    store: NodeStore, peer: Office
) -> None:
    unknown = await store.journal_of("G01")
    assert (unknown.epoch, unknown.opening, unknown.highest) == (b"", None, None)
    peer.seal()
    first = peer.opened
    assert first is not None
    assert await store.note_opening("G01", first, NOW)
    later = [peer.seal().seal for _ in range(3)]
    assert [await store.note_seal("G01", seal, NOW) for seal in (later[2], later[0])] == [None] * 2
    known = await store.journal_of("G01")
    assert (known.epoch, known.opening) == (peer.state.epoch, first)
    assert (known.highest, known.highest_index) == (later[2], 4)
    peer.start(NOW + SECOND)
    peer.seal()
    assert peer.opened is not None
    assert await store.note_opening("G01", peer.opened, NOW)
    assert await store.note_opening("G01", peer.opened, NOW)
    assert not await store.note_opening("G01", first, NOW)
    known = await store.journal_of("G01")
    assert (known.epoch, known.highest_epoch, known.highest_index) == (
        peer.state.epoch,
        peer.state.epoch,
        0,
    )
    assert known.opening == peer.opened


async def test_receipts_of_an_epoch_do_not_hide_what_is_known_of_the_ones_before(
    store: NodeStore, peer: Office
) -> None:
    last = [peer.seal().seal for _ in range(3)][-1]
    await store.note_seal("G01", last, NOW)
    peer.start(NOW + SECOND)
    receipts = [peer.seal().seal for _ in range(2)][-1]
    await store.note_seal("G01", receipts, NOW)
    assert (await store.journal_of("G01")).highest == receipts
    assert (await store.journal_of("G01", peer.state.epoch)).highest == last


async def test_two_seals_for_one_place_are_both_kept_with_an_alarm(
    store: NodeStore, peer: Office
) -> None:
    seal = peer.seal().seal
    other, _ = peer.word(at=NOW + SECOND)
    peer.state.next_index -= 1
    rival, _ = peer.word(at=NOW + 2 * SECOND)
    peer.state.next_index += 1
    assert await store.note_seal("G01", seal, NOW) is None
    assert await store.note_seal("G01", seal, NOW) is None
    assert await store.alarms() == []
    assert await store.note_seal("G01", rival.seal, NOW) == seal
    assert await store.note_seal("G01", seal, NOW) == rival.seal
    assert await store.note_seal("G01", other.seal, NOW) is None
    [alarm] = await store.alarms()
    assert (alarm.kind, alarm.subject, alarm.times) == ("TWO_HISTORIES", "G01", 1)
    assert set(alarm.proof.split()) == {item.digest().hex() for item in (seal, rival.seal)}
