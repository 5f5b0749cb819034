"""Revocations of peers that mean no good: nobody takes back what another agency sent."""

from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest

from edoccore.signing import canonical
from edoccore.signing.records import RevocationRecord
from edoccore.signing.statements import REVOCATION_MEDIA_TYPE, Operation, time_text
from tests.integration.exchange.conftest import Scene
from tests.support.bad_peer import BadPeer, Letter, now, part
from tests.support.nation import new_uuid7
from tests.support.nodes import until

REASON = "Ban hành nhầm phụ lục số 2"


def revocation(
    peer: BadPeer,
    document_id: str,
    envelope: str,
    *,
    reason: str = REASON,
    time: str = "",
    **changes: object,
) -> Letter:
    """A letter that takes a document back."""
    record = canonical.encode(
        RevocationRecord(
            network=peer.nation.network,
            document_id=document_id,
            envelope=envelope,
            actor="Lan",
            reason=reason,
            time=time or time_text(now()),
        )
    )
    parts = (part(0, "record.json", record, media_type=REVOCATION_MEDIA_TYPE),)
    values = {
        "operation": Operation.REVOKE,
        "document_id": document_id,
        "about": envelope,
        "parts": parts,
    }
    return replace(peer.letter(record=record, **(values | changes)), parts=(record,))


async def told(scene: Scene, peer: BadPeer, *letters: Letter) -> list[tuple[str, str]]:
    async with peer.stream() as stream:
        answers = [(await stream.exchange(peer.parcel(letter)))[0] for letter in letters]
    return [scene.told(answer) for answer in answers]


async def answered(scene: Scene, count: int) -> None:
    """Waits until so many revocations were answered."""
    query = "SELECT count(*) FROM revocation WHERE state = 'agreed'"
    await until(lambda: scene.node.count(query) == count)


async def test_another_agency_cannot_take_a_document_back_by_its_id_and_envelope(
    scene: Scene,
) -> None:
    letter, attacker = scene.peer.letter(), scene.other()
    digest = sha256(letter.data).hexdigest()
    document_id = letter.envelope.document_id
    assert await told(scene, scene.peer, letter) == [("received", "")]
    attack = revocation(attacker, document_id, digest)
    assert await told(scene, attacker, attack) == [("received", "")]
    await answered(scene, 1)  # as for a document that never came: nobody learns what is here
    assert scene.node.rows("SELECT state FROM inbox") == [("received",)]
    assert scene.node.count("SELECT count(*) FROM destroyed") == 0
    assert await told(scene, scene.peer, revocation(scene.peer, document_id, digest)) == [
        ("received", "")
    ]
    await answered(scene, 2)
    assert scene.node.rows("SELECT state FROM inbox") == [("revoked",)]


async def test_answer_to_a_stranger_blocks_no_step_of_the_real_document(scene: Scene) -> None:
    letter, attacker = scene.peer.letter(), scene.other()
    digest = sha256(letter.data).hexdigest()
    await told(scene, scene.peer, letter)
    await told(scene, attacker, revocation(attacker, letter.envelope.document_id, digest))
    await answered(scene, 1)
    await told(scene, scene.peer, revocation(scene.peer, letter.envelope.document_id, digest))
    await answered(scene, 2)
    requests = scene.node.rows("SELECT request_id FROM document ORDER BY id")
    assert len(set(requests)) == 2


async def test_taking_back_a_status_or_what_never_was_destroys_nothing(scene: Scene) -> None:
    letter = scene.peer.letter()
    await told(scene, scene.peer, letter)
    nothing = revocation(scene.peer, new_uuid7(now()), sha256(b"a status").hexdigest())
    assert await told(scene, scene.peer, nothing) == [("received", "")]
    await answered(scene, 1)
    assert scene.node.rows("SELECT state FROM inbox") == [("received",)]


async def test_two_revocations_of_one_document_are_both_answered_in_order(scene: Scene) -> None:
    letter = scene.peer.letter()
    digest = sha256(letter.data).hexdigest()
    document_id = letter.envelope.document_id
    await told(scene, scene.peer, letter)
    twice = [revocation(scene.peer, document_id, digest) for _ in range(2)]
    await told(scene, scene.peer, *twice)
    await answered(scene, 2)
    steps = scene.node.rows("SELECT step_order, step, state FROM step ORDER BY id")
    assert steps == [(1, "agreed", "revoked"), (2, "agreed", "revoked")]


async def test_document_and_its_revocation_in_one_batch_leave_nothing_to_read(
    scene: Scene,
) -> None:
    letter = scene.peer.letter()
    digest = sha256(letter.data).hexdigest()
    revoked = revocation(scene.peer, letter.envelope.document_id, digest)
    async with scene.peer.stream() as stream:
        answers = await stream.exchange(*scene.peer.parcels(revoked, letter))
        assert {scene.told(answer) for answer in answers} == {("received", "")}
    await answered(scene, 1)
    inline = scene.node.rows("SELECT inline FROM incoming WHERE operation = 'new'")
    assert inline == [(b"",)]
    shown = scene.node.rows("SELECT state, subject, search FROM inbox")
    assert shown in ([], [("revoked", "", "")])


async def test_same_revocation_again_gets_the_same_answer(scene: Scene) -> None:
    letter = revocation(scene.peer, new_uuid7(now()), sha256(b"envelope").hexdigest())
    parcel = scene.peer.parcel(letter)
    async with scene.peer.stream() as stream:
        (first,) = await stream.exchange(parcel)
        (second,) = await stream.exchange(parcel)
    assert first == second
    assert scene.node.count("SELECT count(*) FROM revocation") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "Nhầm"},
        {"reason": " " * 12},
        {"time": "2026-02-31T08:00:00.000Z"},
        {"about": sha256(b"another").hexdigest()},
        {"document_id": "019a2b3c-4d5e-7f60-8a1b-000000000002"},
        {"operation": Operation.NEW},
    ],
    ids=["short reason", "blank reason", "no such day", "other envelope", "other id", "as a new"],
)
async def test_revocation_that_says_less_than_it_must_is_rejected(
    scene: Scene, changes: dict[str, object]
) -> None:
    said = {name: changes[name] for name in ("reason", "time") if name in changes}
    letter = revocation(scene.peer, new_uuid7(now()), sha256(b"envelope").hexdigest(), **said)
    bent = {name: value for name, value in changes.items() if name not in said}
    letter = replace(letter, envelope=msgspec.structs.replace(letter.envelope, **bent))
    assert await told(scene, scene.peer, letter) == [("rejected", "RECORD_INVALID")]
    assert scene.node.count("SELECT count(*) FROM revocation") == 0
