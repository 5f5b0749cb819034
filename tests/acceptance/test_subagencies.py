"""A province lists its departments itself: real registry, real nodes, the commands as they are."""

from pathlib import Path

import pytest

from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

pytestmark = [pytest.mark.slow]
OWN_ENTRY = "OWN_ENTRY_CHANGED"
REFUSED = "SUBAGENCY_REFUSED"


@pytest.fixture
def province(network: Network) -> Node:
    """H29 with a space for its codes, which its operator has accepted."""
    network.registry.done("agency", "delegate", HA_TINH, "H29.*", "*.H29")
    node = network[HA_TINH]
    waited_for(lambda: OWN_ENTRY in node.alarms(), what="the space is seen")
    node.done("directory", "accept", "--yes")
    return node


def listed(node: Node) -> dict[str, str]:
    """State by code."""
    found = node.done("subagency", "list")["subagencies"]
    return {item["code"]: item["state"] for item in found}


def steps(node: Node, document_id: str) -> list[str]:
    """What the recipient told of a document."""
    return [step["step"] for step in node.delivery(document_id)["timeline"]]


def knows(node: Node, code: str) -> None:
    """Waits until an agency can be written to."""
    words = ("send", __file__, "--to", code, "--subject", "Thử")
    waited_for(lambda: node.run(*words).code == 0, within_s=60, what=f"{node.code} knows {code}")


def test_department_is_written_to_within_a_refresh_and_no_officer_was_asked(
    network: Network, province: Node, tmp_path: Path
) -> None:
    ministry = network[NOI_VU]
    done = province.done(
        "subagency", "add", "H29.6", "--name", "Sở Tài chính", "--alias", "000.06.00.H29"
    )
    assert (done["codes"], done["published"]) == (["H29.6"], True)
    knows(ministry, "000.06.00.H29")
    received = waited_for(province.received, what="arrival")
    province.done("accept", received[0])
    letter = province.done(
        "send", __file__, "--to", NOI_VU, "--from", "H29.6", "--subject", "Trả lời", "--wait", "60"
    )
    assert letter["deliveries"][0]["state"] == "delivered"
    assert OWN_ENTRY not in province.alarms()  # its own change is its own
    waited_for(lambda: listed(province)["H29.6"] == "open", what="the list in the directory")
    root = network.registry.done("status")["root_sha256"]
    for node, document_id in ((province, letter["document_id"]), (ministry, received[0])):
        file = tmp_path / f"{node.code}.zip"
        node.done("evidence", "export", document_id, "--out", file)
        verdict = node.done("evidence", "verify", file, "--root", root)
        assert verdict["verdict"] == "valid"
    assert province.done("journal", "verify")["verdict"] == "ok"


def test_five_hundred_departments_come_from_a_file_or_none_of_them(
    network: Network, province: Node, tmp_path: Path
) -> None:
    rows = [f'H29.{n},"Phòng số {n}, quận {n % 24}",{n}.00.00.H29' for n in range(100, 600)]
    file = tmp_path / "các phòng.csv"
    file.write_text("\n".join(["code,name,aliases", *rows]) + "\n", encoding="utf-8-sig")
    done = province.done("subagency", "add", "--from-file", file)
    assert len(done["codes"]) == 500
    assert done["published"] is True
    assert province.done("subagency", "add", "--from-file", file)["codes"] == []
    knows(network[NOI_VU], "H29.599")
    knows(network[NOI_VU], "599.00.00.H29")
    file.write_text("code,name,aliases\nH29.700,Phòng,\nH30.1,Phòng,\n", encoding="utf-8")
    refused = province.run("subagency", "add", "--from-file", file)
    assert refused.error == (4, "SUBAGENCY_REFUSED")
    assert "line 3" in refused.talk
    assert "H30.1" in refused.talk
    assert "H29.700" not in listed(province)


def test_document_in_flight_to_a_closed_department_is_answered_and_old_ones_go_on(
    network: Network, province: Node
) -> None:
    ministry = network[NOI_VU]
    province.done("subagency", "add", "H29.6", "--name", "Sở Tài chính")
    knows(ministry, "H29.6")
    received = waited_for(province.received, what="arrival")[0]
    own = province.done(
        "send", __file__, "--to", NOI_VU, "--from", "H29.6", "--subject", "Cũ", "--wait", "60"
    )
    province.stop()
    late = ministry.done("send", __file__, "--to", "H29.6", "--subject", "Muộn")["document_id"]
    ministry.stop()
    province.start()
    assert province.run("subagency", "close", "H29.6").error == (2, "REQUEST_INVALID")
    assert province.done("subagency", "close", "H29.6", "--yes")["codes"] == ["H29.6"]
    assert province.done("subagency", "close", "H29.6", "--yes")["codes"] == []
    ministry.start()
    waited_for(lambda: ministry.delivery(late)["state"] == "held", what="the answer")
    assert ministry.delivery(late)["reason"] == "RECIPIENT_NOT_HERE"
    again = ("send", __file__, "--to", "H29.6", "--subject", "Nữa")
    waited_for(lambda: ministry.run(*again).code != 0, what="the newer list at the ministry")
    assert ministry.run(*again).error == (4, "AGENCY_INACTIVE")
    refused = province.run("send", __file__, "--to", NOI_VU, "--from", "H29.6", "--subject", "Nữa")
    assert refused.error == (4, "AGENCY_INACTIVE")
    # What was exchanged before is still answered, both ways.
    province.done("accept", received)
    waited_for(lambda: "accepted" in steps(ministry, received), what="status from the closed one")
    ministry.done("accept", own["document_id"])
    waited_for(
        lambda: "accepted" in steps(province, own["document_id"]), what="status to the closed one"
    )
    reopened = province.run("subagency", "add", "H29.6", "--name", "Sở Tài chính")
    assert reopened.error == (6, "DECISION_CONFLICT")
    assert listed(province)["H29.6"] == "closed"


def test_list_waits_for_a_registry_that_is_down_and_is_published_by_itself(
    network: Network, province: Node
) -> None:
    network.registry.stop()
    done = province.done("subagency", "add", "H29.6", "--name", "Sở Tài chính")
    assert (done["codes"], done["published"]) == (["H29.6"], False)
    province.done("subagency", "rename", "H29.6", "--name", "Sở Tài chính - Kế hoạch")
    assert listed(province)["H29.6"] == "waiting"
    province.restart()
    assert listed(province)["H29.6"] == "waiting"
    network.registry.start()
    waited_for(lambda: listed(province)["H29.6"] == "open", within_s=60, what="publication")
    knows(network[NOI_VU], "H29.6")


def test_list_that_is_refused_when_nobody_waits_is_told_by_an_alarm_until_one_is_taken(
    network: Network, province: Node
) -> None:
    network.registry.stop()
    province.done("subagency", "add", "H29.6", "--name", "Sở Tài chính")
    network.registry.done(
        "agency", "add", "H29.6", "--name", "Sở Tài chính"
    )  # officers were faster
    network.registry.start()
    waited_for(lambda: REFUSED in province.alarms(), within_s=90, what="the alarm")
    assert "H29.6" in province.alarms()[REFUSED]
    done = province.done("subagency", "add", "H29.7", "--name", "Sở Y tế")
    assert done["published"] is True  # what was refused does not keep it from peers
    waited_for(lambda: REFUSED not in province.alarms(), what="the end of the alarm")
    waited_for(lambda: listed(province)["H29.7"] == "open", what="the list in the directory")
    assert listed(province).get("H29.6") != "waiting"


def test_what_cannot_be_listed_is_told_with_its_code_and_what_to_do(
    network: Network, province: Node
) -> None:
    ministry = network[NOI_VU]
    told = ministry.run("subagency", "add", "G01.7", "--name", "Vụ")
    assert told.error == (4, "SUBAGENCY_REFUSED")
    assert "edocregistry agency delegate G01" in told.talk
    for code in ("H30.1", "H29", "G01.22", "REGISTRY"):
        told = province.run("subagency", "add", code, "--name", "Sở")
        assert told.error == (4, "SUBAGENCY_REFUSED"), code
        assert code in told.talk
    for code in ("H290.1", "h29.6", "H29.", "\u041d29.6", "H29.\uff16"):
        assert province.run("subagency", "add", code, "--name", "Sở").error == (
            2,
            "REQUEST_INVALID",
        )
    province.done("subagency", "add", "H29.6", "--name", "Sở Tài chính")
    other = province.run("subagency", "add", "H29.6", "--name", "Sở Y tế")
    assert other.error == (6, "DECISION_CONFLICT")
    assert province.run("subagency", "rename", "H29.66", "--name", "x").error == (
        3,
        "AGENCY_UNKNOWN",
    )
    taken = network.registry.run("agency", "add", "H29.6", "--name", "x")
    assert taken.error == (6, "AGENCY_EXISTS")
    renamed = province.done("subagency", "rename", "H29.6", "--name", "Sở Tài chính - Kế hoạch")
    assert renamed["codes"] == ["H29.6"]
