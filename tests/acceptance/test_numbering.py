"""Official numbers that a node gives: a clerk's register, on a network of its own."""

from tests.acceptance.test_exchange import send
from tests.support.network import HA_TINH, NOI_VU, Network


def test_clerk_reserves_numbers_for_paper_and_has_documents_numbered(network: Network) -> None:
    node = network[HA_TINH]
    node.stop()
    node.settings["NUMBERING"] = '["H29"]'
    node.start()
    assert node.run_text("numbers", "reserve", "--count", 2, "--for", "Bản giấy").output == "1\n2\n"
    sent = send(node, "--number", "auto", "--notation", "QĐ-UBND")
    assert sent["number"] == "3"
    node.done("numbers", "void", 2, "--reason", "In hỏng, không dùng")
    listed = node.done("numbers", "list")["numbers"]
    states = [(item["number"], item["state"]) for item in listed]
    assert states == [(3, "used"), (2, "void"), (1, "paper")]
    assert listed[0]["document_id"] == sent["document_id"]
    assert node.run("numbers", "void", 3, "--reason", "Không cần nữa").error == (
        6, "DECISION_CONFLICT",
    )  # fmt: skip
    assert "03/QĐ-UBND" in network[NOI_VU].run_text("inbox").output
