"""The ``edocnode`` command when something is wrong: one line of reason, one of remedy, right code.

Real processes on a real data folder; no registry and no peer runs.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edocnode.settings import settings_text
from edocnode.storage.folder import DataFolder
from tests.support.nodes import make_pair

COMMAND = [sys.executable, "-c", "from edocnode.cli.main import main; main()"]
TIMEOUT_S = 120
SCHEMA = "edoc.error/v1"
JOIN = "edoc1:127.0.0.1:1:" + "a" * 64 + ":" + "b" * 32


def command(*words: object, data: Path | None = None, **environment: str):
    """Runs one command to its end."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("EDOCNODE_")}
    given = [] if data is None else ["--data", str(data)]
    return subprocess.run(
        [*COMMAND, *given, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**variables, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def told(result: subprocess.CompletedProcess[str]) -> str:
    """What a person reads: one line of reason and at most one of remedy, nothing on stdout."""
    assert result.stdout == ""
    lines = [
        line for line in result.stderr.strip().splitlines() if not line.startswith("request id")
    ]
    assert lines[0].startswith("error: "), result.stderr
    assert len(lines) == 1 or lines[1].startswith("hint: "), result.stderr
    assert len(lines) <= 2, result.stderr
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a node that joined; it is stopped."""
    _, node, _ = make_pair(tmp_path / "Sở Nội vụ")
    settings = node.settings.model_copy(update={"listen": "127.0.0.1:0"})
    DataFolder(node.data).settings_file.write_text(settings_text(settings), encoding="utf-8")
    return node.data


def start(folder: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Starts a node; returns it with its ready line."""
    process = subprocess.Popen(
        [*COMMAND, "--data", str(folder), "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.fixture
def serving(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    process, ready = start(folder)
    yield folder, ready
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()


def test_no_arguments_show_the_help_on_stderr() -> None:
    result = command()
    assert (result.returncode, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["inbox", "--wrong"],
        ["nothing"],
        ["inbox", "--limit", "0"],
        ["inbox"],
        ["save", "01a206a638d5"],
        ["send", "missing.pdf", "--to", "G01", "--subject", "a"],
        ["reject", "01a206a638d5", "--code", "OTHER"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_told_with_code_2(words: list[str]) -> None:
    result = command(*words)
    assert result.returncode == 2
    told(result)


@pytest.mark.parametrize(
    "words", [["serve"], ["inbox"], ["status"], ["config", "check"]], ids=" ".join
)
def test_missing_data_folder_is_told_with_what_makes_one(words: list[str], tmp_path: Path) -> None:
    result = command(*words, data=tmp_path / "nowhere")
    assert result.returncode == 1
    assert "edocnode init JOIN --listen" in told(result)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["inbox"],
        ["outbox"],
        ["status"],
        ["peers"],
        ["ping", "G01"],
        ["accept", "01a206a638d5"],
        ["takeover", "--yes"],
        ["send", __file__, "--to", "G01", "--subject", "a"],
    ],
    ids=lambda words: words[0],
)
def test_stopped_node_is_told_with_what_starts_it(words: list[str], folder: Path) -> None:
    result = command(*words, data=folder)
    assert result.returncode == 5
    assert "edocnode serve --data" in told(result)


def test_killed_node_that_left_its_socket_counts_as_stopped(folder: Path) -> None:
    process, ready = start(folder)
    process.kill()
    process.wait()
    process.stdout.close()
    assert Path(ready["socket"]).exists()
    result = command("inbox", data=folder)
    assert result.returncode == 5
    assert "edocnode serve --data" in told(result)


def test_second_serve_on_a_folder_is_refused(serving: tuple[Path, dict[str, Any]]) -> None:
    result = command("serve", data=serving[0])
    assert result.returncode == 6
    told(result)


def test_port_in_use_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = command("serve", data=folder, EDOCNODE_LISTEN=f"127.0.0.1:{port}")
    assert result.returncode == 6
    assert str(port) in result.stderr
    assert "error: " in result.stderr


@pytest.mark.parametrize("name", ["keys/seal.key", "keys/tls-current.key"])
def test_key_that_others_may_read_is_refused(folder: Path, name: str) -> None:
    (folder / name).chmod(0o644)
    result = command("serve", data=folder)
    assert result.returncode == 1
    assert "chmod 600" in told(result)


def test_folder_that_others_may_read_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    result = command("serve", data=folder)
    assert result.returncode == 1
    assert "chmod 700" in told(result)


def test_setting_that_nobody_knows_is_named(folder: Path) -> None:
    with (folder / "edocnode.toml").open("a", encoding="utf-8") as file:
        file.write('lisen = "127.0.0.1:1"\n')
    for words in (["serve"], ["config", "check"]):
        result = command(*words, data=folder)
        assert result.returncode == 2
        assert "lisen" in told(result)


def test_variable_that_sets_nothing_is_named(folder: Path) -> None:
    result = command("config", "show", data=folder, EDOCNODE_LISEN="x")
    assert result.returncode == 2
    assert "EDOCNODE_LISEN" in told(result)


@pytest.mark.parametrize(
    "join", ["", "edoc1", JOIN[:-1], JOIN.replace("edoc1", "edoc9"), JOIN.replace("a", "g")]
)
def test_altered_join_string_makes_nothing(join: str, tmp_path: Path) -> None:
    result = command("init", join, "--listen", "127.0.0.1:0", data=tmp_path / "node")
    assert result.returncode == 2
    told(result)
    assert not (tmp_path / "node").exists()


def test_silent_registry_is_told(tmp_path: Path) -> None:
    result = command("init", JOIN, "--listen", "127.0.0.1:0", data=tmp_path / "node")
    assert result.returncode in (2, 5)  # 2: the string's own check finds it first
    told(result)


def test_takeover_needs_yes(folder: Path) -> None:
    result = command("takeover", data=folder)
    assert result.returncode == 2
    assert "--yes" in told(result)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_json_error_is_one_object_at_the_end_of_stderr(tmp_path: Path, before: bool) -> None:
    words = ["--json", "inbox"] if before else ["inbox", "--json"]
    result = command(*words, data=tmp_path / "nowhere")
    assert result.stdout == ""
    error = json.loads(result.stderr.splitlines()[-1])
    assert (error["schema"], error["reason"]) == (SCHEMA, "DATA_FOLDER_UNUSABLE")
    assert error["message"]
    assert error["hint"]


def test_global_option_may_follow_the_command(folder: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "config", "paths", "--data", str(folder), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout)["data"] == str(folder)


def test_ready_line_is_the_only_output_and_status_repeats_it(
    serving: tuple[Path, dict[str, Any]],
) -> None:
    folder, ready = serving
    assert ready["schema"] == "edoc.ready/v1"
    found = json.loads(command("status", "--json", data=folder).stdout)
    assert found["schema"] == "edoc.status/v1"
    assert found["ready"] == ready


def test_unknown_recipient_sends_nothing_with_code_3(
    serving: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "Công văn.pdf"
    file.write_bytes(b"content")
    words = ["send", file, "--to", "G01", "--to", "X99", "--subject", "Về việc thử"]
    result = command(*words, data=serving[0])
    assert result.returncode == 3
    assert "X99" in told(result)
    assert json.loads(command("outbox", "--json", data=serving[0]).stdout)["documents"] == []


def test_unknown_document_is_code_3(serving: tuple[Path, dict[str, Any]]) -> None:
    for words in (["show", "ffffffff"], ["accept", "ffffffff"]):
        result = command(*words, data=serving[0])
        assert result.returncode == 3
        told(result)


def test_send_is_safe_to_repeat_and_tells_an_undelivered_wait(
    serving: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = serving[0]
    file = tmp_path / "Công văn số 28.pdf"
    file.write_bytes(b"content")
    words = ["send", file, "--to", "G01", "--subject", "Về việc thử", "--json"]
    first = command(*words, data=folder)
    assert first.returncode == 0
    request_id = first.stderr.split()[2].rstrip(";")
    again = command(*words, "--request-id", request_id, "--wait", "1", data=folder)
    assert again.returncode == 5  # queued: the recipient's node is down
    one, two = json.loads(first.stdout), json.loads(again.stdout)
    assert one["schema"] == "edoc.send/v1"
    assert one["document_id"] == two["document_id"]
    assert two["deliveries"][0]["state"] in {"queued", "sending"}
    other = command(*words[:5], "khác", "--request-id", request_id, data=folder)
    assert other.returncode == 6
    told(other)


def test_t42_other_local_user_can_neither_send_nor_approve() -> None:
    """Only the mode of the socket stands between: its folders are opened to everybody here."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    with tempfile.TemporaryDirectory(prefix="edoc-t42-") as parent:
        _, node, _ = make_pair(Path(parent))
        settings = node.settings.model_copy(update={"listen": "127.0.0.1:0"})
        DataFolder(node.data).settings_file.write_text(settings_text(settings), encoding="utf-8")
        process, ready = start(node.data)
        try:
            path = Path(ready["socket"])
            assert path.stat().st_mode & 0o777 == 0o600
            for opened in (Path(parent), node.data):
                opened.chmod(0o755)
            assert as_nobody(path) == ["NOT_RUNNING", "NOT_RUNNING"]
            path.chmod(0o666)  # without the control the same caller gets in
            assert as_nobody(path) == ["DOCUMENT_UNKNOWN", "sent"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            process.stdout.close()


def as_nobody(path: Path) -> list[str]:
    """What the user nobody gets from the office's calls accept and submit."""
    program = f"""
import os, sys
from pathlib import Path
import encodings.idna, grpc
from edoccore.errors import EdocError
from edoccore.signing.statements import Urgency
from edoccore.wire.status import raise_for
from edocnode.rpc.office_client import Outgoing, open_office
os.setgroups([]); os.setgid(65534); os.setuid(65534)
letter = Outgoing(request_id="r-1", sender="", recipients=("G01",), urgency=Urgency.NORMAL,
                  fields=b'{{"subject":"a"}}', files=())
for call in (lambda office: office.accept("ffffffff", "nobody"),
             lambda office: office.submit(letter, [])):
    with open_office(Path({str(path)!r})) as office:
        try:
            call(office)
            print("sent")
        except EdocError as error:
            print(error.reason)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    return result.stdout.split()


def test_code_lists_are_shown_with_and_without_a_node(folder: Path) -> None:
    shown = json.loads(command("codes", "types", "--json").stdout)
    assert (shown["schema"], shown["list"], len(shown["codes"])) == ("edoc.codes/v1", "types", 29)
    for name, code, reads in (
        ("reasons", "WRONG_RECIPIENT", "Gửi không đúng nơi nhận"),
        ("decline-reasons", "LEGAL_HOLD", "Văn bản đang bị phong tỏa theo yêu cầu"),
        ("states", "assigned", "Phân công"),
    ):
        (line,) = [each for each in command("codes", name).stdout.splitlines() if code in each]
        assert reads in line
    own = folder / "codes.toml"
    own.write_text('[[types]]\ncode = "QTr"\nvi = "Quy trình"\n', encoding="utf-8")
    result = command("codes", "types", data=folder, EDOCNODE_CODE_LISTS="codes.toml")
    assert "Quy trình" in result.stdout
    assert "unverified" in result.stdout
    refused = command("codes", "types", data=folder, EDOCNODE_CODE_LISTS="../codes.toml")
    assert refused.returncode == 2
    assert "code_lists" in told(refused)


def test_unknown_document_type_is_refused_with_the_nearest_ones(folder: Path) -> None:
    file = folder.parent / "Công văn.pdf"
    file.write_bytes(b"%PDF-1.7")
    words = ["send", file, "--to", "G01", "--subject", "Về việc thử", "--type", "quyet din"]
    result = command(*words, data=folder)
    assert result.returncode == 2
    assert "QĐ (Quyết định)" in told(result)


def test_time_to_be_there_belongs_to_the_most_urgent_documents_alone(folder: Path) -> None:
    words = ["send", __file__, "--to", "G01", "--subject", "a", "--deliver-by", "2026-12-01T08:00"]
    result = command(*words, data=folder)
    assert result.returncode == 2
    assert "--urgency hoa_toc" in told(result)


def test_help_of_send_stands_under_headings() -> None:
    shown = command("send", "--help").stdout
    places = [shown.index(heading) for heading in ("Options:", "Who signed it:", "Sending:")]
    assert places == sorted(places)
    assert shown.index("--signer ") > places[1]


def test_state_secret_is_refused_with_code_4_before_the_node_is_asked(folder: Path) -> None:
    words = ["send", __file__, "--to", "G01", "--subject", "a", "--secrecy", "toi_mat"]
    result = command(*words, data=folder)
    assert result.returncode == 4
    assert "Tối mật" in told(result)


def test_doctor_of_a_stopped_node_says_what_it_could_not_look_at(folder: Path) -> None:
    done = command("doctor", "--json", data=folder)
    found = json.loads(done.stdout)
    assert (found["schema"], found["running"], done.stderr) == ("edoc.doctor/v1", False, "")
    health = {check["code"]: check["health"] for check in found["checks"]}
    assert health["registry"] == "problem"  # none runs in this test
    assert (done.returncode, found["ok"]) == (1, False)
    assert health["peers"] == health["clock"] == "not checked"
    vietnamese = command("--lang", "vi", "doctor", data=folder)
    assert "chưa kiểm tra" in vietnamese.stdout
    assert "Nút đang dừng." in vietnamese.stdout
