"""Documents are taken back while nodes are killed: what was revoked is gone, all else is there."""

import os
import random
import time

import pytest

from edocnode.rpc.office_client import open_office
from tests.support.load import office_of
from tests.support.network import HA_TINH, NOI_VU, Node, waited_for

ROUNDS = int(os.environ.get("EDOC_CRASH_ROUNDS", "10"))
SEED = int(os.environ.get("EDOC_CRASH_SEED", "1"))
DOCUMENTS = 12
REASON = "Ban hành nhầm phụ lục số 2"


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.timeout(300 + 8 * ROUNDS)
def test_kill_at_any_moment_of_a_revocation_leads_to_the_same_end(network, tmp_path):
    sender, recipient = network[HA_TINH], network[NOI_VU]
    chance = random.Random(SEED)
    contents = {}
    with office_of(sender) as office:
        for number in range(DOCUMENTS):
            size = 300_000 if number % 3 == 0 else 3_000
            content = chance.randbytes(size)
            sent = office.submit(content, to=[NOI_VU], request_id=f"r-{number}")
            contents[sent.document_id] = sent.digests[0]
    waited_for(lambda: len(recipient.received()) == DOCUMENTS, within_s=60)
    revoked = chance.sample(sorted(contents), DOCUMENTS // 2)
    for victim in [recipient, sender] * (ROUNDS // 5 + 1):
        for document_id in chance.sample(revoked, 2):
            revoke(sender, document_id)
        time.sleep(chance.uniform(0, 0.6))
        victim.kill()
        victim.start()
    for document_id in revoked:
        revoke(sender, document_id)
    for document_id in revoked:
        waited_for(lambda at=document_id: destroyed(sender, at), within_s=90, what=document_id)
    check_all(recipient, contents, revoked, tmp_path)
    for node in (sender, recipient):
        assert node.alarms() == {}
        assert node.done("journal", "verify")["seals"] > 0


def revoke(sender: Node, document_id: str) -> None:
    """Takes a document back; repeating it changes nothing."""
    with open_office(sender.socket) as office:
        office.revoke(document_id, [], actor="Lan", reason=REASON)


def destroyed(sender: Node, document_id: str) -> bool:
    """Whether the recipient told that it destroyed a document."""
    return bool(sender.delivery(document_id)["revocation"] == "agreed")


def check_all(recipient: Node, contents: dict[str, str], revoked: list[str], folder) -> None:
    """What was taken back cannot be read; what was not is there, bytes and all."""
    for document_id, digest in contents.items():
        saved = recipient.run("save", document_id, "--to", folder / document_id)
        if document_id in revoked:
            assert saved.error == (4, "DOCUMENT_REVOKED")
            shown = recipient.done("show", document_id)
            assert (shown["received"][0]["state"], shown["record"]) == ("revoked", {})
            waited_for(lambda at=digest: not blob(recipient, at), what="its file gone")
        else:
            assert saved.data["files"][0]["sha256"] == digest


def blob(node: Node, digest: str) -> bool:
    """Whether a file of a part is there."""
    return (node.data / "blobs" / digest[:2] / digest[2:]).exists()
