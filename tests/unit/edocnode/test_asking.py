"""By which delivery of a document and its updates a recipient is asked to destroy it."""

from itertools import count
from typing import Any

import pytest

from edocnode.domain.dead_letters import PARTS_LOST
from edocnode.domain.model import DeliveryState, MessageId
from edocnode.domain.office_model import RevocationState
from edocnode.domain.revoking import SentDelivery, asking, outcome

_PLACES = count(1)


def delivery(recipient: str, state: str, **more: Any) -> SentDelivery:
    place = next(_PLACES)
    sealed = None if state in ("unsealed", "scheduled") else bytes(32)
    values: dict[str, Any] = {"reason": "", "envelope_digest": sealed, "to_node": recipient, **more}
    return SentDelivery(
        place=place,
        message_id=MessageId(place.to_bytes(16)),
        recipient=recipient,
        state=state,
        **values,
    )


def test_each_recipient_is_asked_once_by_the_first_that_may_be_there() -> None:
    first, other = delivery("H29", "delivered"), delivery("H30", "sending")
    updates = delivery("H29", "delivered"), delivery("H30", "delivered")
    assert asking([first, other, *updates], ()) == {first.message_id, other.message_id}


@pytest.mark.parametrize(
    ("state", "reason"), [("rejected", "X"), ("unsealed", ""), ("scheduled", ""), ("held", "X")]
)
def test_an_update_asks_when_the_document_itself_never_got_there(state: str, reason: str) -> None:
    first, update = delivery("H29", state, reason=reason), delivery("H29", "delivered")
    assert asking([first, update], ()) == {update.message_id}


def test_one_whose_parts_were_lost_on_the_way_may_be_there() -> None:
    held = delivery("H29", "held", reason=PARTS_LOST)
    assert asking([held, delivery("H29", "delivered")], ()) == {held.message_id}


def test_who_was_asked_is_not_asked_again() -> None:
    assert asking([delivery("H29", "delivered")], {("H29", "H29")}) == set()


def test_of_a_recipient_with_two_nodes_each_is_asked() -> None:
    """The update went to the successor of an agency that had the document itself."""
    first, update = delivery("H29", "delivered"), delivery("H29", "delivered", to_node="H30")
    assert asking([first, update], ()) == {first.message_id, update.message_id}
    assert asking([first, update], {("H29", "H29")}) == {update.message_id}


def test_what_was_not_asked_about_has_the_outcome_of_what_was_only_if_it_is_there() -> None:
    assert outcome(DeliveryState.DELIVERED, None, sent=False) is RevocationState.PENDING
    assert outcome(DeliveryState.REJECTED, None, sent=False) is RevocationState.NEVER_KEPT
    assert outcome(DeliveryState.VOID, None, sent=False) is RevocationState.WITHDRAWN
