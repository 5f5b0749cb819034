"""Documents go from the office to the peer without being read from the database again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edocnode.domain.model import QueuedDelivery
from edocnode.storage.outbox import SqlOutbox
from edocnode.storage.sealing import SqlSealerStore
from tests.support.nodes import Sent, make_pair, running

DOCUMENTS = 10


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """Message ids of all that looks at the queue have found."""
    look, ids = SqlOutbox.due, set[bytes]()

    async def due(self: SqlOutbox, *args: Any) -> Sequence[QueuedDelivery]:
        items = await look(self, *args)
        ids.update(item.message_id for item in items)
        return items

    monkeypatch.setattr(SqlOutbox, "due", due)
    return ids


async def test_what_was_just_sealed_is_sent_without_being_read_again(
    tmp_path: Path, found: set[bytes]
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"finds the peer", to=["G01"]))
        found.clear()
        sent = [await _delivered(first, b"%d" % number) for number in range(DOCUMENTS)]
        assert second.inbox() == DOCUMENTS + 1
    # Once a second the queue is looked at all the same, and may hold one of them just then.
    assert len(found & _ids(*sent)) < DOCUMENTS


async def test_what_is_not_queued_as_it_was_worded_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: set[bytes]
) -> None:
    """As when a peer gave an older envelope of the same message back meanwhile."""
    commit_seal = SqlSealerStore.commit_seal

    async def unsure(self: SqlSealerStore, commit: Any) -> bool:
        await commit_seal(self, commit)
        return False

    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"finds the peer", to=["G01"]))
        monkeypatch.setattr(SqlSealerStore, "commit_seal", unsure)
        sent = await _delivered(first, b"read again")
    assert found >= _ids(sent)


async def _delivered(node: Any, content: bytes) -> Sent:
    sent: Sent = await node.send(content, to=["G01"])
    await node.delivered(sent)
    return sent


def _ids(*sent: Sent) -> set[bytes]:
    return {message_id for item in sent for message_id in item.message_ids}
