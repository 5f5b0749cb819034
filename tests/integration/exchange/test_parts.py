"""Parts with other bytes than their envelope states, inline and by transfer, and their names."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edoccore.errors import PartDigestError
from edocnode.domain.exchange import Need, Parcel
from tests.integration.exchange.conftest import Scene, make_nation
from tests.support.bad_peer import BadPeer, BadRecipient, Ended, Letter
from tests.support.nodes import TestNode, make_node, running, until
from tests.support.ports import free_port

SECOND = b"efgh"
LARGE = bytes(range(256)) * 2_000  # 500 KiB: it never rides with its envelope

BENDS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "flipped": lambda first, rest: bytes([first[0] ^ 1]) + first[1:] + rest,
    "longer": lambda first, rest: first + rest + b"\x00",
    "shorter": lambda first, rest: (first + rest)[:-1],
    "swapped": lambda first, rest: rest + first,
    "zero": lambda first, rest: bytes(len(first + rest)),
    "none": lambda first, rest: b"",
}


@pytest.mark.parametrize("bend", BENDS)
async def test_t12_inline_parts_with_other_bytes_are_asked_for_again(
    scene: Scene, bend: str
) -> None:
    letter = scene.peer.letter(b"abcd", SECOND)
    parcel = scene.peer.parcel(letter)
    bent = letter.parts[0] + BENDS[bend](b"abcd", SECOND)
    async with scene.peer.stream() as stream:
        (answer,) = await stream.exchange(msgspec.structs.replace(parcel, parts=bent))
        assert scene.told(answer) == ("try_later", "PART_DIGEST_MISMATCH")
        assert (scene.node.inbox(), scene.kept()) == (0, 0)
        (answer,) = await stream.exchange(parcel)
        assert scene.told(answer) == ("received", "")
        await scene.good(stream)


@pytest.mark.parametrize("bend", ["flipped", "longer", "swapped", "zero"])
async def test_t12_a_transfer_with_other_bytes_is_discarded_and_asked_for_again(
    scene: Scene, bend: str
) -> None:
    letter = scene.peer.letter(LARGE, LARGE[::-1])
    offer = scene.peer.offer(letter)
    bent = BENDS[bend](LARGE[:300_000], LARGE[300_000:])
    async with scene.peer.connect() as connection, connection.stream() as stream:
        (need,) = await stream.exchange(offer)
        assert isinstance(need, Need)
        assert [wanted.index for wanted in need.parts] == [0, 1, 2]
        for index in (0, 2):
            await connection.transfer(letter, index, letter.parts[index])
        for _ in range(3):
            with pytest.raises(Ended, match="PART_DIGEST_MISMATCH"):
                await connection.transfer(letter, 1, bent)
            (need,) = await stream.exchange(offer)
            assert isinstance(need, Need)
            assert [(wanted.index, wanted.offset) for wanted in need.parts] == [(1, 0)]
            assert scene.node.inbox() == 0
        await scene.good(stream)
        assert await connection.transfer(letter, 1, LARGE) == len(LARGE)
        (answer,) = await stream.exchange(offer)
        assert scene.told(answer) == ("received", "")
    assert scene.node.inbox() == 101
    assert staged_files(scene.node) == []


def staged_files(node: TestNode) -> list[str]:
    """Names of files in staging."""
    return sorted(path.name for path in (node.data / "blobs" / "staging").iterdir())


@pytest.mark.parametrize("missing", [1, 200_000, len(LARGE)])
async def test_t12_a_transfer_that_ends_early_goes_on_from_what_is_on_disk(
    scene: Scene, missing: int
) -> None:
    letter = scene.peer.letter(LARGE)
    offer = scene.peer.offer(letter)
    there = len(LARGE) - missing
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(offer)
        await connection.transfer(letter, 0, letter.parts[0])
        with pytest.raises(Ended, match="PART_DIGEST_MISMATCH"):
            await connection.transfer(letter, 1, LARGE[:there])
        (need,) = await stream.exchange(offer)
        assert isinstance(need, Need)
        assert [(wanted.index, wanted.offset) for wanted in need.parts] == [(1, there)]
        await scene.good(stream)
        assert await connection.transfer(letter, 1, LARGE[there:]) == len(LARGE)
        (answer,) = await stream.exchange(offer)
        assert scene.told(answer) == ("received", "")


async def test_t12_parts_of_another_index_are_not_taken_for_each_other(scene: Scene) -> None:
    letter = scene.peer.letter(LARGE, LARGE[::-1])
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(letter))
        for index, other in ((1, 2), (2, 1)):
            with pytest.raises(Ended, match="PART_DIGEST_MISMATCH"):
                await connection.transfer(letter, index, letter.parts[other])
        await scene.good(stream)
    assert scene.node.inbox() == 100


@pytest.mark.parametrize("index", [3, 100, 2**31])
async def test_a_part_that_was_not_offered_is_not_taken(scene: Scene, index: int) -> None:
    letter = scene.peer.letter(LARGE)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(letter))
        with pytest.raises(Ended, match="DOCUMENT_UNKNOWN"):
            await connection.transfer(letter, index, LARGE)
        with pytest.raises(Ended, match="DOCUMENT_UNKNOWN"):
            await connection.transfer(scene.peer.letter(), 0, b"x")
        await scene.good(stream)


async def test_an_offer_of_one_agency_is_closed_to_another(scene: Scene) -> None:
    letter = scene.peer.letter(LARGE)
    async with scene.peer.stream() as stream, scene.other("H30").connect() as theirs:
        await stream.exchange(scene.peer.offer(letter))
        with pytest.raises(Ended, match="DOCUMENT_UNKNOWN"):
            await theirs.transfer(letter, 1, LARGE)


async def test_a_part_is_not_sent_twice_by_one_agency_and_never_taken_from_another(
    scene: Scene,
) -> None:
    other = scene.other("H30")

    async def wanted(peer: BadPeer, letter: Letter) -> list[int]:
        async with peer.connect() as connection, connection.stream() as stream:
            (need,) = await stream.exchange(peer.offer(letter))
            assert isinstance(need, Need)
            for item in need.parts:
                await connection.transfer(letter, item.index, letter.parts[item.index])
            (answer,) = await stream.exchange(peer.offer(letter))
            assert scene.told(answer) == ("received", "")
            return [item.index for item in need.parts]

    assert await wanted(scene.peer, scene.peer.letter(LARGE)) == [0, 1]
    assert await wanted(scene.peer, scene.peer.letter(LARGE)) == [0]
    assert await wanted(other, other.letter(LARGE)) == [0, 1]
    assert scene.node.inbox() == 3


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..\\x",
        "..／x",
        "C:\\x",
        "a\x00b",
        "a\nb",
        "a\u202efdp.exe",
        "ế" * 300,
        "x" * 300,
        "con",
        "-rf",
        ".ssh",
        "a/b",
        "a.",
        "",
    ],
)
async def test_t22_an_unsafe_name_never_reaches_the_inbox(scene: Scene, name: str) -> None:
    letter = scene.peer.letter(names=[name])
    data = msgspec.json.encode(letter.envelope, order="sorted")
    async with scene.peer.stream() as stream:
        parcel = Parcel(envelope=scene.peer.seal(data)[0], parts=letter.joined, offer=False)
        (answer,) = await stream.exchange(parcel)
        assert scene.told(answer) in {
            ("rejected", "PART_NAME_UNSAFE"),
            ("refused", "NOT_CANONICAL"),
        }
        assert scene.node.inbox() == 0
        await scene.good(stream)


@pytest.mark.parametrize(
    "twins", [("Báo cáo.pdf", "BÁO CÁO.pdf"), ("a.pdf", "ａ.pdf"), ("straße", "STRASSE")]
)
async def test_t22_names_that_look_alike_never_come_together(
    scene: Scene, twins: tuple[str, str]
) -> None:
    letter = scene.peer.letter(b"1", b"2", names=twins)
    async with scene.peer.stream() as stream:
        (answer,) = await stream.exchange(scene.peer.parcel(letter))
        assert scene.told(answer) == ("rejected", "PART_NAME_UNSAFE")
        assert scene.node.inbox() == 0
        await scene.good(stream)


@pytest.fixture
def sender(tmp_path: Path) -> tuple[TestNode, BadRecipient]:
    """A node of G01, and H29 as a recipient that answers what a test wants."""
    nation = make_nation(free_port())
    port = free_port()
    nation.set_address("H29", f"127.0.0.1:{port}")
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    return node, BadRecipient(nation, nation.agencies["H29"], port)


async def test_t12_after_three_damaged_transfers_a_message_is_held(
    sender: tuple[TestNode, BadRecipient],
) -> None:
    node, recipient = sender
    recipient.transfer_error = PartDigestError
    async with recipient.serve(), running(node):
        held = await node.send(LARGE, to=["H29"])
        await until(lambda: node.state(held.message_id) == "held", within_s=60)
        delivery = await node.delivery(held)
    assert delivery.reason == "PART_DIGEST_MISMATCH"
    assert recipient.transfers == 3
    opened = node.count("SELECT count(*) FROM seal WHERE agency = 'G01' AND seal_index = 0")
    assert opened == 1
    (epoch,) = node.rows("SELECT DISTINCT epoch FROM delivery_envelope")
    assert set(recipient.transfer_epochs) == {bytes(epoch[0])}


async def test_t12_a_part_damaged_on_the_sender_s_disk_is_held_and_never_delivered(
    sender: tuple[TestNode, BadRecipient],
) -> None:
    node, recipient = sender
    async with running(node):
        held = await node.send(LARGE, to=["H29"])
        (blob,) = [path for path in (node.data / "blobs").glob("??/*") if path.is_file()]
        blob.write_bytes(LARGE[:-1] + b"\x00")
        async with recipient.serve():
            await until(lambda: node.state(held.message_id) == "held", within_s=60)
            delivery = await node.delivery(held)
    assert delivery.reason == "STORAGE_DAMAGED"
