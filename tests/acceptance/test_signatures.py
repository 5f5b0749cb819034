"""Signatures as a clerk meets them: by the commands, in clear words, with and without the extra."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from edocnode.storage.folder import DataFolder
from tests.support.network import HA_TINH, NOI_VU, waited_for
from tests.support.nodes import make_pair
from tests.support.signing_pki import DECISION, NOW, OFFICE, PERSON, Authority, sign_pdf

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-c", "from edocnode.cli.main import main; main()"]
EXTRA = ("pyhanko", "signxml", "lxml", "asn1crypto")
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def government() -> Authority:
    return Authority.make("CA chuyên dùng Chính phủ")


@pytest.fixture(scope="module")
def roots(government: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("roots")
    (folder / "root.pem").write_bytes(government.root.pem())
    return folder


@pytest.fixture(scope="module")
def signed(government: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decision with both signatures, the first with a timestamp."""
    one = sign_pdf(DECISION.read_bytes(), government.person(), timestamper=government.timestamper())
    file = tmp_path_factory.mktemp("văn bản") / DECISION.name
    file.write_bytes(sign_pdf(one, government.office()))
    return file


def check(*words: object, command: list[str] = COMMAND) -> subprocess.CompletedProcess[str]:
    """Runs ``signatures check`` without any node."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("EDOCNODE_")}
    return subprocess.run(
        [*command, "signatures", "check", *map(str, words)],
        capture_output=True, text=True, timeout=TIMEOUT_S, env=variables, check=False,
    )  # fmt: skip


def test_file_that_replaces_paper_is_told_in_clear_words(signed: Path, roots: Path) -> None:
    done = check(signed, "--trust", roots)
    assert done.returncode == 0, done.stderr
    first, person, office = done.stdout.strip().splitlines()
    assert first == "Legal status: replaces paper"
    at = NOW.astimezone(_viet_nam()).strftime("%d/%m/%Y %H:%M:%S")
    assert person == (
        f"Signature of {PERSON} (personal): valid, signed {at} (time from a timestamp), "
        "covers all but later signatures, "
        "no revocation list says whether its certificate was revoked"
    )
    assert office.startswith(f"Signature of {OFFICE} (organisation): valid, signed {at} (time as ")
    assert "covers the whole file" in office


def test_anything_less_exits_with_4_and_says_why(signed: Path, roots: Path, tmp_path: Path) -> None:
    content = bytearray(signed.read_bytes())
    content[content.index(b"endstream") - 20] ^= 1
    changed = tmp_path / "đã sửa.pdf"
    changed.write_bytes(content)
    done = check(changed, "--trust", roots)
    assert done.returncode == 4
    assert "NOT valid: the content was changed" in done.stdout
    done = check(signed, DECISION, "--trust", roots)
    assert done.returncode == 4
    assert "an attached PDF lacks the organisation's valid signature" in done.stdout
    assert f"File 2, {DECISION.name}: it has no signature" in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    done = check(signed, "--trust", empty, "--json")
    assert done.returncode == 4


def test_check_as_json_has_every_fact(signed: Path, roots: Path) -> None:
    done = check(signed, "--trust", roots, "--json")
    data = json.loads(done.stdout)
    assert data["schema"] == "edoc.signatures/v1"
    assert data["legal_status"] == "replaces_paper"
    person, _ = data["checked_parts"][0]["signatures"]
    assert (person["kind"], person["signer"], person["result"]) == ("personal", PERSON, "valid")
    assert person["signed_at"].endswith("+07:00")


@pytest.mark.parametrize("name", ["không có.pdf", "a.docx"])
def test_file_that_cannot_be_checked_is_wrong_use(name: str, roots: Path) -> None:
    done = check(name, "--trust", roots)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_both_clerks_see_what_signatures_are_worth(
    joined_network: Any, signed: Path, roots: Path, tmp_path: Path
) -> None:
    network = joined_network.copied(tmp_path)
    stores = json.dumps([{"name": "Chính phủ", "folder": str(roots)}])
    for code in (HA_TINH, NOI_VU):
        network[code].settings["TRUST_STORES"] = stores
    try:
        network.start()
        sender, recipient = network[HA_TINH], network[NOI_VU]
        sent = sender.done(
            "send", signed, "--to", NOI_VU, "--subject", "Về việc ban hành", "--wait", "60"
        )
        ident = sent["document_id"]

        def seen() -> Any:
            [row] = recipient.done("inbox")["documents"]
            return row if row["legal_status"] != "not_checked" else None

        row = waited_for(seen, within_s=60, what="a verdict")
        assert row["legal_status"] == "replaces_paper"
        for node in (sender, recipient):
            waited_for(lambda at=node: _is_checked(at, ident), within_s=60, what="a verdict")
            told = node.run_text("show", ident).output
            assert "Legal status: replaces paper" in told
            assert f"Signature of {PERSON} (personal): valid" in told
        again = recipient.done("signatures", "recheck", ident)
        assert (again["schema"], again["checks"]) == ("edoc.recheck/v1", 1)
    finally:
        network.close()


def test_without_the_extra_the_node_runs_and_says_what_is_missing(
    signed: Path, roots: Path, tmp_path: Path
) -> None:
    bare = _without_extra(tmp_path / "site")
    done = check(signed, "--trust", roots, command=bare)
    assert done.returncode == 4
    assert "Legal status: not checked" in done.stdout
    assert "the extra is not installed; pip install 'edocnode[signatures]'" in done.stdout
    _, node, _ = make_pair(tmp_path / "nodes")
    settings = DataFolder(node.data).settings_file
    settings.write_text('listen = "127.0.0.1:0"\n', encoding="utf-8")
    with subprocess.Popen(
        [*bare, "serve", "--data", str(node.data)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "EDOCNODE_TRUST_STORES": json.dumps([{"name": "a", "folder": "b"}])},
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            assert json.loads(running.stdout.readline())["schema"] == "edoc.ready/v1"
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(TIMEOUT_S) == 0


def _is_checked(node: Any, ident: str) -> bool:
    found = node.done("show", ident)
    entries = [*found["received"], *filter(None, [found["sent"]])]
    return all(entry["legal_status"] == "replaces_paper" for entry in entries)


def _without_extra(site: Path) -> list[str]:
    """The command in an environment that has everything but the extra."""
    site.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(EXTRA) and entry.suffix != ".pth":
            (site / entry.name).symlink_to(entry)
    places = [str(site), *(str(ROOT / name) for name in ("proto", "node", "registry"))]
    call = f"import sys; sys.path += {places!r}; from edocnode.cli.main import main; main()"
    return [sys.executable, "-I", "-S", "-c", call]


def _viet_nam() -> Any:
    from edockit.console import VIET_NAM

    return VIET_NAM
