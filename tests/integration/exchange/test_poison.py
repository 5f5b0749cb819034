"""One message that always fails, and a signer that is away: the others notice nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.exchange.conftest import Card, Scene
from tests.support.bad_peer import Letter
from tests.support.nodes import TestNode, make_pair, running, until


def poison(node: TestNode, letters: Sequence[Letter]) -> None:
    """Makes the database refuse a row for each letter, and for no other."""
    for number, letter in enumerate(letters):
        message_id = letter.message_id.replace("-", "")
        node.write(
            f"CREATE TRIGGER poison_{number} BEFORE INSERT ON incoming "
            f"WHEN NEW.message_id = x'{message_id}' "
            f"BEGIN SELECT RAISE(ABORT, 'poisoned by a test'); END"
        )


async def test_t41_a_message_that_always_fails_is_set_aside_alone(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = scene.peer.letter()
    poison(scene.node, [bad])
    letters = [scene.peer.letter() for _ in range(60)]
    letters.insert(30, bad)
    async with scene.peer.stream() as stream:
        answers = await stream.exchange(*scene.peer.parcels(*letters))
        told = [scene.told(answer) for answer in answers]
        assert told[30] == ("try_later", "PROCESSING_FAILED")
        assert set(told[:30] + told[31:]) == {("received", "")}
        assert scene.node.inbox() == 60
        await scene.good(stream)
        again = await stream.exchange(scene.peer.parcel(bad))
        assert scene.told(again[0]) == ("try_later", "PROCESSING_FAILED")
        said = capsys.readouterr().out
        assert "poisoned by a test" in said
        assert "Về việc" not in said, "the log holds content of a document"
        scene.node.write("DROP TRIGGER poison_0")
        healed = await stream.exchange(scene.peer.parcel(bad))
        assert scene.told(healed[0]) == ("received", "")


async def test_t41_an_offer_that_always_fails_is_set_aside_alone(scene: Scene) -> None:
    bad = scene.peer.letter(bytes(400_000))
    poison(scene.node, [bad])
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(bad))
        for index, data in enumerate(bad.parts):
            await connection.transfer(bad, index, data)
        answers = await stream.exchange(
            scene.peer.offer(bad), scene.peer.parcel(scene.peer.letter())
        )
        told = [scene.told(answer) for answer in answers]
        assert told == [("try_later", "PROCESSING_FAILED"), ("received", "")]
        await scene.good(stream)


async def test_t41_the_sender_of_a_poisoned_message_delivers_the_next_hundred(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        second.write(
            "CREATE TRIGGER poison BEFORE INSERT ON incoming WHEN length(NEW.inline) > 9000 "
            "BEGIN SELECT RAISE(ABORT, 'poisoned by a test'); END"
        )
        bad = await first.send(bytes(9_000), to=["G01"])
        good = [await first.send(b"good", to=["G01"]) for _ in range(100)]
        await first.delivered(*good)
        waiting = await first.delivery(bad)
        assert (waiting.reason, waiting.attempts > 0) == ("PROCESSING_FAILED", True)
        second.write("DROP TRIGGER poison")
        await first.delivered(bad, within_s=60)


async def test_without_its_signer_a_node_keeps_answers_try_later_and_heals(
    card: type[Card], scene: Scene
) -> None:
    await scene.node.stop()
    await scene.node.start()
    scene.peer.address = scene.node.address
    letter = scene.peer.letter()
    async with scene.peer.stream() as stream:
        await scene.good(stream)
        card.pulled = True
        (answer,) = await stream.exchange(scene.peer.parcel(letter))
        assert scene.told(answer) == ("try_later", "SEALER_STOPPED")
        assert (scene.node.inbox(), scene.kept()) == (100, 101)
        await until(lambda: "card" in scene.node.alarms().get("SEALER_STOPPED", ""))
        (again,) = await stream.exchange(scene.peer.parcel(letter))
        assert scene.told(again) == ("try_later", "SEALER_STOPPED")
        card.pulled = False
        await until(lambda: scene.node.inbox() == 101)
        await until(lambda: "SEALER_STOPPED" not in scene.node.alarms())
        (answer,) = await stream.exchange(scene.peer.parcel(letter))
        assert scene.told(answer) == ("received", "")
        await scene.good(stream)


async def test_what_is_handed_in_without_the_signer_goes_out_when_it_is_back(
    tmp_path: Path, card: type[Card]
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"before", to=["G01"]))
        card.pulled = True
        kept = [await first.send(b"kept", to=["G01"]) for _ in range(10)]
        assert {first.state(item.message_id) for item in kept} == {"unsealed"}
        card.pulled = False
        await first.delivered(*kept)
    assert second.inbox() == 11
