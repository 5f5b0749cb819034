"""A running node tells people by the channels of its settings; what cannot work is no setting."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edocnet.office.v1 import office_service_pb2 as office
from edocnode.settings import NodeSettings
from tests.integration.deadlines.conftest import certificate
from tests.integration.deadlines.test_channels import web_server
from tests.support.nodes import make_pair, running, until

__all__ = ["certificate"]


def settings(*reminders: dict[str, Any]) -> NodeSettings:
    return NodeSettings.model_validate({"listen": "127.0.0.1:0", "reminders": reminders})


async def test_most_urgent_document_reaches_a_webhook_within_seconds(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    with web_server(certificate, 200) as (port, got):
        (recipient.data / "hook.secret").write_text("bí mật", encoding="utf-8")
        hook = {
            "name": "hook",
            "channel": "webhook",
            "url": f"https://localhost:{port}/edoc",
            "secret_file": "hook.secret",
            "ca_file": str(certificate[0]),
        }
        values = recipient.settings.model_dump() | {"reminders": [hook]}
        recipient.settings = NodeSettings.model_validate(values)
        async with running(sender, recipient):
            await sender.send(
                b"one", to=["G01"], subject="Bão số 9", urgency=office.URGENCY_HOA_TOC
            )
            await until(lambda: got, within_s=60)
            told = json.loads(got[0][2])
            assert told["documents"][0]["kind"] == "arrived"
            assert told["documents"][0]["subject"] == "Bão số 9"
            await until(lambda: recipient.count("SELECT count(*) FROM told"))


@pytest.mark.parametrize(
    "reminder",
    [
        {"name": "m", "channel": "email"},
        {"name": "m", "channel": "email", "to": ["a@b"], "server": "x:25", "sender": "c@d",
         "security": "none"},
        {"name": "w", "channel": "webhook", "url": "http://x/", "secret_file": "s"},
        {"name": "w", "channel": "webhook", "url": "https://x/"},
        {"name": "s", "channel": "sms", "to": ["84"], "server": "x:1", "sender": "E", "user": "u"},
        {"name": "Tên", "channel": "log"},
    ],
)  # fmt: skip
def test_reminder_that_cannot_work_is_no_setting(reminder: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(reminder)


def test_two_reminders_have_two_names() -> None:
    with pytest.raises(ValidationError, match="same name"):
        settings({"name": "a", "channel": "log"}, {"name": "a", "channel": "log"})
