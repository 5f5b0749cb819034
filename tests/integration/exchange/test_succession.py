"""Agencies merge, are split and closed while documents are on their way. Real nodes.

G01 writes to H26, which ends; H29, and sometimes H30, follow it.
"""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from edoccore.agency_errors import AgencyEndedError
from edoccore.directory import ownership
from edoccore.directory.layout import WIND_UP
from edoccore.errors import RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain import forwarding
from edocnode.domain.directory import OWN_ENTRY
from tests.integration.exchange.conftest import Card
from tests.integration.exchange.land import (
    Land,
    decide,
    effects,
    is_held,
    lively,
    receipt_of,
    received,
)
from tests.integration.exchange.test_own_entry import bring_newer
from tests.integration.office.support import Refused
from tests.support.nodes import until, utc_now

BIG = b"\xa5" * 40_000_000


async def test_document_to_a_merged_agency_goes_to_its_successor_which_deals_with_it(
    land: Land,
) -> None:
    async with lively(land, "G01", "H29"):
        await land.ends("H29", known_to=("G01", "H29"))
        sent = await land["G01"].send(b"Ha Nam", to=["H26"])
        await land["G01"].delivered(sent)
        assert received(land["H29"]) == [("G01", "H26")]
        envelope, receipt = receipt_of(land["G01"], sent)
        assert (envelope.to, envelope.to_node, receipt.from_) == ("H26", "H29", "H26")
        await decide(land["H29"], sent.document_id)
        steps = "SELECT agency, state FROM status_got WHERE message_id = ?"
        await until(lambda: land["G01"].rows(steps, sent.message_id) == [("H26", "accepted")])
        reply = await land["H29"].send(b"tra loi", to=["G01"])
        again = await land["G01"].send(b"tra loi cu", to=["H26"])
        await land["H29"].delivered(reply)
        await land["G01"].delivered(again)


async def test_what_waits_for_a_merged_agency_goes_on_to_its_successor(land: Land) -> None:
    async with lively(land, "G01", "H29"):
        sent = [await land["G01"].send(f"{i}".encode(), to=["H26"]) for i in range(3)]
        await until(lambda: all(land["G01"].state(s.message_id) != "unsealed" for s in sent))
        await land.ends("H29", known_to=("G01", "H29"))
        await land.starts_knowing("H26")
        try:
            await land["G01"].delivered(*sent, within_s=60)
            assert received(land["H29"]) == [("G01", "H26")] * 3
            assert land["H26"].inbox() == 0
            for item in sent:
                assert receipt_of(land["G01"], item)[0].to_node == "H29"
            told = {effect.detail for effect in effects(land["G01"], forwarding.FORWARDED)}
            assert len(told) == 1
            assert "from H26 at H26 to H26 at H29: H26 is merged into H29" in told.pop()
        finally:
            await land["H26"].stop()


async def test_the_node_of_a_merged_agency_that_is_gone_is_not_waited_for(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "ASK_FOR", timedelta(seconds=1))
    async with lively(land, "G01", "H29"):
        sent = await land["G01"].send(b"a", to=["H26"])
        await until(lambda: land["G01"].count("SELECT count(*) FROM peer WHERE down_since > 0"))
        await land.ends("H29", known_to=("G01", "H29"))
        await land["G01"].delivered(sent)
        assert received(land["H29"]) == [("G01", "H26")]


async def test_what_was_kept_and_not_sealed_at_the_end_gets_the_receipt_of_the_merged_agency(
    land: Land, card: type[Card]
) -> None:
    async with lively(land, "G01", "H26", "H29"):
        first = await land["G01"].send(b"truoc", to=["H26"])
        await land["G01"].delivered(first)
        # The signers of all nodes are pulled: what is sealed before is offered, kept, not answered.
        card.pulled = False
        await land["H26"].stop()
        sent = await land["G01"].send(b"giua", to=["H26"])
        await until(lambda: land["G01"].state(sent.message_id) not in ("unsealed", "scheduled"))
        card.pulled = True
        await land["H26"].start()
        await until(lambda: land["H26"].count("SELECT count(*) FROM incoming") == 2)
        assert land["H26"].inbox() == 1
        await land.ends("H29", known_to=("G01", "H26", "H29"))
        card.pulled = False
        await land["G01"].delivered(sent)
        envelope, receipt = receipt_of(land["G01"], sent)
        assert (envelope.to_node, receipt.from_) == ("H26", "H26")
        assert (land["H26"].inbox(), land["H29"].inbox()) == (2, 0)


async def test_a_document_that_a_node_took_before_it_fell_silent_is_the_same_at_its_successor(
    land: Land, card: type[Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can ask the silent node: rather a second copy, known as one, than a lost document."""
    monkeypatch.setattr(forwarding, "ASK_FOR", timedelta(seconds=1))
    async with lively(land, "G01", "H26", "H29"):
        await land["G01"].delivered(await land["G01"].send(b"truoc", to=["H26"]))
        await land["H26"].stop()
        sent = await land["G01"].send(b"giua", to=["H26"])
        await until(lambda: land["G01"].state(sent.message_id) not in ("unsealed", "scheduled"))
        card.pulled = True
        await land["H26"].start()
        await until(lambda: land["H26"].count("SELECT count(*) FROM incoming") == 2)
        await land["H26"].stop()
        card.pulled = False
        await land.ends("H29", known_to=("G01", "H29"))
        await land["G01"].delivered(sent, within_s=60)
        await land.starts_knowing("H26")
        await until(lambda: land["H26"].inbox() == 2, within_s=60)
        same = "SELECT message_id FROM inbox WHERE document_id = ?"
        for code in ("H26", "H29"):
            assert land[code].rows(same, sent.document_id) == [(sent.message_id,)]
        envelope, receipt = receipt_of(land["G01"], sent)
        assert (envelope.to_node, receipt.from_) == ("H29", "H26")
        (effect,) = effects(land["G01"], forwarding.FORWARDED)
        assert effect.detail.endswith("; H26 was not reached and may have it too")


async def test_a_document_half_transferred_at_the_end_arrives_whole_at_the_successor(
    land: Land,
) -> None:
    async with lively(land, "G01", "H26", "H29"):
        sent = await land["G01"].send(BIG, to=["H26"])
        await until(lambda: land["G01"].state(sent.message_id) == "sending")
        await land["H26"].stop()
        assert land["H26"].inbox() == 0
        await land.ends("H29", known_to=("G01", "H29"))
        await land["H26"].start()
        await bring_newer(land.nation, land["H26"])
        await land["G01"].delivered(sent, within_s=60)
        assert (land["H26"].inbox(), land["H29"].inbox()) == (0, 1)
        assert await land["H29"].part(sent.message_id, 1) == BIG


async def test_a_merged_agency_hands_over_what_it_sealed_before_its_end_and_seals_nothing_new(
    land: Land,
) -> None:
    async with lively(land, "H26", "H29"):
        sent = await land["H26"].send(b"truoc", to=["G01"])
        await until(lambda: land["H26"].state(sent.message_id) not in ("unsealed", "scheduled"))
        await land.ends("H29", known_to=("H26", "H29"))
        with Refused(AgencyEndedError) as refused:
            await land["H26"].send(b"sau", to=["G01"])
        assert "H26 is merged into H29" in refused.error.message
        assert "node of H29" in refused.error.hint
        with Refused(AgencyEndedError) as refused:
            async with land["H26"].office() as stub:
                order = {"actor": "An", "reason": "Ban hành nhầm số."}
                await stub.Revoke(
                    office.RevokeRequest(id=str(UUID(bytes=sent.document_id)), **order)
                )
        assert "Nothing is taken back from this node any more: H26 is merged" in (
            refused.error.message
        )
        await land["G01"].start()
        try:
            await bring_newer(land.nation, land["G01"])
            await land["H26"].delivered(sent)
            assert received(land["G01"]) == [("H26", "G01")]
            (alarm,) = land["H26"].rows("SELECT message FROM alarm WHERE kind = ?", OWN_ENTRY)
            assert "hands over what it sealed before" in alarm[0]
        finally:
            await land["G01"].stop()


async def test_what_a_merged_agency_had_not_sealed_at_its_end_is_never_sealed_but_told(
    land: Land, card: type[Card]
) -> None:
    async with lively(land, "G01", "H26"):
        await land["H26"].delivered(await land["H26"].send(b"truoc", to=["G01"]))
        card.pulled = True
        sent = await land["H26"].send(b"cham", to=["G01"])
        await land.ends("H29", known_to=("H26",))
        delivery = await is_held(land["H26"], sent)
        card.pulled = False
        assert delivery.reason == AgencyEndedError.reason
        assert "merged into H29" in delivery.message
        with Refused(AgencyEndedError):
            async with land["H26"].office() as stub:
                await stub.Retry(
                    office.RetryRequest(id=str(UUID(bytes=sent.document_id)), actor="An")
                )
        envelopes = "SELECT count(*) FROM delivery_envelope WHERE message_id = ?"
        assert land["H26"].count(envelopes, sent.message_id) == 0
        assert land["G01"].inbox() == 1


async def test_t46_a_document_sealed_after_the_end_of_its_agency_is_refused_by_its_recipient(
    land: Land,
) -> None:
    """The node of the merged agency does not know of its end yet, or does not want to."""
    async with lively(land, "G01", "H26"):
        await land["H26"].delivered(await land["H26"].send(b"truoc", to=["G01"]))
        await land.ends("H29", known_to=("G01",))
        sent = await land["H26"].send(b"sau", to=["G01"])
        delivery = await is_held(land["H26"], sent)
        assert delivery.reason == AgencyEndedError.reason
        assert "H26 is merged into H29" in delivery.message
        assert land["G01"].inbox() == 1


async def test_old_documents_go_on_between_their_nodes_while_a_merged_agency_winds_up(
    land: Land,
) -> None:
    """Statuses of what it has, and the revocation of what it has."""
    async with lively(land, "G01", "H26", "H29"):
        first, second = [await land["G01"].send(f"{i}".encode(), to=["H26"]) for i in range(2)]
        await land["G01"].delivered(first, second)
        await land.ends("H29", known_to=("G01", "H26", "H29"))
        await decide(land["H26"], first.document_id)
        steps = "SELECT agency, state FROM status_got WHERE message_id = ?"
        await until(lambda: land["G01"].rows(steps, first.message_id) == [("H26", "accepted")])
        async with land["G01"].office() as stub:
            await stub.Revoke(
                office.RevokeRequest(
                    id=str(UUID(bytes=second.document_id)), actor="An", reason="Ban hành nhầm số."
                )
            )
        gone = "SELECT count(*) FROM inbox WHERE state = 'revoked'"
        await until(lambda: land["H26"].count(gone) == 1)
        assert land["H29"].inbox() == 0


async def test_what_waits_for_an_agency_that_is_split_is_held_until_a_person_chooses(
    land: Land,
) -> None:
    async with lively(land, "G01", "H29", "H30"):
        sent = await land["G01"].send(b"chia", to=["H26"])
        await until(lambda: land["G01"].state(sent.message_id) not in ("unsealed", "scheduled"))
        await land.ends("H29", "H30", known_to=("G01", "H29", "H30"))
        await land.starts_knowing("H26")
        try:
            delivery = await is_held(land["G01"], sent)
        finally:
            await land["H26"].stop()
        assert delivery.reason == AgencyEndedError.reason
        assert "H26 is split into H29, H30" in delivery.message
        assert "--instead" in delivery.advice
        named = {"id": str(UUID(bytes=sent.document_id)), "actor": "Trực ban"}
        async with land["G01"].office() as stub:
            with Refused(AgencyEndedError):
                await stub.Retry(office.RetryRequest(**named))
            with Refused(RequestInvalidError):
                await stub.Retry(office.RetryRequest(**named, instead="G01"))
            answer = await stub.Retry(office.RetryRequest(**named, instead="H30"))
        assert answer.queued == 1
        await land["G01"].delivered(sent)
        assert received(land["H30"]) == [("G01", "H30")]
        assert land["H29"].inbox() == 0
        (effect,) = effects(land["G01"], forwarding.FORWARDED)
        assert (effect.actor, effect.detail) == (
            "Trực ban",
            "from H26 at H26 to H30 at H30: chosen by a person",
        )
        with Refused(AgencyEndedError) as refused:
            await land["G01"].send(b"moi", to=["H26"])
        assert "H29, H30" in refused.error.hint


async def test_what_waits_for_an_agency_that_is_closed_is_told(land: Land) -> None:
    async with lively(land, "G01"):
        sent = await land["G01"].send(b"dong", to=["H26"])
        await until(lambda: land["G01"].state(sent.message_id) not in ("unsealed", "scheduled"))
        await land.ends(known_to=("G01",))
        await land.starts_knowing("H26")
        try:
            delivery = await is_held(land["G01"], sent)
        finally:
            await land["H26"].stop()
        assert delivery.reason == AgencyEndedError.reason
        assert "H26 is closed" in delivery.message


async def test_what_the_successor_had_for_the_merged_agency_it_delivers_to_itself(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "ASK_FOR", timedelta(seconds=1))
    async with lively(land, "H29"):
        sent = await land["H29"].send(b"noi bo", to=["H26"])
        await until(lambda: land["H29"].count("SELECT count(*) FROM peer WHERE down_since > 0"))
        await land.ends("H29", known_to=("H29",))
        await land["H29"].delivered(sent)
        assert received(land["H29"]) == [("H29", "H26")]


async def test_what_waits_for_a_successor_that_is_merged_itself_goes_on_to_the_next(
    land: Land,
) -> None:
    """The node in the middle has documents of both, and says of each whether it took it."""
    async with lively(land, "G01", "H30"):
        await land.ends("H29", known_to=("G01", "H30"))
        sent = await land["G01"].send(b"Ha Nam", to=["H26"])
        await until(lambda: land["G01"].state(sent.message_id) not in ("unsealed", "scheduled"))
        await land.ends("H30", known_to=("G01", "H30"), code="H29")
        await land.starts_knowing("H29")
        try:
            await land["G01"].delivered(sent, within_s=60)
            assert received(land["H30"]) == [("G01", "H26")]
            assert land["H29"].inbox() == 0
        finally:
            await land["H29"].stop()


async def test_what_an_agency_did_not_hand_over_while_it_wound_up_is_told_to_its_office(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lively(land, "H26"):
        sent = await land["H26"].send(b"muon", to=["G01"])
        await until(lambda: land["H26"].state(sent.message_id) not in ("unsealed", "scheduled"))
        monkeypatch.setattr(ownership, "WIND_UP", timedelta())
        await land.ends("H29", known_to=("H26",))
        delivery = await is_held(land["H26"], sent)
        assert delivery.reason == AgencyEndedError.reason
        assert "No receipt came, and nobody hears this node any more" in delivery.message


async def test_an_end_that_lies_ahead_comes_by_itself_at_its_moment(land: Land) -> None:
    async with lively(land, "G01", "H26", "H29"):
        end = utc_now() + timedelta(seconds=6)
        land.nation.end("H26", end, successors=("H29",))
        await bring_newer(land.nation, *(land[code] for code in ("G01", "H26", "H29")))
        before = await land["G01"].send(b"truoc", to=["H26"])
        await land["G01"].delivered(before)
        assert received(land["H26"]) == [("G01", "H26")]
        (alarm,) = land["H26"].rows("SELECT message FROM alarm WHERE kind = ?", OWN_ENTRY)
        assert "what is to come: H26 is merged into H29" in alarm[0]
        await until(lambda: utc_now() > end, within_s=60)
        after = await land["G01"].send(b"sau", to=["H26"])
        await land["G01"].delivered(after)
        assert received(land["H29"]) == [("G01", "H26")]
        with Refused(AgencyEndedError):
            await land["H26"].send(b"sau", to=["G01"])


def test_an_agency_winds_up_as_long_as_envelopes_live_by_default() -> None:
    from edocnode.domain.office import DEFAULT_LIFETIME

    assert WIND_UP == DEFAULT_LIFETIME
    assert isinstance(utc_now(), datetime)
