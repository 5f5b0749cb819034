"""A node is put back to yesterday, or runs twice: told as what it is, repaired, nobody accused."""

from pathlib import Path

import pytest

from tests.support.audit import read
from tests.support.documents import APPENDIX, DECISION
from tests.support.network import HA_TINH, NOI_VU, Node, waited_for

SUBJECT = ("--subject", "Thử khôi phục")
WAIT = ("--wait", "60")
ACCUSATIONS = {"TWO_HISTORIES", "EPOCH_SUPERSEDED", "JOURNAL_BROKEN"}
TOLD_OF_LOSS = {"TAIL_LOST", "OWN_TAIL_LOST"}
GIVEN = "SELECT message_id, epoch, seq FROM delivery_envelope"


def delivered(node: Node, to: str, file: Path = DECISION) -> str:
    """Sends a document, waits for its receipt and returns its id."""
    sent = node.done("send", file, "--to", to, *SUBJECT, *WAIT)
    assert sent["deliveries"][0]["state"] == "delivered"
    return str(sent["document_id"])


def seqs(node: Node) -> dict[tuple[bytes, int], bytes]:
    """The message of each place among the envelopes of a node."""
    return {(bytes(row.epoch), row.seq): bytes(row.message_id) for row in read(node, GIVEN)}


def check_nobody_accused(*nodes: Node) -> None:
    """No alarm about tampering or a second copy, and both journals hold."""
    for node in nodes:
        assert not ACCUSATIONS & node.alarms().keys()
        assert node.done("journal", "verify")["seals"] > 0


@pytest.mark.parametrize("starts_unseen", [0, 2])
def test_data_folder_of_yesterday_is_told_as_a_lost_tail_and_repaired(
    network, tmp_path, starts_unseen
):
    restored, peer = network[HA_TINH], network[NOI_VU]
    kept_out = delivered(restored, NOI_VU)
    kept_in = delivered(peer, HA_TINH)
    restored.stop()
    yesterday = restored.copy_folder(tmp_path / "yesterday")
    restored.start()
    lost_out = delivered(restored, NOI_VU, APPENDIX)
    lost_in = [delivered(peer, HA_TINH), delivered(peer, HA_TINH, APPENDIX)]
    restored.stop()
    given_before = seqs(restored)
    restored.restore_folder(yesterday)
    if starts_unseen:  # the peer sees only a later epoch, which continues the unseen one
        peer.stop()
        restored.start()
        waited_for(lambda: restored.status()["sealer"]["sealing"])
        restored.stop()
        peer.start()
    restored.start()

    waited_for(lambda: len(restored.received()) == 3, what="what was acknowledged and lost")
    assert restored.received() == sorted([kept_in, *lost_in])
    waited_for(lambda: restored.events("own.tail_lost"), what="word of its own loss")
    assert {event["told_by"] for event in restored.events("own.tail_lost")} == {NOI_VU}
    waited_for(lambda: peer.events("peer.tail_lost"), what="the peer's word of it")
    assert [event["agency"] for event in peer.events("peer.tail_lost")] == [HA_TINH]
    waited_for(lambda: lost_out in restored.sent(), what="what the peer gives back")
    waited_for(lambda: restored.delivery(lost_out)["state"] == "delivered", what="its receipt")
    assert restored.delivery(kept_out)["state"] == "delivered"
    assert peer.received() == sorted([kept_out, lost_out])

    new = delivered(restored, NOI_VU)
    delivered(peer, HA_TINH)
    assert peer.received() == sorted([kept_out, lost_out, new])
    given = seqs(restored)
    assert all(given[place] == given_before[place] for place in given.keys() & given_before.keys())
    waited_for(lambda: not TOLD_OF_LOSS & (restored.alarms() | peer.alarms()).keys())
    check_nobody_accused(restored, peer)


def test_backup_from_before_a_clean_restart_is_not_accused(network, tmp_path):
    restored, peer = network[HA_TINH], network[NOI_VU]
    delivered(restored, NOI_VU)
    restored.stop()
    backup = restored.copy_folder(tmp_path / "backup")
    restored.start()
    waited_for(lambda: restored.run("ping", NOI_VU).code == 0, what="the peer answers")
    restored.stop()
    restored.restore_folder(backup)
    restored.start()
    delivered(restored, NOI_VU)
    delivered(peer, HA_TINH)
    check_nobody_accused(restored, peer)


def test_older_of_two_running_copies_stops_sealing_until_it_takes_over(network, tmp_path):
    older, peer = network[HA_TINH], network[NOI_VU]
    delivered(older, NOI_VU)
    older.stop()
    folder = older.copy_folder(tmp_path / "copy")
    older.start()
    delivered(older, NOI_VU)
    newer = network.copy_of(older, folder, "H29-copy").start()
    delivered(newer, NOI_VU)

    waiting = older.done("send", DECISION, "--to", NOI_VU, *SUBJECT)["document_id"]
    waited_for(lambda: not older.status()["sealer"]["sealing"], what="the older copy to stop")
    for _ in range(2):
        waited_for(lambda: older.status()["sealer"]["reason"] == "EPOCH_SUPERSEDED")
        told = waited_for(lambda: older.alarms().get("EPOCH_SUPERSEDED"), what="the alarm")
        assert "edocnode takeover --yes" in told
        assert older.delivery(waiting)["state"] in {"queued", "sending"}
        older.restart()  # which changes nothing
    assert newer.status()["sealer"]["sealing"]
    assert older.run("takeover").error == (2, "REQUEST_INVALID")

    newer.stop()
    assert older.done("takeover", "--yes")["epoch"]
    waited_for(lambda: older.delivery(waiting)["state"] == "delivered")
    delivered(peer, HA_TINH)
    waited_for(lambda: "EPOCH_SUPERSEDED" not in older.alarms(), what="the end of the alarm")
    assert peer.received().count(waiting) == 1
    for node in (older, peer):
        assert node.done("journal", "verify")["seals"] > 0
