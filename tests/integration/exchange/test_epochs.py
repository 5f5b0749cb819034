"""Folders that were copied or restored: told by name, nothing lost, nobody accused."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from edoccore.signing.statements import Head, uuid_bytes
from edockit.grpc_client import unix_channel
from edocnet.admin.v1 import admin_service_pb2 as admin_messages
from edocnet.admin.v1 import admin_service_pb2_grpc as admin_services
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2 as offices
from edocnode.domain.exchange import Need
from edocnode.rpc.messages import batch_to_message
from tests.integration.exchange.conftest import Card, Scene
from tests.integration.exchange.test_parts import LARGE
from tests.support.bad_peer import Ended, Stream, now, place
from tests.support.nodes import TestNode, make_pair, running, until
from tests.support.ports import free_port

SEQS = "SELECT epoch, to_node, count(*), count(DISTINCT seq) FROM delivery_envelope GROUP BY 1, 2"


def copy_of(node: TestNode, data: Path) -> TestNode:
    """The same node started from a copy of its folder, at another port."""
    shutil.copytree(node.data, data)
    address = f"127.0.0.1:{free_port()}"
    settings = node.settings.model_copy(update={"listen": address, "advertise": address})
    return TestNode(node.agency, data, settings)


async def takeover(node: TestNode) -> None:
    """Has the operator of a node decide that it speaks for its agency."""
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        stub = admin_services.AdminServiceStub(channel)
        await stub.TakeOver(admin_messages.TakeOverRequest(actor="Trực ban"))


async def test_of_two_copies_the_older_is_refused_stops_and_goes_on_by_takeover(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"before the copy", to=["G01"]))
    copy = copy_of(first, tmp_path / "copy")
    async with running(second, first):
        await first.delivered(await first.send(b"the older speaks", to=["G01"]))
        async with running(copy):
            await copy.delivered(await copy.send(b"the newer speaks", to=["G01"]))
            refused = await first.send(b"the older is refused", to=["G01"])
            await until(lambda: "EPOCH_SUPERSEDED" in first.alarms())
            await until(lambda: first.state(refused.message_id) != "sending")
            sealed = first.count("SELECT count(*) FROM seal WHERE agency = 'H29'")
            kept = await first.send(b"kept and not sealed", to=["G01"])
            await copy.delivered(await copy.send(b"the newer goes on", to=["G01"]))
            assert first.state(kept.message_id) == "unsealed"
            assert first.count("SELECT count(*) FROM seal WHERE agency = 'H29'") == sealed
        await first.stop()
        await first.start()
        await until(lambda: "EPOCH_SUPERSEDED" in first.alarms())
        assert first.state(kept.message_id) == "unsealed"
        await takeover(first)
        await first.delivered(refused, kept)
        await until(lambda: "EPOCH_SUPERSEDED" not in first.alarms())
        assert second.inbox() == 6
        assert "TWO_HISTORIES" not in second.alarms() | first.alarms()


async def test_whoever_took_over_greets_at_once_and_is_given_back_what_the_other_copy_sent(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"before the copy", to=["G01"]))
    copy = copy_of(first, tmp_path / "copy")
    async with running(second, first):
        async with running(copy):
            sent = await copy.send(b"the newer speaks", to=["G01"])
            await copy.delivered(sent)
            refused = await first.send(b"the older is refused", to=["G01"])
            await until(lambda: "EPOCH_SUPERSEDED" in first.alarms())
            await until(lambda: first.state(refused.message_id) != "sending")
        # From now on neither has anything to send to the other.
        first.write("UPDATE delivery SET state = 'held' WHERE state <> 'delivered'")
        await takeover(first)
        await first.delivered(sent)


async def test_an_older_start_is_refused_streams_and_shown_the_newer_opening(scene: Scene) -> None:
    peer = scene.peer
    older, epoch = peer.opening, peer.agency.epoch
    async with peer.connect() as connection, connection.stream() as stream:
        await scene.good(stream)
        newer = peer.open_epoch()
        await connection.say_hello()
        ended = await stream.refused(
            messages.DeliverRequest(batch=batch_to_message([peer.parcel(peer.letter())]))
        )
        assert ended.reason == "EPOCH_SUPERSEDED"
        told = await connection.say_hello(opening=older)
        assert told.known_opening == newer
        async with connection.stream(opening=older) as refused:
            assert (await refused.refused()).reason == "EPOCH_SUPERSEDED"
        async with connection.stream() as goes_on:
            letter = peer.letter(epoch=epoch)
            late = msgspec.structs.replace(
                peer.parcel(letter), envelope=peer.seal(letter.data, epoch=epoch)[0]
            )
            (answer,) = await goes_on.exchange(late)
            assert scene.told(answer) == ("try_later", "EPOCH_SUPERSEDED")
            await scene.good(goes_on)
    assert scene.node.inbox() == 200


async def test_an_older_start_pushes_no_bytes_of_a_part(scene: Scene) -> None:
    peer, letter = scene.peer, scene.peer.letter(LARGE)
    older = uuid_bytes(peer.agency.epoch)
    async with peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(peer.offer(letter))
        under_way = Stream(connection.call("Transfer"))
        await under_way.write(place(letter, 1, epoch=older))
        await under_way.read()
        await under_way.write(messages.TransferRequest(chunk=LARGE[:1000]))
        await under_way.read()
        peer.open_epoch()
        await connection.say_hello()
        ended = await under_way.refused(messages.TransferRequest(chunk=LARGE[1000:]))
        assert ended.reason == "EPOCH_SUPERSEDED"
        with pytest.raises(Ended, match="EPOCH_SUPERSEDED"):
            await connection.transfer(letter, 0, letter.parts[0], epoch=older)
        with pytest.raises(Ended, match="REQUEST_INVALID"):
            await connection.transfer(letter, 0, letter.parts[0], epoch=older + b"x")
    await scene.node.stop()
    await scene.node.start()  # which must not forget the newer start
    peer.address = scene.node.address
    async with peer.connect() as connection:
        with pytest.raises(Ended, match="EPOCH_SUPERSEDED"):
            await connection.transfer(letter, 1, LARGE[1000:], epoch=older)
        async with connection.stream() as stream:
            (need,) = await stream.exchange(peer.offer(letter))
            assert isinstance(need, Need)
            assert [(item.index, item.offset) for item in need.parts] == [(0, 0), (1, 1000)]
            await connection.transfer(letter, 0, letter.parts[0])
            await connection.transfer(letter, 1, LARGE[1000:])
            (answer,) = await stream.exchange(peer.offer(letter))
            assert scene.told(answer) == ("received", "")


async def test_a_restored_folder_is_told_as_lost_tail_and_gets_back_what_it_lost(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"old", to=["G01"]))
        await second.delivered(await second.send(b"old", to=["H29"]))
    yesterday = second.backup(tmp_path / "yesterday")
    async with running(first, second):
        there = [await first.send(f"{i}".encode(), to=["G01"]) for i in range(20)]
        large = await first.send(bytes(400_000), to=["G01"])
        back = [await second.send(f"{i}".encode(), to=["H29"]) for i in range(15)]
        await first.delivered(*there, large)
        await second.delivered(*back)
        assert second.inbox() == 22
    second.restore(yesterday)
    async with running(first, second):
        await until(lambda: second.inbox() == 22, within_s=60)
        lost = [item.message_id for item in back]
        marks = ",".join("?" * len(lost))
        query = f"SELECT count(*) FROM delivery WHERE message_id IN ({marks}) AND state = ?"
        await until(lambda: second.count(query, *lost, "delivered") == 15, within_s=60)
        async with second.office() as office:
            shown = await office.ListOutbox(offices.ListOutboxRequest(limit=100))
        assert {item.message_id for item in back} <= {
            delivery.message_id for item in shown.documents for delivery in item.deliveries
        }
        await until(lambda: "TAIL_LOST" not in first.alarms())
        await until(lambda: "OWN_TAIL_LOST" not in second.alarms())
        news = [await second.send(b"new", to=["H29"]) for _ in range(5)]
        await second.delivered(*news)
        await first.delivered(*[await first.send(b"new", to=["G01"]) for _ in range(5)])
        assert (first.inbox(), second.inbox()) == (21, 27)
        assert "TWO_HISTORIES" not in first.alarms() | second.alarms()
        for node in (first, second):
            assert all(count == distinct for _, _, count, distinct in node.rows(SEQS))


async def test_a_lost_tail_is_still_told_when_both_sides_start_again_before_it_is_given_back(
    scene: Scene,
) -> None:
    peer = scene.peer
    async with peer.stream() as stream:
        await scene.good(stream, 1)
    restored = peer.open_epoch()  # goes on from nothing
    async with peer.connect() as connection:
        assert (await connection.say_hello()).tail_lost
    peer.open_epoch(previous=Head(epoch=peer.agency.epoch, size=1, root="0" * 64))
    await scene.node.stop()
    await scene.node.start()
    peer.address = scene.node.address
    async with peer.connect() as connection:
        # To give back nothing now would be believed: what was lost would stay lost.
        with pytest.raises(Ended, match="HELLO_MISSING"):
            await connection.recover()
        assert (await connection.say_hello(earlier=(restored,))).tail_lost
        assert len(await connection.recover()) == 1
    await until(lambda: "TAIL_LOST" in scene.node.alarms())


async def test_a_lost_tail_is_told_though_what_came_since_hides_the_opening_that_left_it_out(
    scene: Scene,
) -> None:
    peer = scene.peer
    async with peer.stream() as stream:
        await scene.good(stream, 3)
    restored = peer.open_epoch()  # goes on from nothing
    async with peer.connect() as connection, connection.stream(opening=None) as stream:
        await scene.good(stream, 1)  # its sealer was not open yet when it said hello
    peer.open_epoch(previous=Head(epoch=peer.agency.epoch, size=9, root="0" * 64))
    async with peer.connect() as connection:
        assert (await connection.say_hello(earlier=(restored,))).tail_lost
        assert len(await connection.recover()) == 3
    await until(lambda: "TAIL_LOST" in scene.node.alarms())


async def test_who_is_restored_twice_gets_back_what_either_restore_lost(scene: Scene) -> None:
    peer = scene.peer
    async with peer.stream() as stream:
        await scene.good(stream, 3)
    restored = peer.open_epoch()  # goes on from nothing
    async with peer.connect() as connection:
        assert (await connection.say_hello()).tail_lost
        async with connection.stream() as stream:  # and does not fetch what it lost
            await scene.good(stream, 2)
    peer.open_epoch(previous=Head(epoch=peer.agency.epoch, size=1, root="0" * 64))
    async with peer.connect() as connection:
        assert (await connection.say_hello(earlier=(restored,))).tail_lost
        assert len(await connection.recover()) == 5


async def test_who_is_restored_twice_gets_all_back_though_its_clock_was_ahead_between(
    scene: Scene,
) -> None:
    peer, hour = scene.peer, timedelta(hours=1)
    async with peer.stream() as stream:
        await scene.good(stream, 3)
    first = Head(epoch=peer.agency.epoch, size=4, root="0" * 64)
    peer.open_epoch(at=now() + hour / 20, previous=first)
    async with peer.stream() as stream:
        await scene.good(stream, 2)
    restored = peer.open_epoch()  # goes on from nothing, and looks like another copy
    async with peer.connect() as connection:
        assert not (await connection.say_hello()).tail_lost
    previous = Head(epoch=peer.agency.epoch, size=1, root="0" * 64)
    peer.open_epoch(at=now() + hour / 15, previous=previous)  # its operator took over
    async with peer.connect() as connection:
        assert (await connection.say_hello(earlier=(restored,))).tail_lost
        assert len(await connection.recover()) == 5


async def test_what_a_restored_folder_lost_is_told_while_it_is_given_back(tmp_path: Path) -> None:
    """The peer alarms from the first hello, also when the restored node never asks."""
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"old", to=["G01"]))
    yesterday = second.backup(tmp_path / "yesterday")
    async with running(first, second):
        await first.delivered(await first.send(b"lost", to=["G01"]))
    first_rows = first.count("SELECT count(*) FROM receipt_got")
    second.restore(yesterday)
    async with running(first, second):
        await until(lambda: second.inbox() == 2, within_s=60)
        await until(lambda: first.count("SELECT count(*) FROM receipt_got") > first_rows)
        assert "TWO_HISTORIES" not in first.alarms() | second.alarms()


async def test_a_backup_taken_before_a_clean_restart_is_not_accused(tmp_path: Path) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"old", to=["G01"]))
    backup = second.backup(tmp_path / "backup")
    async with running(first, second):
        await first.delivered(await first.send(b"after", to=["G01"]))
    async with running(first, second):
        pass
    second.restore(backup)
    async with running(first, second):
        await until(lambda: second.inbox() == 2, within_s=60)
        await first.delivered(await first.send(b"new", to=["G01"]))
        alarms = first.alarms() | second.alarms()
        assert not {"TWO_HISTORIES", "EPOCH_SUPERSEDED", "MESSAGE_CONFLICT"} & alarms.keys()


async def test_a_restored_sender_adopts_what_its_recipient_had_received(
    tmp_path: Path,
    card: type[Card],
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"before", to=["G01"]))
        card.pulled = True
        sent = await first.send(b"kept, not sealed", to=["G01"])
        await first.stop()
        backup = first.backup(tmp_path / "backup")
        card.pulled = False
        await first.start()
        await first.delivered(sent)
        (before,) = first.rows(
            "SELECT data FROM delivery_envelope WHERE message_id = ?", sent.message_id
        )
        await second.stop()
        await first.stop()
        first.restore(backup)
        await first.start()
        await until(lambda: first.state(sent.message_id) != "unsealed")
        await second.start()
        await first.delivered(sent)
        envelopes = first.rows(
            "SELECT data FROM delivery_envelope WHERE message_id = ? ORDER BY rank",
            sent.message_id,
        )
    assert envelopes[-1] == before
    assert len(envelopes) == 2
    assert second.inbox() == 2
    assert second.count("SELECT count(*) FROM incoming") == 2


@pytest.mark.parametrize("restarts", [3])
async def test_restarts_of_both_sides_lose_and_double_nothing(
    tmp_path: Path, restarts: int
) -> None:
    _, first, second = make_pair(tmp_path)
    sent = []
    for _ in range(restarts):
        async with running(first):
            sent += [await first.send(b"to nobody yet", to=["G01"]) for _ in range(5)]
        async with running(second):
            await asyncio.sleep(0)
    async with running(first, second):
        await first.delivered(*sent)
    assert second.inbox() == len(sent)
    assert second.count("SELECT count(*) FROM incoming") == len(sent)


async def test_the_alarm_about_a_missing_signer_ends_also_after_a_restart(
    tmp_path: Path, card: type[Card]
) -> None:
    _, first, _ = make_pair(tmp_path)
    async with running(first):
        card.pulled = True
        await first.send(b"kept, not sealed", to=["G01"])
        await until(lambda: "SEALER_STOPPED" in first.alarms())
    card.pulled = False
    async with running(first):
        await until(lambda: "SEALER_STOPPED" not in first.alarms())
