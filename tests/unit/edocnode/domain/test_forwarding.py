"""Where deliveries go whose recipient's agency has ended."""

from datetime import timedelta

import pytest

from edoccore.agency_errors import AgencyEndedError
from edoccore.directory.layout import WIND_UP
from edoccore.errors import AgencyInactiveError, RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect
from edocnode.domain.forwarding import (
    ASK_FOR,
    ForwardPlan,
    Stranded,
    Stranding,
    chosen,
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
