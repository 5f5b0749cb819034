"""A status counts only for what was sent to its sender, and seals wait for a newer directory."""

from dataclasses import replace
from hashlib import sha256
from uuid import UUID

import msgspec

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState, StatusRecord, StatusStep
from edoccore.signing.statements import (
    STATUS_MEDIA_TYPE,
    DirectoryMark,
    Operation,
    time_text,
)
from tests.integration.exchange.conftest import Scene
from tests.support.bad_peer import Letter, now, part
from tests.support.nation import new_uuid7

DIGEST = sha256(b"an envelope").hexdigest()


def status(scene: Scene, about: str, *, envelope: str, time: str = "", **changes: object) -> Letter:
    """A letter of H29 that calls a document rejected."""
    record = canonical.encode(
        StatusRecord(
            network=scene.nation.network,
            document_id=about,
            envelope=envelope,
            step=StatusStep.REJECTED,
            state=DocumentState.REJECTED,
            order=1,
            actor="H29",
            time=time or time_text(now()),
        )
    )
    parts = (part(0, "record.json", record, media_type=STATUS_MEDIA_TYPE),)
    values = {"operation": Operation.STATUS, "document_id": about, "about": DIGEST}
    letter = scene.peer.letter(record=record, **(values | {"parts": parts} | changes))
    return replace(letter, parts=(record,))


async def test_a_status_of_an_agency_that_was_sent_nothing_is_no_event_of_the_document(
    scene: Scene,
) -> None:
    sent = await scene.node.send(b"for H30 alone", to=["H30"])
    letter = status(scene, str(UUID(bytes=sent.document_id)), envelope=DIGEST)
    async with scene.peer.stream() as stream:
        (answer,) = await stream.exchange(scene.peer.parcel(letter))
        assert scene.told(answer) == ("received", "")
    query = "SELECT count(*) FROM event WHERE document_id = ?"
    assert scene.node.count(query, sent.document_id) == 0


async def test_a_status_speaks_of_the_document_and_envelope_that_its_envelope_names(
    scene: Scene,
) -> None:
    document_id = new_uuid7(now())
    other = sha256(b"another").hexdigest()
    async with scene.peer.stream() as stream:
        for letter in (
            status(scene, document_id, envelope=other),
            status(scene, document_id, envelope=DIGEST, document_id=new_uuid7(now())),
        ):
            (answer,) = await stream.exchange(scene.peer.parcel(letter))
            assert scene.told(answer) == ("rejected", "RECORD_INVALID")


async def test_a_status_of_a_moment_that_does_not_exist_is_rejected(scene: Scene) -> None:
    """The sealer reads the moment when it shows the status: it must not stop at it."""
    letter = status(scene, new_uuid7(now()), envelope=DIGEST, time="2026-02-31T08:00:00.000Z")
    async with scene.peer.stream() as stream:
        (answer,) = await stream.exchange(scene.peer.parcel(letter))
        assert scene.told(answer) == ("rejected", "RECORD_INVALID")


async def test_a_seal_by_a_certificate_of_a_newer_directory_waits_for_it(scene: Scene) -> None:
    letter = scene.peer.letter()
    parcel = scene.peer.parcel(letter)
    agency = scene.nation.agencies["H29"]
    scene.nation.replace_seal("H29")
    newer = scene.directory.mark.version + 1
    mark = DirectoryMark(version=newer, hash="0" * 64)
    fresh, stale = (
        agency.seal(letter.data, time=now(), directory=directory)[0]
        for directory in (mark, msgspec.structs.replace(mark, version=1))
    )
    async with scene.peer.stream() as stream:
        (answer,) = await stream.exchange(msgspec.structs.replace(parcel, envelope=fresh))
        assert scene.told(answer) == ("try_later", "DIRECTORY_BEHIND")
        (answer,) = await stream.exchange(msgspec.structs.replace(parcel, envelope=stale))
        assert scene.told(answer) == ("refused", "SEAL_CERTIFICATE_REFUSED")
