"""The ``edocregistry`` command as an operator meets it: real processes, exit codes, texts."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import command_line, run_command

MODULE = "edocregistry.cli.main"
COMMAND = command_line(MODULE)
TIMEOUT_S = 120


def command(*words: object, data: Path | None = None, **environment: str):
    """Runs one command to its end."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("EDOCREGISTRY_")}
    given = [] if data is None else ["--data", str(data)]
    return subprocess.run(
        [*COMMAND, *map(str, words), *given],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**variables, **environment},
        check=False,
    )


def done(*words: object, data: Path) -> dict:
    """Runs a command that must succeed and returns its JSON."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("EDOCREGISTRY_")}
    given = [*map(str, words), "--json", "--data", str(data)]
    result = run_command(MODULE, given, environment=variables, timeout_s=TIMEOUT_S)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "sổ đăng ký"
    done("init", "--network", "vn-test", "--listen", "127.0.0.1:0", data=path)
    return path


@pytest.fixture
def serving(folder) -> Iterator[tuple[Path, str]]:
    process = start(folder)
    yield folder, ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 0
    process.stdout.close()


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, "serve", "--data", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ready(process: subprocess.Popen) -> str:
    line = json.loads(process.stdout.readline())
    assert line["schema"] == "edoc.ready/v1"
    return line["listen"]


def error(result) -> tuple[int, str]:
    """Exit code and reason of a command that failed with ``--json``."""
    assert result.stdout == ""
    last = json.loads(result.stderr.strip().splitlines()[-1])
    assert last["schema"] == "edoc.error/v1"
    assert last["message"]
    return result.returncode, last["reason"]


def test_without_arguments_help_goes_to_stderr_and_the_exit_code_is_2():
    result = command()
    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage: edocregistry" in result.stderr


@pytest.mark.parametrize(
    "words", [("--wrong",), ("agency", "add"), ("nothing",), ("invite",), ("init",)]
)
def test_wrong_use_is_2_with_a_line_that_says_why(words, tmp_path):
    result = command(*words, data=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")


def test_missing_data_folder_is_told_with_what_to_do(tmp_path):
    result = command("status", data=tmp_path / "none")
    assert result.returncode == 1
    assert "There is no registry in" in result.stderr
    assert "hint: Name its folder with --data" in result.stderr
    assert error(command("status", "--json", data=tmp_path / "none"))[1] == "DATA_FOLDER_UNUSABLE"
    assert command("status").returncode == 2


def test_data_folder_can_be_named_before_or_after_or_in_the_environment(folder):
    for result in (
        command("--data", folder, "status"),
        command("status", "--data", folder),
        command("status", EDOCREGISTRY_DATA=str(folder)),
    ):
        assert result.returncode == 0, result.stderr


def test_init_says_where_the_root_keys_are_and_what_auto_publish_means(tmp_path):
    result = command(
        "init", "--network", "vn-test", "--listen", "127.0.0.1:0", data=tmp_path / "new"
    )
    assert result.returncode == 0
    assert "keep it offline" in result.stderr
    assert "can replace the key of any agency" in result.stderr
    assert re.search(r"[0-9a-f]{64}", result.stdout)


def test_second_init_is_a_conflict(folder):
    result = command("init", "--network", "x", "--listen", "127.0.0.1:0", "--json", data=folder)
    assert error(result) == (6, "FILE_EXISTS")


@pytest.mark.parametrize(
    ("network", "listen"),
    [("Vn", "127.0.0.1:1"), ("vn", "127.0.0.1"), ("vn", "127.0.0.1:99999"), ("vn", "0.0.0.0:7440")],
)
def test_init_with_a_value_that_cannot_be_used_makes_nothing(tmp_path, network, listen):
    result = command(
        "init", "--network", network, "--listen", listen, "--json", data=tmp_path / "n"
    )
    assert error(result) == (2, "SETTINGS_INVALID")
    assert not (tmp_path / "n").exists()


def test_agency_goes_through_its_life_by_commands(folder):
    old_code = "000.00.00.H29"
    words = ("agency", "add", "H29", "--name", "Đồng Tháp", "--alias", old_code)
    assert done(*words, data=folder)["state"] == "active"
    assert done(*words, data=folder)["state"] == "active"
    taken = command(
        "agency", "add", "H30", "--name", "x", "--alias", old_code, "--json", data=folder
    )
    assert error(taken) == (6, "AGENCY_EXISTS")
    assert done("agency", "show", old_code, data=folder)["code"] == "H29"
    listed = done("agency", "list", data=folder)["agencies"]
    assert [item["code"] for item in listed] == ["H29", "REGISTRY"]
    for _ in range(2):
        assert done("agency", "suspend", "H29", data=folder)["state"] == "suspended"
    assert done("agency", "resume", "H29", data=folder)["state"] == "active"
    without_yes = command("agency", "close", "H29", "--json", data=folder)
    assert error(without_yes) == (2, "REQUEST_INVALID")
    for _ in range(2):
        assert done("agency", "close", "H29", "--yes", data=folder)["state"] == "closed"
    resumed = command("agency", "resume", "H29", "--json", data=folder)
    assert error(resumed) == (6, "DECISION_CONFLICT")
    assert error(command("agency", "show", "H99", "--json", data=folder)) == (3, "AGENCY_UNKNOWN")


def test_invite_prints_the_join_string_alone(folder):
    done("agency", "add", "H29", "--name", "Đồng Tháp", data=folder)
    result = command("invite", "H29", data=folder)
    assert re.fullmatch(r"edoc1:127\.0\.0\.1:\d+:[0-9a-f]{64}:[a-z2-7]{32}\n", result.stdout)
    assert "can replace the key of any agency" in result.stderr
    assert error(command("invite", "H99", "--json", data=folder)) == (3, "AGENCY_UNKNOWN")
    assert error(command("invite", "H29", "--ttl", "1y", "--json", data=folder)) == (
        2,
        "REQUEST_INVALID",
    )


def test_revoke_needs_yes_and_a_time_with_a_zone(folder):
    done("agency", "add", "H29", "--name", "x", data=folder)
    assert command("revoke", "H29", data=folder).returncode == 2
    no_zone = command(
        "revoke", "H29", "--yes", "--compromised-since", "2026-11-01T00:00:00", data=folder
    )
    assert no_zone.returncode == 2
    assert error(command("revoke", "H29", "--yes", "--json", data=folder)) == (4, "AGENCY_INACTIVE")


def test_publish_without_need_says_so_and_is_done(folder):
    first = done("publish", data=folder)
    assert first["signed"] == []
    assert done("publish", data=folder)["version"] == first["version"]


def test_commands_work_while_the_server_runs_and_status_knows_it(serving):
    folder, listen = serving
    done("agency", "add", "H29", "--name", "x", data=folder)
    status = done("status", data=folder)
    assert status["listen"] == listen
    assert status["answers"] is True
    assert status["agencies"]["active"] == 1
    assert [problem["code"] for problem in status["problems"]] == ["AUTO_PUBLISH", "ROOT_KEYS_HERE"]
    text = command("status", data=folder).stdout
    assert text.startswith("PROBLEM This machine can replace the keys of every agency")


def test_second_serve_on_one_folder_is_a_conflict(serving):
    folder, _ = serving
    assert error(command("serve", "--json", data=folder)) == (6, "FOLDER_IN_USE")


def test_port_in_use_is_a_conflict_that_names_the_address(folder):
    listen = done("status", data=folder)["listen"]
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(listen.rpartition(":")[2])))
        other.listen()
        result = command("serve", "--json", data=folder)
    assert error(result) == (6, "ADDRESS_IN_USE")
    assert listen in result.stderr


def test_key_that_others_may_read_stops_the_server(folder):
    (folder / "keys" / "online.pem").chmod(0o640)
    result = command("serve", "--json", data=folder)
    assert error(result) == (1, "KEY_UNUSABLE")
    assert "chmod 600" in result.stderr


def test_folder_that_others_may_read_is_refused(folder):
    folder.chmod(0o755)
    assert error(command("status", "--json", data=folder)) == (1, "DATA_FOLDER_UNUSABLE")


def test_misspelt_setting_is_named(folder):
    settings = folder / "edocregistry.toml"
    settings.write_text(settings.read_text() + "lissten = 1\n")
    result = command("status", "--json", data=folder)
    assert error(result) == (2, "SETTINGS_INVALID")
    assert "lissten" in result.stderr


def test_server_killed_at_once_starts_again(folder):
    for _ in range(2):
        process = start(folder)
        ready(process)
        process.kill()
        process.wait()
        process.stdout.close()
    process = start(folder)
    ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()


def test_tls_1_2_is_refused_and_1_3_is_spoken(serving):
    host, _, port = serving[1].rpartition(":")

    def protocol(version: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return connection.version()

    assert protocol(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        protocol(ssl.TLSVersion.TLSv1_2)
