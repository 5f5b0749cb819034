"""The contract of every command: streams, exit codes, one-line reasons."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from edoccore import errors
from edockit.console import Console, hoisted, local_time, local_time_text, new_app, run, table

NOON = datetime(2026, 11, 23, 5, 0, 4, 678_000, tzinfo=UTC)


def make_app() -> typer.Typer:
    app = new_app("Exchanges documents.")

    @app.callback()
    def root(
        context: typer.Context, data: Path = Path(), json: bool = False, lang: str = "vi"
    ) -> None:
        context.obj = (Console(as_json=json), data, lang)

    @app.command()
    def where(context: typer.Context) -> None:
        console, data, lang = context.obj
        console.say("looking")
        console.data({"schema": "edoc.where/v1", "data": str(data), "lang": lang}, f"at {data}")

    @app.command()
    def fail(reason: str) -> None:
        kind = next(k for k in errors.EdocError.__subclasses__() if k.reason == reason)
        raise kind("Hà Nội is not there", hint="check the code")

    @app.command(name="break")
    def break_down() -> None:
        raise KeyError("geheim")

    @app.command()
    def leave() -> None:
        raise typer.Exit(4)

    return app


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(make_app(), name="edoctest", arguments=arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_data_goes_to_stdout_and_talk_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "where") == (0, "at .\n", "looking\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "/d", "--json", "--lang=en", "where"],
        ["where", "--data", "/d", "--json", "--lang=en"],
        ["--json", "where", "--data=/d", "--lang", "en"],
    ],
)
def test_global_options_stand_before_or_after(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert json.loads(out) == {"schema": "edoc.where/v1", "data": "/d", "lang": "en"}


def test_what_follows_two_dashes_is_not_moved() -> None:
    assert hoisted(["send", "a", "--", "--json"]) == ["send", "a", "--", "--json"]
    assert hoisted(["send", "--data"]) == ["--data", "send"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("AGENCY_UNKNOWN", 3),
        ("TOKEN_REFUSED", 4),
        ("NOT_RUNNING", 5),
        ("FOLDER_IN_USE", 6),
        ("SETTINGS_INVALID", 2),
        ("STORAGE_FAILED", 1),
    ],
)
def test_an_error_is_one_line_a_hint_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], reason: str, code: int
) -> None:
    assert call(capsys, "fail", reason) == (
        code,
        "",
        "error: Hà Nội is not there\nhint: check the code\n",
    )


def test_an_error_in_json_ends_stderr_and_leaves_stdout_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = call(capsys, "fail", "AGENCY_UNKNOWN", "--json")
    assert (code, out) == (3, "")
    assert json.loads(err.splitlines()[-1]) == {
        "schema": "edoc.error/v1",
        "reason": "AGENCY_UNKNOWN",
        "message": "Hà Nội is not there",
        "hint": "check the code",
    }


def test_no_arguments_print_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: edoctest ")
    assert "where" in err


def test_help_that_was_asked_for_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: edoctest ")


@pytest.mark.parametrize(
    "arguments", [["where", "--nonsense"], ["wher"], ["fail"], ["where", "--data"], ["where", "x"]]
)
def test_wrong_use_is_one_line_and_where_to_look(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert second == "hint: see: edoctest --help"


def test_wrong_use_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["wher", "--json"], ["--json"]):
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (2, "")
        assert json.loads(err)["reason"] == "REQUEST_INVALID"


def test_a_fault_tells_nothing_secret(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "break")
    assert (code, out) == (1, "")
    assert "KeyError" in err
    assert "geheim" not in err


def test_a_command_may_choose_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "leave") == (4, "", "")


def test_times_are_shown_as_in_viet_nam() -> None:
    assert local_time(NOON) == "2026-11-23T12:00:04.678+07:00"
    assert local_time_text(NOON) == "23/11/2026 12:00:04"
    for show in (local_time, local_time_text):
        with pytest.raises(ValueError, match="time zone"):
            show(NOON.replace(tzinfo=None))


def test_a_table_has_whole_lines_in_a_pipe() -> None:
    long = "Về việc " * 60
    lines = table(["Mã", "Trích yếu", "Lúc"], [["H29", long.strip(), NOON]]).splitlines()
    assert len(lines) == 3
    assert long.strip() in lines[2]
    assert "[bold]" in table(["x"], [["[bold]not markup[/bold]"]])


PROGRAM = textwrap.dedent(
    """
    import sys, time, typer
    from edockit.console import Console, new_app, run
    app = new_app("x")
    @app.command()
    def many():
        for number in range(100_000):
            Console().data({}, f"line {number}")
    @app.command()
    def wait():
        Console().say("waiting")
        time.sleep(30)
    sys.exit(run(app, name="edoctest"))
    """
)


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    command = f"'{sys.executable}' -c \"$PROGRAM\" many | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PROGRAM": PROGRAM},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "line 0\n", "")


def test_an_interrupted_command_says_so() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "wait"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "interrupted\n"
    assert process.returncode == 130


def test_the_console_imports_nothing_heavy() -> None:
    code = (
        "import sys, edockit.console; "
        "print([m for m in ('typer','rich','grpc','sqlalchemy','pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
