"""The merger of 63 provinces into 34, in one version of the directory, with documents on the way.

Real processes: the registry, the nodes of the Government Office (G22), of Thái Bình (H54), which
ends, and of Hưng Yên (H31), which follows it. All other provinces are entries of the directory.
"""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edoccore.directory.layout import AgencyState
from edoccore.directory.view import Directory
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from edocregistry.app.registry import Registry
from edocregistry.domain.agencies import add_agency
from edocregistry.settings import read_settings
from edocregistry.storage import folder as registry_folder
from tests.acceptance.test_ceremonies import Ceremonies
from tests.support.load import Load, office_of
from tests.support.network import Network, Node, waited_for
from tests.support.provinces import AFTER, BEFORE, FOLLOWED, MERGERS, reform_file

CENTRE, ENDING, FOLLOWING = "G22", "H54", "H31"
NODES = {
    CENTRE: "Văn phòng Chính phủ",
    ENDING: f"Ủy ban nhân dân tỉnh {BEFORE[ENDING]}",
    FOLLOWING: f"Ủy ban nhân dân tỉnh {BEFORE[FOLLOWING]}",
}
BIG = 60 * 1024 * 1024
LEAD = timedelta(seconds=15)  # longer than a node takes to hear of a new version


@pytest.fixture
def nation(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    try:
        network.found()
        network.join(NODES)
        add_others(network)
        network.start()
        yield network
    finally:
        network.close()


def add_others(network: Network) -> None:
    """Enters the provinces without a node, in one version."""
    place = registry_folder.DataFolder(network.registry.data)
    registry = Registry(place, read_settings(place.settings), lambda: datetime.now(UTC))
    registry.order(
        "officer",
        "agency add (60)",
        lambda records, now: [
            add_agency(records, code, f"Ủy ban nhân dân {name}", now=now)
            for code, name in BEFORE.items()
            if code not in NODES
        ],
    )


def directory_of(node: Node) -> Directory:
    """What a node holds."""
    folder = DataFolder(node.data)
    return DirectoryFiles(folder.directory, folder.identity().root_sha256).load()


def version(network: Network) -> int:
    return int(network.registry.done("status")["version"])


def states(node: Node) -> dict[str, Counter[int]]:
    """By recipient as it was written: how many deliveries are in which state."""
    found: dict[str, Counter[int]] = {}
    with office_of(node) as office:
        for item in office.outbox():
            for recipient, state in item.states:
                found.setdefault(recipient, Counter())[state] += 1
    return found


@pytest.mark.slow
def test_63_provinces_become_34_in_one_version_and_no_document_is_lost(nation: Network) -> None:
    centre, ending, following = (nation[code] for code in NODES)
    before = evidence_from_before(centre)
    to_ending = Load(centre, ENDING, threads=2, pause_s=0.1)
    from_ending = Load(ending, CENTRE, threads=2, pause_s=0.1)
    for load in (to_ending, from_ending):
        load.start()
    time.sleep(1)
    known = version(nation)
    end = carry_out_reform(nation)
    assert version(nation) > known
    with office_of(centre) as office:  # travels across the moment of the end
        big = office.submit(b"\x5a" * BIG, to=[ENDING], request_id="big")
    waited_for(lambda: datetime.now(UTC) > end + timedelta(seconds=2), within_s=60)
    to_ending.stop()
    with pytest.raises(AssertionError, match="seals no new documents"):
        from_ending.stop()
    sent = {item.document_id for item in to_ending.acknowledged} | {big.document_id}
    nothing_is_lost(centre, ending, following, sent)
    told_or_delivered(ending, centre, {item.document_id for item in from_ending.acknowledged})
    whole_directory_follows(centre, end)
    evidence_of_before_and_after(nation, centre, before)
    assert set(centre.alarms()) <= {"CLOCK_SKEW"}


def evidence_from_before(centre: Node) -> tuple[str, Path]:
    """A document to the province that will end, its receipt and its evidence."""
    with office_of(centre) as office:
        sent = office.submit(b"truoc", to=[ENDING], request_id="before")
    waited_for(lambda: centre.delivery(sent.document_id)["state"] == "delivered")
    file = centre.data.parent / "before.zip"
    centre.done("evidence", "export", sent.document_id, "--out", file)
    return sent.document_id, file


def carry_out_reform(network: Network) -> datetime:
    """The officers' one command; returns when it takes effect."""
    file = network.folder / "reform.toml"
    file.write_text(reform_file(), encoding="utf-8")
    end = datetime.now(UTC).replace(microsecond=0) + LEAD
    words = ("agency", "reorganise", file, "--at", end.isoformat())
    assert network.registry.run(*words).error == (2, "REQUEST_INVALID")  # without --yes
    told = network.registry.done(*words, "--yes")
    assert len(told["agencies"]) == len(FOLLOWED) == 29
    return end


def nothing_is_lost(centre: Node, ending: Node, following: Node, sent: set[str]) -> None:
    """Each document is at one of the two nodes, once, and its sender has the receipt."""
    delivered = messages.DELIVERY_STATE_DELIVERED
    waited_for(
        lambda: set(states(centre)[ENDING]) == {delivered},
        within_s=90,
        what="all delivered",
    )
    here, there = set(ending.received()), set(following.received())
    assert sent <= here | there
    assert not here & there
    assert here
    assert there


def told_or_delivered(ending: Node, centre: Node, sent: set[str]) -> None:
    """What the ending province sealed before its end arrived; of the rest its office is told."""
    waited_for(
        lambda: (
            set(states(ending)[CENTRE])
            <= {messages.DELIVERY_STATE_DELIVERED, messages.DELIVERY_STATE_HELD}
        ),
        within_s=60,
        what="told or delivered",
    )
    arrived = set(centre.received())
    assert len(arrived & sent) > 5
    for document_id in sent - arrived:
        delivery = ending.delivery(document_id)
        assert (delivery["state"], delivery["reason"]) == ("held", "AGENCY_ENDED")
        assert FOLLOWING in delivery["message"]


def whole_directory_follows(centre: Node, end: datetime) -> None:
    """Every code of 63 leads to one of 34, before and after the moment."""
    directory = directory_of(centre)
    just_before = end - timedelta(milliseconds=1)
    for code in BEFORE:
        assert directory.node_of(code, just_before) == code
        assert directory.node_of(code, end) == FOLLOWED.get(code, code)
        state = directory.agency(code).state
        assert state is (AgencyState.MERGED if code in FOLLOWED else AgencyState.ACTIVE)
    assert len(AFTER) == 34
    assert len({directory.node_of(code, end) for code in BEFORE}) == 34
    for into, ended in MERGERS.items():
        assert set(directory.agency(into).predecessors) == set(ended)


def evidence_of_before_and_after(network: Network, centre: Node, before: tuple[str, Path]) -> None:
    """Old evidence holds, exported then or now; that of a document to the old code too."""
    root = network.registry.done("status")["root_sha256"]
    document_id, old = before
    again = old.with_name("again.zip")
    centre.done("evidence", "export", document_id, "--out", again)
    with office_of(centre) as office:
        sent = office.submit(b"sau", to=[ENDING], request_id="after")
    waited_for(lambda: centre.delivery(sent.document_id)["state"] == "delivered", within_s=60)
    after = old.with_name("after.zip")
    centre.done("evidence", "export", sent.document_id, "--out", after)
    for file in (old, again, after):
        verdict = centre.done("evidence", "verify", file, "--root", root)
        assert verdict["verdict"] == "valid"
        notes = " ".join(verdict["notes"])
        assert f"{ENDING} is merged into {FOLLOWING} as of" in notes
    assert f"{FOLLOWING} answered for {ENDING}" in notes


def test_the_page_about_mergers_runs_as_printed_and_officers_read_what_they_sign(
    tmp_path: Path,
) -> None:
    network = Network(tmp_path)
    try:
        ceremonies = Ceremonies(network)
        ceremonies.carry_out("Founding, with officers who sign elsewhere")
        for code in ("H57", "H25", "H42", "H40", "H41", "H09", "H06", "H29", "H54", "H31"):
            network.registry.done("agency", "add", code, "--name", f"Tỉnh {BEFORE[code]}")
        told = ceremonies.carry_out("Agencies merge, are split, are closed")
        end = "2035-06-30T17:00:00.000Z"
        assert f"H54 ends at {end}: it is merged into H31." in told
        assert f"H40 ends at {end}: it is split into H42, H57." in told
        assert f"H41 ends at {end}: it is closed, nobody follows it." in told
        listed = network.registry.done("agency", "list")["agencies"]
        assert {item["code"]: item["successors"] for item in listed if item["successors"]} == {
            "H06": ["H29"],
            "H09": ["H29"],
            "H25": ["H42"],
            "H40": ["H42", "H57"],
            "H54": ["H31"],
        }
        names = {item["code"]: item["name"] for item in listed}
        assert names["H57"] == "Ủy ban nhân dân Thành phố Huế"
        assert names["H29"] == "Ủy ban nhân dân Thành phố Hồ Chí Minh"
        assert network.registry.done("status")["problems"] is not None
    finally:
        network.close()
