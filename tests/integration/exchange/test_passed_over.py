"""Revocations, updates and statuses of documents whose node fell silent before it handed over."""

from datetime import timedelta
from uuid import UUID

import pytest

from edoccore.directory import ownership
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain import forwarding
from edocnode.domain.copies import NOT_REACHED
from tests.integration.exchange.conftest import Card
from tests.integration.exchange.land import Land, decide, is_held, lively, received
from tests.integration.office.test_updating import change
from tests.support.nodes import Sent, TestNode, until

REASON = "Ban hành nhầm số văn bản."
GONE = "SELECT count(*) FROM inbox WHERE state = 'revoked'"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The silent node of an ended agency is waited for a second, not five minutes."""
    monkeypatch.setattr(forwarding, "ASK_FOR", timedelta(seconds=1))


def named(sent: Sent) -> str:
    return str(UUID(bytes=sent.document_id))


async def revoke(node: TestNode, sent: Sent) -> office.RevokeResponse:
    async with node.office() as stub:
        return await stub.Revoke(office.RevokeRequest(id=named(sent), actor="An", reason=REASON))


async def update(node: TestNode, sent: Sent, content: bytes) -> None:
    await change(node, office.OPERATION_UPDATE, named(sent), content, subject="Bản mới")


async def deliveries(node: TestNode, sent: Sent) -> list[office.Delivery]:
    """All deliveries of a document, those of its updates after its own."""
    async with node.office() as stub:
        found = await stub.GetDocument(office.GetDocumentRequest(id=named(sent)))
    return [item for each in (found.sent, *found.updates) for item in each.deliveries]


async def revocation_is(node: TestNode, sent: Sent, *states: int) -> None:
    """Waits until the revocation of each delivery of a document is in a state."""

    async def look() -> bool:
        return [item.revocation for item in await deliveries(node, sent)] == list(states)

    await until(look, within_s=60)


async def copy_is(node: TestNode, sent: Sent, state: int) -> office.DocumentCopy:
    """The copy of a document at the node that was passed over, once it is in a state."""

    async def look() -> office.DocumentCopy | None:
        (delivery,) = await deliveries(node, sent)
        (copy,) = delivery.copies
        return copy if copy.state == state else None

    found: office.DocumentCopy = await until(look, within_s=60)
    return found


async def taken_in_silence(land: Land, card: type[Card]) -> Sent:
    """A document that H26 kept and had no receipt for when it stopped; before its end."""
    await land["G01"].delivered(await land["G01"].send(b"truoc", to=["H26"]))
    await land["H26"].stop()
    sent = await land["G01"].send(b"giua", to=["H26"])
    await until(lambda: land["G01"].state(sent.message_id) not in ("unsealed", "scheduled"))
    card.pulled = True
    await land["H26"].start()
    await until(lambda: land["H26"].count("SELECT count(*) FROM incoming") == 2, within_s=60)
    await land["H26"].stop()
    card.pulled = False
    return sent


async def test_a_revocation_reaches_the_successor_and_the_node_that_was_passed_over(
    land: Land, card: type[Card]
) -> None:
    async with lively(land, "G01", "H26", "H29"):
        sent = await taken_in_silence(land, card)
        await land.ends("H29", known_to=("G01", "H29"))
        await land["G01"].delivered(sent, within_s=60)
        copy = await copy_is(land["G01"], sent, office.COPY_STATE_MAY_BE_THERE)
        assert copy.node == "H26"
        answer = await revoke(land["G01"], sent)
        assert (answer.taken_back, list(answer.not_reached)) == (1, [])
        await revocation_is(land["G01"], sent, office.REVOCATION_STATE_AGREED)
        assert land["H29"].count(GONE) == 1
        await copy_is(land["G01"], sent, office.COPY_STATE_ASKED)
        await land.starts_knowing("H26")
        await copy_is(land["G01"], sent, office.COPY_STATE_DESTROYED)
        state = "SELECT state FROM inbox WHERE message_id = ?"
        assert land["H26"].rows(state, sent.message_id) in ([("revoked",)], [])
        destroyed = "SELECT count(*) FROM destroyed"
        assert land["H26"].count(destroyed) == 1


async def test_what_a_node_does_with_the_copy_that_it_was_passed_over_for_is_told_beside(
    land: Land, card: type[Card]
) -> None:
    async with lively(land, "G01", "H26", "H29"):
        sent = await taken_in_silence(land, card)
        await land.ends("H29", known_to=("G01", "H29"))
        await land["G01"].delivered(sent, within_s=60)
        await land.starts_knowing("H26")
        await until(lambda: land["H26"].inbox() == 2, within_s=60)
        await decide(land["H26"], sent.document_id)
        await copy_is(land["G01"], sent, office.COPY_STATE_THERE)
        (delivery,) = await deliveries(land["G01"], sent)
        assert delivery.recipient_state == office.DOCUMENT_STATE_UNSPECIFIED
        await decide(land["H29"], sent.document_id)
        accepted = "SELECT state FROM status_got WHERE message_id = ?"
        await until(lambda: land["G01"].rows(accepted, sent.message_id) == [("accepted",)])


async def test_a_copy_at_a_node_that_stays_silent_is_told_with_what_to_do(
    land: Land, card: type[Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lively(land, "G01", "H26", "H29"):
        sent = await taken_in_silence(land, card)
        await land.ends("H29", known_to=("G01", "H29"))
        await land["G01"].delivered(sent, within_s=60)
        await revoke(land["G01"], sent)
        await copy_is(land["G01"], sent, office.COPY_STATE_ASKED)
        monkeypatch.setattr(ownership, "WIND_UP", timedelta())
        await copy_is(land["G01"], sent, office.COPY_STATE_NOT_REACHED)
        await revocation_is(land["G01"], sent, office.REVOCATION_STATE_AGREED)  # of H29's copy
        held = "SELECT to_node, message FROM delivery WHERE state = 'held' AND reason = ?"
        ((node, message),) = land["G01"].rows(held, NOT_REACHED)
        assert node == "H26"
        assert "H26 is merged into H29" in message
        assert message.endswith("Ask H29 in writing to destroy it.")


async def test_a_document_of_a_node_that_is_silent_for_ever_is_not_called_destroyed(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its successor agrees to everything: it never had the document."""
    async with lively(land, "G01", "H26", "H29"):
        early, late = [await land["G01"].send(f"{i}".encode(), to=["H26"]) for i in range(2)]
        await land["G01"].delivered(early, late)
        await land["H26"].stop()
        await land.ends("H29", known_to=("G01", "H29"))
        await revoke(land["G01"], early)
        await revocation_is(land["G01"], early, office.REVOCATION_STATE_PENDING)
        monkeypatch.setattr(ownership, "WIND_UP", timedelta())
        await revocation_is(land["G01"], early, office.REVOCATION_STATE_NOT_REACHED)
        async with land["G01"].office() as stub:
            answer = await stub.Retry(office.RetryRequest(all_of="H26", actor="An"))
        assert answer.queued == 1
        answer = await revoke(land["G01"], late)
        assert list(answer.not_reached) == ["H26"]
        told = "SELECT count(*) FROM revocation WHERE state = 'agreed'"
        await until(lambda: land["H29"].count(told) == 2, within_s=60)
        waiting = "SELECT count(*) FROM delivery WHERE state != 'delivered'"
        await until(lambda: land["G01"].count(waiting) == 0, within_s=60)
        for sent in (early, late):
            await revocation_is(land["G01"], sent, office.REVOCATION_STATE_NOT_REACHED)
        assert land["H29"].inbox() == 0


async def test_an_update_goes_to_the_successor_and_each_node_is_asked_for_its_version(
    land: Land,
) -> None:
    async with lively(land, "G01", "H26", "H29"):
        sent = await land["G01"].send(b"ban dau", to=["H26"])
        await land["G01"].delivered(sent)
        await land["H26"].stop()
        await land.ends("H29", known_to=("G01", "H29"))
        await update(land["G01"], sent, b"ban moi")
        await until(lambda: received(land["H29"]) == [("G01", "H26")], within_s=60)
        await decide(land["H29"], sent.document_id)

        async def accepted() -> bool:
            _, newer = await deliveries(land["G01"], sent)
            return newer.recipient_state == office.DOCUMENT_STATE_ACCEPTED

        await until(accepted, within_s=60)
        await revoke(land["G01"], sent)
        await revocation_is(
            land["G01"],
            sent,
            office.REVOCATION_STATE_PENDING,
            office.REVOCATION_STATE_AGREED,
        )
        assert land["H29"].count(GONE) == 1
        await land.starts_knowing("H26")
        await revocation_is(land["G01"], sent, *[office.REVOCATION_STATE_AGREED] * 2)
        assert land["H26"].count(GONE) == 1


async def test_a_split_agency_s_silent_node_is_told_too_when_a_person_has_chosen(
    land: Land, card: type[Card]
) -> None:
    async with lively(land, "G01", "H26", "H30"):
        sent = await taken_in_silence(land, card)
        await land.ends("H29", "H30", known_to=("G01", "H30"))
        await is_held(land["G01"], sent)
        async with land["G01"].office() as stub:
            await stub.Retry(office.RetryRequest(id=named(sent), actor="An", instead="H30"))
        await land["G01"].delivered(sent, within_s=60)
        await revoke(land["G01"], sent)
        await revocation_is(land["G01"], sent, office.REVOCATION_STATE_AGREED)
        await land.starts_knowing("H26")
        await copy_is(land["G01"], sent, office.COPY_STATE_DESTROYED)
        assert land["H26"].count("SELECT count(*) FROM destroyed") == 1
