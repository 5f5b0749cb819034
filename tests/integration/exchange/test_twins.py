"""Whose parts need not come again, and whose must."""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec import structs

from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Result
from edockit.blobs import BlobFolder
from edocnode.domain.model import Arrival
from edocnode.domain.receiving import Offered
from edocnode.workers.twins import REMEMBERED, Twins
from tests.integration.storage.offices import Office, arrival, submission

LARGE = b"x" * 70_000
RECIPIENTS = ("G01", "G01.22", "G01.23")


@dataclass(frozen=True, slots=True)
class Scene:
    twins: Twins
    blobs: BlobFolder

    def offers(self, *recipients: str) -> list[tuple[Arrival, Offered]]:
        """One document of H29 to each, whole and as an offer."""
        made = submission(to=recipients, large=len(LARGE))
        self.blobs.put(LARGE, sha256(LARGE).hexdigest())
        found = []
        each = [replace(made, deliveries=(delivery,)) for delivery in made.deliveries]
        for envelope in Office("H29").envelopes(each):
            stated = canonical.decode(envelope.statement, Envelope)
            parts = tuple(
                structs.replace(part, sha256=sha256(LARGE).hexdigest())
                if part.size == len(LARGE)
                else part
                for part in stated.parts
            )
            stated = structs.replace(stated, parts=parts)
            whole = structs.replace(arrival(envelope, made.inline), parts=parts)
            offered = structs.replace(whole, inline=b"", listing={})
            found.append((whole, Offered(arrival=offered, envelope=stated)))
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    blobs = BlobFolder(tmp_path / "blobs")
    return Scene(Twins(blobs), blobs)


async def test_the_parts_that_came_with_the_first_complete_the_others(scene: Scene) -> None:
    (first, _), *others = scene.offers(*RECIPIENTS)
    offers = [offer for _, offer in others]
    assert await scene.twins.complete("H29", offers) == ([], offers)
    scene.twins.delivered("H29", first)
    complete, missing = await scene.twins.complete("H29", offers)
    assert missing == []
    assert [item.recipient for item in complete] == ["G01.22", "G01.23"]
    assert [item.inline for item in complete] == [first.inline] * 2
    assert complete[0].listing["subject"]


async def test_another_agency_is_asked_for_the_same_parts(scene: Scene) -> None:
    """Or it would learn what this node holds."""
    (first, _), (_, offer) = scene.offers("G01", "G01.22")
    scene.twins.delivered("G09", first)
    assert await scene.twins.complete("H29", [offer]) == ([], [offer])


async def test_a_large_part_that_has_left_the_folder_is_asked_for(scene: Scene) -> None:
    (first, _), (_, offer) = scene.offers("G01", "G01.22")
    scene.twins.delivered("H29", first)
    scene.blobs.path(sha256(LARGE).hexdigest()).unlink()
    assert await scene.twins.complete("H29", [offer]) == ([], [offer])


async def test_the_parts_of_one_document_under_the_id_of_another_are_judged_elsewhere(
    scene: Scene,
) -> None:
    (first, _), (_, offer) = scene.offers("G01", "G01.22")
    scene.twins.delivered("H29", first)
    other = structs.replace(offer.envelope, document_id="01a206aa-0000-7000-8000-000000000000")
    wrong = Offered(arrival=offer.arrival, envelope=other)
    assert await scene.twins.complete("H29", [wrong]) == ([], [wrong])
    refused = structs.replace(offer.arrival, result=Result.REJECTED, reason="FROM_NOT_OWNED")
    rejected = Offered(arrival=refused, envelope=offer.envelope)
    complete, missing = await scene.twins.complete("H29", [rejected, offer])
    assert ([item.recipient for item in complete], missing) == (["G01.22"], [rejected])


async def test_few_documents_are_remembered_and_not_for_long(scene: Scene) -> None:
    (first, _), (_, offer) = scene.offers("G01", "G01.22")
    scene.twins.delivered("H29", first)
    for number in range(REMEMBERED):
        scene.twins.delivered(f"X{number}", first)
    assert await scene.twins.complete("H29", [offer]) == ([], [offer])
    assert len(scene.twins._inline) == REMEMBERED
    scene.twins.forget()
    assert scene.twins._inline == {}
    scene.twins.delivered("H29", structs.replace(first, result=Result.REJECTED, inline=b""))
    assert scene.twins._inline == {}
