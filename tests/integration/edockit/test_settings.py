"""Settings: one object from file and environment, errors that name the place."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from edoccore.errors import SettingsError
from edockit.settings import ProgramSettings, load_settings, settings_table


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    open_streams: int = 8
    hosts: tuple[str, ...] = ()


class Sample(ProgramSettings):
    listen: str = "127.0.0.1:0"
    database_url: str = "sqlite://"
    console_token: str = ""
    limits: Limits = Limits()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN", "not ours")


def load(folder: Path, text: str = "") -> Sample:
    file = folder / "sample.toml"
    if text:
        file.write_text(text, encoding="utf-8")
    return load_settings(Sample, file, prefix="EDOCT_", not_settings=frozenset({"EDOCT_DATA"}))


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Sample()
    assert load(tmp_path).listen == "127.0.0.1:0"


def test_the_environment_beats_the_file_key_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDOCT_LIMITS__OPEN_STREAMS", "3")
    monkeypatch.setenv("EDOCT_DATA", "/elsewhere")
    loaded = load(tmp_path, 'listen = "0.0.0.0:1"\n[limits]\nopen_streams = 5\nhosts = ["a"]\n')
    assert loaded.listen == "0.0.0.0:1"
    assert loaded.limits == Limits(open_streams=3, hosts=("a",))


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).listen = "x"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('listn = "x"', ["listn", "sample.toml"]),
        ("[limits]\nopen = 1", ["limits.open", "sample.toml"]),
        ('[limits]\nopen_streams = "many"', ["limits.open_streams", "'many'", "sample.toml"]),
        ('[limits]\nhosts = ["a", 3]', ["limits.hosts.1", "3", "sample.toml"]),
        ("listen = x", ["sample.toml", "TOML", "line 1"]),
    ],
)
def test_an_error_names_key_value_and_file(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    for part in parts:
        assert part in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_wrong_value_in_the_environment_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDOCT_LIMITS__OPEN_STREAMS", "many")
    with pytest.raises(SettingsError, match=r"limits\.open_streams.*'many'.*environment"):
        load(tmp_path)


def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDOCT_LISTN", "x")
    with pytest.raises(SettingsError, match="EDOCT_LISTN sets nothing") as caught:
        load(tmp_path)
    assert "listen" in caught.value.hint


def test_secrets_are_in_no_message_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, 'console_token = ["geheim"]')
    assert "geheim" not in caught.value.message
    loaded = load(
        tmp_path,
        'console_token = "geheim"\ndatabase_url = "postgresql+psycopg://u:geheim@h/edoc"',
    )
    shown = settings_table(loaded)
    assert shown["console_token"] == "[redacted]"
    assert shown["database_url"] == "postgresql+psycopg://[redacted]@h/edoc"
    assert shown["limits"] == {"open_streams": 8, "hosts": []}


@pytest.mark.parametrize(
    ("text", "what"),
    [("x = " + "[" * 20_000, "not valid TOML"), ("#" * 65_537, "more than 65536 bytes")],
)
def test_a_file_that_no_person_wrote_is_told(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        load(tmp_path, text)


def test_the_largest_file_is_read_to_its_end(tmp_path: Path) -> None:
    line = '\nlisten = "0.0.0.0:9"'
    assert load(tmp_path, "#" * (65_536 - len(line)) + line).listen == "0.0.0.0:9"
