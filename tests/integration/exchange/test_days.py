"""A day or hour that does not exist is refused at the door, and stops nobody behind it."""

from typing import Any

from msgspec import structs

from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord, DocumentReference, TraceHop
from edoccore.signing.statements import Urgency
from tests.integration.exchange.conftest import Scene
from tests.support.bad_peer import Letter, now
from tests.support.nation import new_uuid7

NO_DAY, NO_HOUR = "2026-02-31", "2026-02-31T25:00:00.000Z"
BENT: list[dict[str, Any]] = [
    {"due_date": NO_DAY},
    {"issued_date": NO_DAY},
    {"deliver_by": NO_HOUR},
    {"due_date": "9999-12-31"},  # no calendar counts on from there
    {"issued_date": "9999-12-31"},
    {"deliver_by": "9999-12-31T23:59:59.999Z"},
    {"due_date": "0000-01-01"},
    {"references": (DocumentReference(notation="1/QĐ", issued_date=NO_DAY),)},
    {"trace": (TraceHop(agency="H29", time=NO_HOUR),)},
]


def letter(scene: Scene, **fields: Any) -> Letter:
    document_id = new_uuid7(now())
    record = canonical.decode(
        scene.peer.record(document_id), DocumentRecord, limit=canonical.MAX_RECORD_BYTES
    )
    bent = canonical.encode(structs.replace(record, **fields), limit=canonical.MAX_RECORD_BYTES)
    return scene.peer.letter(record=bent, document_id=document_id, urgency=Urgency.HOA_TOC)


async def test_t41_a_day_that_does_not_exist_is_refused_and_the_node_goes_on(scene: Scene) -> None:
    async with scene.peer.stream() as stream:
        for fields in BENT:
            [answer] = await stream.exchange(scene.peer.parcel(letter(scene, **fields)))
            assert scene.told(answer) == ("rejected", "RECORD_INVALID"), fields
        await scene.good(stream)
        kept = letter(scene, due_date="2028-02-29", deliver_by="2026-12-31T23:59:59.999Z")
        [answer] = await stream.exchange(scene.peer.parcel(kept))
        assert scene.told(answer) == ("received", "")
