"""What is held may be queued again, what has ended may not; each delivery says what to do."""

from datetime import timedelta

import pytest

from edoccore.errors import (
    AnswerKind,
    DecisionConflictError,
    EdocError,
    EnvelopeExpiredError,
    StorageDamagedError,
)
from edoccore.signing import canonical
from edoccore.signing.statements import Effect, uuid_bytes, uuid_text
from edocnode.domain.dead_letters import HeldDelivery, may_retry, plan_retry, what_to_do
from edocnode.domain.model import DeliveryState, DocumentId, MessageId
from tests.support.nation import new_uuid7
from tests.unit.edocnode.conftest import NOW


def held(**changes: object) -> HeldDelivery:
    values = {
        "place": 1,
        "message_id": MessageId(uuid_bytes(new_uuid7(NOW))),
        "document_id": DocumentId(uuid_bytes(new_uuid7(NOW))),
        "recipient": "G01",
        "to_node": "G01",
        "state": DeliveryState.HELD,
        "reason": "SEAL_INVALID",
        "expires": NOW + timedelta(days=1),
        "complete": True,
    }
    return HeldDelivery(**(values | changes))


def test_a_held_delivery_may_be_queued_again() -> None:
    assert may_retry(held(), NOW)


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.SENDING])
def test_one_that_waits_or_is_offered_is_left_as_it_is(state: DeliveryState) -> None:
    assert not may_retry(held(state=state), NOW)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"state": DeliveryState.DELIVERED}, DecisionConflictError),
        ({"state": DeliveryState.REJECTED}, DecisionConflictError),
        ({"state": DeliveryState.EXPIRED}, DecisionConflictError),
        ({"state": DeliveryState.VOID}, DecisionConflictError),
        ({"expires": NOW}, EnvelopeExpiredError),
        ({"complete": False}, StorageDamagedError),
    ],
)
def test_one_that_cannot_arrive_any_more_is_refused(
    changes: dict[str, object], error: type[EdocError]
) -> None:
    with pytest.raises(error):
        may_retry(held(**changes), NOW)


def test_the_journal_says_who_queued_what_again_and_why_it_was_held() -> None:
    item = held()
    plan = plan_retry(item, network="vn-test", agency="H29", actor="Trực ban", now=NOW)
    effect = canonical.decode(plan.effect, Effect)
    assert (effect.kind, effect.actor) == ("delivery.requeued", "Trực ban")
    assert effect.subject == uuid_text(item.message_id)
    assert effect.detail == "G01: SEAL_INVALID"


def _refusals(base: type[EdocError] = EdocError) -> list[str]:
    found = [base.reason] if base.answer is AnswerKind.REFUSED else []
    return found + [reason for child in base.__subclasses__() for reason in _refusals(child)]


@pytest.mark.parametrize("reason", [*_refusals(), "STORAGE_DAMAGED", "PARTS_LOST", "UNHEARD_OF"])
def test_whatever_the_reason_a_held_delivery_says_what_to_do(reason: str) -> None:
    assert len(what_to_do(DeliveryState.HELD, reason)) > 20


@pytest.mark.parametrize("state", DeliveryState)
def test_only_what_did_not_arrive_needs_a_person(state: DeliveryState) -> None:
    needs = {DeliveryState.HELD, DeliveryState.REJECTED, DeliveryState.EXPIRED}
    assert bool(what_to_do(state, "")) == (state in needs)
