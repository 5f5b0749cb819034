"""When a node may end for good."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from edoccore.directory.layout import WIND_UP
from edocnet.access.v1 import access_service_pb2
from edocnet.admin.v1 import (
    admin_service_pb2,
    alarm_service_pb2,
    quarantine_service_pb2,
    subagency_service_pb2,
)
from edocnet.office.v1 import office_service_pb2
from edocnode.domain.retiring import OpenItem, OpenWork, may_end, open_items
from edocnode.rpc.rest_gate import IMPORTING, READING
from tests.support.nation import Nation

NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
STAYS = {"arriving", "quarantined", "undecided", "due", "unanswered"}  # told, and no obstacle
SERVICES = (
    office_service_pb2,
    admin_service_pb2,
    alarm_service_pb2,
    access_service_pb2,
    quarantine_service_pb2,
    subagency_service_pb2,
)


@pytest.fixture
def nation() -> Nation:
    nation = Nation.create(NOW - timedelta(days=60))
    nation.add_agency("H29", "Ủy ban nhân dân")
    return nation


def judged(nation: Nation, work: OpenWork, now: datetime = NOW) -> dict[str, OpenItem]:
    return {item.code: item for item in open_items(work, nation.directory(), "H29", now)}


@pytest.mark.parametrize("kind", [field.name for field in fields(OpenWork)])
def test_each_kind_of_open_work_is_told_with_its_count_and_stops_what_would_be_lost(
    nation: Nation, kind: str
) -> None:
    nation.end("H29", NOW - WIND_UP)
    found = judged(nation, OpenWork(**{kind: 7}))
    assert found.keys() == {kind}
    assert found[kind].count == 7
    assert "7 " in found[kind].message
    assert found[kind].hint
    assert found[kind].stops is (kind not in STAYS)
    assert may_end(list(found.values())) is (kind in STAYS)


def test_nothing_open_at_an_agency_that_wound_up_is_nothing_to_tell(nation: Nation) -> None:
    nation.end("H29", NOW - WIND_UP)
    assert judged(nation, OpenWork()) == {}


def test_end_of_the_agency_is_told_as_far_as_it_is(nation: Nation) -> None:
    assert judged(nation, OpenWork()).keys() == {"agency_goes_on"}
    nation.end("H29", NOW + timedelta(days=1))
    assert judged(nation, OpenWork()).keys() == {"agency_goes_on"}
    nation.end("H29", NOW - timedelta(days=1))
    found = judged(nation, OpenWork())
    assert found.keys() == {"winding_up"}
    assert may_end(list(found.values()))


def test_suspended_agency_is_not_retired(nation: Nation) -> None:
    nation.suspend("H29")
    found = judged(nation, OpenWork(unanswered=1))
    assert list(found) == ["suspended", "unanswered"]  # what stops comes first
    assert not may_end(list(found.values()))


def test_calls_of_a_node_at_rest_are_calls_of_the_schema_and_change_nothing() -> None:
    calls = {
        f"{service.name}/{method.name}"
        for module in SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert calls >= READING | IMPORTING
    verbs = ("List", "Get", "Verify", "Export")
    assert all(call.partition("/")[2].startswith(verbs) for call in READING)
