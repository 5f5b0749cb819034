"""What the sealer takes and gives: one journal, fenced by its epoch."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from edoccore.errors import EpochSupersededError, JournalBrokenError
from edoccore.signing.merkle import leaf_hash, root_of
from edoccore.signing.statements import Urgency
from edockit.database import Database
from edocnode.domain.model import Lane
from edocnode.domain.sealing import OwnStatement
from edocnode.storage.listing import encode_parts
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, arrival, submission


def rows(database: Database, query: str) -> Sequence[Any]:
    return database.read(lambda connection: connection.execute(sa.text(query)).all())


def change(database: Database, query: str) -> None:
    database.write(lambda connection: connection.execute(sa.text(query))).result(60)


async def test_the_head_is_computed_from_the_stored_seals(store: NodeStore, office: Office) -> None:
    assert await store.last_head("H29") is None
    await office.open()
    for _ in range(5):
        await store.submit(submission())
        await office.seal_all()
    head = await store.last_head("H29")
    assert head is not None
    assert (head.epoch, head.size) == (office.state.epoch, 6)
    assert head.root == root_of([leaf_hash(seal.data) for seal in office.seals])
    assert head.root == office.state.frontier.root()
    await office.open()
    newer = await store.last_head("H29")
    assert newer is not None
    assert (newer.epoch, newer.size) == (office.state.epoch, 1)
    assert newer.epoch > head.epoch


async def test_a_missing_seal_inside_the_journal_is_told(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    for _ in range(3):
        await store.submit(submission())
        await office.seal_all()
    change(database, "DELETE FROM seal WHERE seal_index = 1")
    with pytest.raises(JournalBrokenError, match="Seal 1 "):
        await store.last_head("H29")


async def test_only_the_newest_epoch_commits(store: NodeStore, office: Office) -> None:
    old = Office("H29", store)
    await old.open()
    await store.submit(submission())
    late, _ = old.word(await store.unsealed(10))
    await office.open(NOW)
    with pytest.raises(EpochSupersededError) as caught:
        await store.commit_seal(late)
    assert caught.value.fields["agency"] == "H29"
    assert len((await store.unsealed(10)).envelopes) == 1  # nothing of it was committed
    await office.seal_all()
    with pytest.raises(EpochSupersededError):
        await store.open_epoch("H29", old.state.epoch, NOW)
    await store.open_epoch("H29", office.state.epoch, NOW)  # its own again


async def test_nothing_is_committed_without_a_lease(store: NodeStore) -> None:
    stray = Office("H29")
    with pytest.raises(EpochSupersededError):
        await store.commit_seal(stray.seal())


async def test_a_place_in_the_journal_is_used_once(store: NodeStore, office: Office) -> None:
    await office.open()
    await store.submit(submission())
    commit, _ = office.word(await store.unsealed(10))
    assert await store.commit_seal(commit) is True
    await store.submit(submission())
    other, _ = office.word(await store.unsealed(10))
    with pytest.raises(JournalBrokenError):
        await store.commit_seal(other)
    assert len((await store.unsealed(10)).envelopes) == 1


async def test_seqs_run_on_across_epochs_by_recipient_node(
    store: NodeStore, office: Office, database: Database
) -> None:
    for _ in range(2):
        await office.open()
        await store.submit(submission(to=["G01", "H30"]))
        await store.submit(submission(to=["G01"]))
        await office.seal_all()
    assert await store.last_seqs("H29") == {"G01": 4, "H30": 2}
    assert await store.last_seqs("G01") == {}
    given = rows(database, "SELECT to_node, seq FROM delivery_envelope ORDER BY to_node, seq")
    assert [tuple(row) for row in given] == [
        ("G01", 1),
        ("G01", 2),
        ("G01", 3),
        ("G01", 4),
        ("H30", 1),
        ("H30", 2),
    ]


async def test_what_waits_comes_urgent_first_and_each_kind_gets_its_share(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = [submission(urgency=urgency) for urgency in (Urgency.NORMAL, Urgency.HOA_TOC)]
    made += [submission() for _ in range(8)]
    for each in made:
        await store.submit(each)
    for urgency in (Urgency.NORMAL, Urgency.KHAN, *[Urgency.NORMAL] * 8):
        item = submission("G01", ["H29"], urgency=urgency)
        await store.keep([arrival(peer.envelope(item), item.inline)])
    waiting = await store.unsealed(10)
    assert (len(waiting.envelopes), len(waiting.receipts)) == (5, 5)
    assert waiting.envelopes[0].message_id == made[1].deliveries[0].message_id
    assert waiting.envelopes[1].message_id == made[0].deliveries[0].message_id
    assert encode_parts(waiting.envelopes[0].parts) == encode_parts(made[1].parts)
    assert [item.incoming_id for item in waiting.receipts] == [2, 1, 3, 4, 5]
    waiting = await store.unsealed(100)
    assert (len(waiting.envelopes), len(waiting.receipts)) == (10, 10)


async def test_what_waits_for_one_node_holds_up_no_other(store: NodeStore) -> None:
    await store.submit_many([submission(to=["G01"]) for _ in range(30)])
    late = submission(to=["H30"])
    await store.submit(late)
    waiting = (await store.unsealed(10)).envelopes
    assert [item.to_node for item in waiting].count("G01") == 9
    assert late.deliveries[0].message_id in {item.message_id for item in waiting}


async def test_more_nodes_than_places_are_served_in_turn_and_each_in_order(
    store: NodeStore,
) -> None:
    nodes = [f"H{number}" for number in range(10, 25)]
    made = [submission(to=nodes) for _ in range(3)]
    await store.submit_many(made)
    looked_up_to: dict[Lane, str] = {}
    served = []
    for _ in range(2):
        waiting = (await store.unsealed(10, looked_up_to)).envelopes
        assert len(waiting) == 10
        served += [item.to_node for item in waiting]
        for node in set(nodes):
            in_order = [each.deliveries[nodes.index(node)].message_id for each in made]
            got = [item.message_id for item in waiting if item.to_node == node]
            assert got == in_order[: len(got)]
    assert set(served) == set(nodes)


async def test_effects_wait_for_their_place_in_the_journal(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    ids = [await store.add_effect(bytes([number]) * 16, b"effect") for number in range(3)]
    waiting = await store.unsealed(2)
    assert [item.effect_id for item in waiting.effects] == ids[:2]
    commit = await office.seal_all()
    assert (await store.unsealed(10)).effects == ()
    stored = rows(database, "SELECT id, leaf, proof FROM effect ORDER BY id")
    assert [(row.id, row.leaf) for row in stored] == [(ids[n], n) for n in range(3)]
    assert bytes(stored[2].proof) == b"".join(commit.effects[2].proof)


async def test_the_newest_statement_about_oneself_is_found_with_its_seal(
    store: NodeStore, office: Office
) -> None:
    assert await store.own_statement("endpoint") is None
    await office.open()
    for data in (b'{"one":1}', b'{"two":2}'):
        own = OwnStatement(kind="endpoint", data=data)
        commit = office.seal(owns=[own])
        await store.commit_seal(commit)
    newest = await store.own_statement("endpoint")
    assert newest is not None
    assert (newest.statement, newest.seal) == (b'{"two":2}', commit.seal)
    epoch = await store.own_statement("epoch")
    assert epoch is not None
    assert epoch == office.opened


async def test_a_seal_of_a_thousand_statements_is_committed_whole(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    for _ in range(2):
        await store.submit(submission(to=["G01"] * 350))
    batch = []
    for _ in range(600):
        item = submission("G01", ["H29"])
        batch.append(arrival(peer.envelope(item), item.inline))
    kept = await store.keep(batch)
    await office.seal_all()
    assert len(await store.receipts([item.known.incoming_id for item in kept])) == 600
    assert len(await store.due("G01", NOW, 1000)) == 700
