"""Where deliveries go whose recipient's agency has ended."""

from dataclasses import replace
from datetime import timedelta

import pytest

from edoccore.agency_errors import AgencyEndedError
from edoccore.directory.layout import WIND_UP
from edoccore.errors import AgencyInactiveError, RequestInvalidError
from edoccore.office_errors import EncryptionKeyError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect
from edocnode.domain.copies import NOT_REACHED
from edocnode.domain.forwarding import (
    ASK_FOR,
    ForwardPlan,
    Stranded,
    Stranding,
    chosen,
    is_wound_up,
    own_end,
    plan_forward,
    stranding,
    successors_of,
)
from edocnode.domain.model import DeliveryOutcome, DeliveryState, DocumentId, MessageId
from tests.support.nation import Nation
from tests.unit.edoccore.directory.conftest import NOW


@pytest.fixture
def nation() -> Nation:
    made = Nation.create(NOW)
    for code in ("G01", "H26", "H29", "H30"):
        made.add_agency(code, code, owns=(f"{code}.5",))
    return made


def stranded(recipient: str = "H26", to_node: str = "H26") -> Stranded:
    return Stranded(
        place=7,
        message_id=MessageId(b"m" * 16),
        document_id=DocumentId(b"d" * 16),
        recipient=recipient,
        to_node=to_node,
    )


def plan(nation: Nation, item: Stranded) -> ForwardPlan | DeliveryOutcome:
    return plan_forward(item, nation.directory(), agency="G01", now=NOW)


@pytest.mark.parametrize(
    ("after", "down_for", "found"),
    [
        (timedelta(milliseconds=-1), timedelta(days=1), None),
        (timedelta(), None, Stranding.TURNED_AWAY),
        (timedelta(), ASK_FOR - timedelta(seconds=1), Stranding.TURNED_AWAY),
        (timedelta(), ASK_FOR, Stranding.DOCUMENTS),
        (WIND_UP, None, Stranding.ALL),
    ],
)
def test_the_node_of_an_ended_agency_is_asked_first_and_not_for_ever(
    nation: Nation, after: timedelta, down_for: timedelta | None, found: Stranding | None
) -> None:
    nation.end("H26", NOW, successors=("H29",))
    now = NOW + after
    since = None if down_for is None else now - down_for
    assert stranding("H26", nation.directory(), now, down_since=since) is found
    assert stranding("H29", nation.directory(), now, down_since=since) is None
    assert stranding("X99", nation.directory(), now, down_since=since) is None


def test_what_an_ended_agency_did_not_hand_over_in_time_is_held_and_says_why(
    nation: Nation,
) -> None:
    nation.end("G01", NOW, successors=("H29",))
    directory = nation.directory()
    assert not is_wound_up(directory, "G01", NOW + WIND_UP - timedelta(milliseconds=1))
    assert not is_wound_up(directory, "H29", NOW + WIND_UP)
    assert not is_wound_up(directory, "X99", NOW + WIND_UP)
    found = plan_forward(stranded(), directory, agency="G01", now=NOW + WIND_UP)
    assert isinstance(found, DeliveryOutcome)
    assert (found.state, found.reason) == (DeliveryState.HELD, AgencyEndedError.reason)
    assert found.message.startswith("No receipt came, and nobody hears this node any more: G01 is")
    assert "the 30 days for what was sealed before are over" in found.message
    assert "Ask the recipient whether it has the document" in found.message


def test_a_delivery_that_its_node_may_have_taken_says_so_wherever_it_goes(
    nation: Nation,
) -> None:
    nation.end("H26", NOW, successors=("H29",))
    nation.end("H30", NOW)
    directory = nation.directory()
    unheard = [replace(stranded(code, code), unheard=True) for code in ("H26", "H30")]
    goes_on, stays = [plan_forward(i, directory, agency="G01", now=NOW) for i in unheard]
    assert isinstance(goes_on, ForwardPlan)
    assert "H26 does not answer; it may have the same document, under the same id" in (
        goes_on.message
    )
    effect = canonical.decode(goes_on.effect, Effect)
    assert effect.detail.endswith("; H26 was not reached and may have it too")
    assert isinstance(stays, DeliveryOutcome)
    assert "The node of H30 does not answer; it may have the document." in stays.message
    for item in (stranded(), stranded("H30", "H30")):
        answered = plan_forward(item, directory, agency="G01", now=NOW)
        assert "may have" not in answered.message


@pytest.mark.parametrize("code", ["H26", "H26.5"])
def test_a_delivery_goes_on_to_the_one_successor_under_the_code_it_was_addressed_to(
    nation: Nation, code: str
) -> None:
    nation.end("H26", NOW, successors=("H29",))
    found = plan(nation, stranded(code))
    assert isinstance(found, ForwardPlan)
    assert (found.recipient, found.to_node) == (code, "H29")
    effect = canonical.decode(found.effect, Effect)
    assert effect.detail == (
        f"from {code} at H26 to {code} at H29: H26 is merged into H29 as of "
        "2026-11-23T03:04:05.000Z"
    )


@pytest.mark.parametrize(("followers", "told"), [(("H29", "H30"), "H29, H30"), ((), "closed")])
def test_a_delivery_is_held_when_nobody_or_several_follow(
    nation: Nation, followers: tuple[str, ...], told: str
) -> None:
    nation.end("H26", NOW, successors=followers)
    found = plan(nation, stranded())
    assert isinstance(found, DeliveryOutcome)
    assert (found.state, found.reason) == (DeliveryState.HELD, AgencyEndedError.reason)
    assert told in found.message


@pytest.mark.parametrize(
    ("readers", "goes"),
    [(None, True), ({"H26"}, False), (set(), False), ({"H26", "H29"}, True)],
)
def test_encrypted_files_go_to_a_node_that_can_read_them_and_else_are_held(
    nation: Nation, readers: set[str] | None, goes: bool
) -> None:
    nation.end("H26", NOW, successors=("H29",))
    known = None if readers is None else frozenset(readers)
    found = plan(nation, replace(stranded(), readers=known))
    assert isinstance(found, ForwardPlan) is goes
    if isinstance(found, DeliveryOutcome):
        assert (found.state, found.reason) == (DeliveryState.HELD, EncryptionKeyError.reason)
        assert "edocnode send FILE... --to H29 --encrypt" in found.message


def test_own_node_reads_what_it_encrypted_and_gets_it_as_the_successor(nation: Nation) -> None:
    nation.end("H26", NOW, successors=("G01",))
    assert isinstance(plan(nation, replace(stranded(), readers=frozenset({"H26"}))), ForwardPlan)


def test_a_delivery_waits_while_the_successor_is_suspended(nation: Nation) -> None:
    nation.end("H26", NOW, successors=("H29",))
    nation.suspend("H29")
    with pytest.raises(AgencyInactiveError) as caught:
        plan(nation, stranded())
    assert not isinstance(caught.value, AgencyEndedError)


def test_a_person_chooses_among_those_that_follow_however_far(nation: Nation) -> None:
    nation.add_agency("H31", "H31")
    nation.end("H26", NOW, successors=("H29", "H30"))
    nation.end("H30", NOW, successors=("H31", "H26"))  # a circle ends somewhere
    directory = nation.directory()
    assert successors_of("H26", directory, NOW) == ["H29", "H31"]
    assert chosen("H26", "H31", directory, NOW) == "H31"
    assert chosen("H26", "H29.5", directory, NOW) == "H29.5"
    for wrong in ("H30", "G01", "H26"):
        with pytest.raises(RequestInvalidError, match="H29, H31"):
            chosen("H26", wrong, directory, NOW)


def test_an_office_of_an_ended_agency_is_told_where_to_go(nation: Nation) -> None:
    nation.end("H26", NOW, successors=("H29",))
    nation.end("H30", NOW)
    assert "at the node of H29" in own_end(nation.directory(), "H26").hint
    assert "elsewhere" in own_end(nation.directory(), "H30").hint


def test_a_revocation_that_its_node_did_not_take_in_time_is_held_and_says_what_to_do(
    nation: Nation,
) -> None:
    """A successor agrees to everything, and has nothing to destroy."""
    nation.end("H26", NOW - WIND_UP, successors=("H29",))
    item = replace(stranded(), unheard=True, is_revocation=True)
    held = plan(nation, item)
    assert isinstance(held, DeliveryOutcome)
    assert (held.state, held.reason) == (DeliveryState.HELD, NOT_REACHED)
    assert held.message.endswith("Ask H29 in writing to destroy it.")
    turned_away = plan(nation, replace(item, unheard=False))
    assert isinstance(turned_away, ForwardPlan)
    assert turned_away.to_node == "H29"
