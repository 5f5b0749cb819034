"""The log: one event a line, and no secrets in it whatever is passed."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from edockit.logs import LogFormat, redacted, set_up_logs


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def test_an_event_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogFormat.JSON)
    with structlog.contextvars.bound_contextvars(document_id="7"):
        structlog.get_logger().info("delivered", peer="Hà Nội", size_bytes=3)
    structlog.get_logger().debug("not shown")
    out, err = capsys.readouterr()
    event = json.loads(err)
    assert out == ""
    assert event.pop("time").endswith("Z")
    assert event == {
        "event": "delivered",
        "level": "info",
        "document_id": "7",
        "peer": "Hà Nội",
        "size_bytes": 3,
    }


def test_a_traceback_stays_on_the_line_of_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogFormat.JSON)
    try:
        raise ValueError("edoc1:host:1:00:token in the text")
    except ValueError:
        structlog.get_logger().exception("failed")
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "ValueError" in json.loads(err)["exception"]
    assert "in the text" in err
    assert "edoc1:" not in err


def test_libraries_log_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogFormat.JSON)
    logging.getLogger("library").warning("postgresql://u:geheim@h")
    event = json.loads(capsys.readouterr().err)
    assert event["event"] == "postgresql://[redacted]@h"
    assert event["level"] == "warning"


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogFormat.TEXT)
    structlog.get_logger().info("delivered", peer="H29")
    err = capsys.readouterr().err
    assert "delivered" in err
    assert "peer=H29" in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    "name", ["password", "token", "join_string", "key_pem", "client_secret", "private_key", "key"]
)
def test_fields_named_like_secrets_are_struck_out(name: str) -> None:
    assert redacted({"deep": [{name: "geheim"}]}) == {"deep": [{name: "[redacted]"}]}


@pytest.mark.parametrize("name", ["keys", "key_id", "monkey", "pins", "tokens_left"])
def test_other_fields_stay(name: str) -> None:
    value = 5 if name == "tokens_left" else "shown"
    assert redacted({name: value}) == {name: value}


def test_secrets_are_known_by_their_look() -> None:
    text = "a -----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY----- b edoc1:h:1:aa:tok c"
    assert redacted(text) == "a [redacted] b [redacted] c"
