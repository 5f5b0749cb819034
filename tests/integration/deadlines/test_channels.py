"""Digests reach people by real servers of mail, HTTPS and SMPP, or the failure is told."""

import asyncio
import contextlib
import dataclasses
import email
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import smpp34
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from edocnode.domain.model import MessageId
from edocnode.domain.reminders import (
    ChannelFailedError,
    Digest,
    Outlet,
    ReminderItem,
    ReminderKind,
    digest_of,
)
from edocnode.workers.reminder_channels import MailChannel, SmsChannel, WebhookChannel
from tests.support.ports import free_port

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
SUBJECT = "Về việc báo cáo tình hình thực hiện nhiệm vụ tháng 11"
Certificate = tuple[Path, Path]


def digest(count: int = 1) -> Digest:
    item = ReminderItem(
        kind=ReminderKind.OVERDUE,
        message_id=MessageId(b"m" * 16),
        agency="H29",
        peer="G01",
        number="28",
        notation="QĐ-UBND",
        subject=SUBJECT,
        due=NOW,
    )
    outlet = Outlet(name="o", kinds=frozenset(ReminderKind), agency="", with_subject=True)
    return digest_of([item] * count, outlet, "H29")


def server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


# --- E-mail


class Letters:
    """Keeps what the server took."""

    def __init__(self, refuse: str = "") -> None:
        self.taken: list[Any] = []
        self.refuse = refuse

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address == self.refuse:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.taken.append((envelope, email.message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = (data.login, data.password) == (b"edoc", b"m\xe1\xba\xadt kh\xe1\xba\xa9u")
    return AuthResult(success=good)


@contextlib.contextmanager
def mail_server(
    letters: Letters, certificate: Certificate, port: int = 0, **options: Any
) -> Iterator[int]:
    controller = Controller(
        letters,
        hostname="127.0.0.1",
        port=port or free_port(),
        tls_context=server_context(certificate),
        require_starttls=True,
        authenticator=login,
        auth_required=True,
        **options,
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def mail(server: int, certificate: Certificate, tmp_path: Path, **changes: Any) -> MailChannel:
    (tmp_path / "mail.secret").write_text("mật khẩu\n", encoding="utf-8")
    values: dict[str, Any] = {
        "host": "localhost",
        "port": server,
        "tls": False,
        "user": "edoc",
        "password_file": tmp_path / "mail.secret",
        "ca_file": certificate[0],
        "sender": "edoc@tinh.vn",
        "recipients": ("vanthu@tinh.vn", "lanhdao@tinh.vn"),
    }
    return MailChannel(**(values | changes))


async def test_letter_comes_over_starttls_with_login_in_vietnamese(
    certificate: Certificate, tmp_path: Path
) -> None:
    letters = Letters()
    with mail_server(letters, certificate) as port:
        await mail(port, certificate, tmp_path).tell(digest())
    ((envelope, letter),) = letters.taken
    assert envelope.rcpt_tos == ["vanthu@tinh.vn", "lanhdao@tinh.vn"]
    assert letter["Subject"] == "[edocnode H29] Quá hạn xử lý: 1"
    body = letter.get_content()
    assert f"- 28/QĐ-UBND (G01), {SUBJECT}, hạn 10:00 26/11/2026" in body
    assert "Over the due date: 1" in body


async def test_nothing_in_a_document_becomes_a_header_or_a_recipient(
    certificate: Certificate, tmp_path: Path
) -> None:
    nasty = "a\r\nBcc: x@y\r\n\r\n.\r\nRCPT TO:<x@y>\u2028Subject: b"
    item = dataclasses.replace(
        digest().items[0], subject=nasty, number="1\nCc: x@y", notation="\r\nTo: x@y"
    )
    outlet = Outlet(name="o", kinds=frozenset(ReminderKind), agency="", with_subject=True)
    letters = Letters()
    with mail_server(letters, certificate) as port:
        told = digest_of([item], outlet, "H29\r\nBcc: x@y")
        await mail(port, certificate, tmp_path).tell(told)
    ((envelope, letter),) = letters.taken
    assert envelope.rcpt_tos == ["vanthu@tinh.vn", "lanhdao@tinh.vn"]
    assert letter["To"] == "vanthu@tinh.vn, lanhdao@tinh.vn"
    assert "Bcc" not in letter
    assert "Cc" not in letter
    assert letter.get_all("Subject") == ["[edocnode H29  Bcc: x@y] Quá hạn xử lý: 1"]
    body = letter.get_content().splitlines()
    assert not [row for row in body if row.startswith(("Bcc", "Cc", "To", "RCPT", ".", "Subject"))]


async def test_recipient_that_is_refused_is_told_and_the_others_get_their_letter_once(
    certificate: Certificate, tmp_path: Path
) -> None:
    letters = Letters(refuse="lanhdao@tinh.vn")
    with mail_server(letters, certificate) as port:
        told = await mail(port, certificate, tmp_path).tell(digest())
    assert told == "localhost refused lanhdao@tinh.vn"
    assert len(letters.taken) == 1


@pytest.mark.parametrize("fault", ["certificate", "password", "nobody", "secret"])
async def test_letter_that_is_not_taken_is_told(
    fault: str, certificate: Certificate, tmp_path: Path
) -> None:
    letters = Letters()
    with mail_server(letters, certificate) as port:
        changes: dict[str, Any] = {
            "certificate": {"ca_file": None},
            "nobody": {"port": free_port()},
            "secret": {"password_file": tmp_path / "none"},
        }.get(fault, {})
        channel = mail(port, certificate, tmp_path, **changes)
        if fault == "password":
            (tmp_path / "mail.secret").write_text("khác", encoding="utf-8")
        with pytest.raises(ChannelFailedError):
            await channel.tell(digest())
    assert letters.taken == []


# --- Webhook


@contextlib.contextmanager
def web_server(
    certificate: Certificate, status: int, location: str = "/elsewhere"
) -> Iterator[tuple[int, list[Any]]]:
    got: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, dict(self.headers), body))
            self.send_response(status)
            self.send_header("Location", location)
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = server_context(certificate).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def webhook(port: int, certificate: Certificate, tmp_path: Path, **changes: Any) -> WebhookChannel:
    (tmp_path / "hook.secret").write_text("bí mật", encoding="utf-8")
    values: dict[str, Any] = {
        "host": "localhost",
        "port": port,
        "path": "/hook?x=1",
        "secret_file": tmp_path / "hook.secret",
        "ca_file": certificate[0],
        "with_subject": True,
        "clock": lambda: NOW,
    }
    return WebhookChannel(**(values | changes))


async def test_post_is_signed_over_time_and_body(certificate: Certificate, tmp_path: Path) -> None:
    with web_server(certificate, 204) as (port, got):
        await webhook(port, certificate, tmp_path).tell(digest())
    ((path, headers, body),) = got
    assert path == "/hook?x=1"
    signed = headers["X-Edoc-Time"].encode() + b"." + body
    wanted = hmac.new("bí mật".encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Edoc-Signature"] == f"sha256={wanted}"
    told = json.loads(body)
    assert told["schema"] == "edoc.reminder/v1"
    assert told["documents"][0]["subject"] == SUBJECT


async def test_subject_can_be_left_out_of_a_post(certificate: Certificate, tmp_path: Path) -> None:
    outlet = Outlet(name="o", kinds=frozenset(ReminderKind), agency="", with_subject=False)
    without = digest_of(digest().items, outlet, "H29")
    with web_server(certificate, 200) as (port, got):
        await webhook(port, certificate, tmp_path, with_subject=False).tell(without)
    assert "báo cáo" not in got[0][2].decode()


@pytest.mark.parametrize("status", [302, 307, 404, 500])
async def test_post_follows_no_redirect_and_takes_nothing_but_2xx(
    status: int, certificate: Certificate, tmp_path: Path
) -> None:
    failing = pytest.raises(ChannelFailedError, match=str(status))
    with web_server(certificate, status) as (port, got), failing:
        await webhook(port, certificate, tmp_path).tell(digest())
    assert len(got) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_post_goes_to_no_other_host_and_shows_it_nothing(
    status: int, certificate: Certificate, tmp_path: Path
) -> None:
    failing = pytest.raises(ChannelFailedError, match=str(status))
    with web_server(certificate, 200) as (elsewhere, leaked):
        place = f"https://localhost:{elsewhere}/hook"
        with web_server(certificate, status, location=place) as (port, got), failing:
            await webhook(port, certificate, tmp_path).tell(digest())
    assert len(got) == 1
    assert leaked == []


@pytest.mark.parametrize("change", ["body", "time", "secret"])
async def test_signature_of_a_post_holds_for_its_body_time_and_secret_alone(
    change: str, certificate: Certificate, tmp_path: Path
) -> None:
    with web_server(certificate, 204) as (port, got):
        await webhook(port, certificate, tmp_path).tell(digest())
    ((_, headers, body),) = got
    secret, moment = "bí mật", headers["X-Edoc-Time"]
    assert moment == "2026-11-26T03:00:00.000Z"
    body = body + b" " if change == "body" else body
    moment = moment.replace("03:", "04:") if change == "time" else moment
    secret = "khác" if change == "secret" else secret
    signed = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    assert headers["X-Edoc-Signature"] != f"sha256={signed.hexdigest()}"


async def test_server_that_answers_without_end_is_left_and_holds_no_thread(
    certificate: Certificate, tmp_path: Path
) -> None:
    left = threading.Event()

    def drip(connection: Any) -> None:
        connection.recv(65536)
        try:
            while True:
                connection.sendall(b"H")
                time.sleep(0.05)
        except OSError:
            left.set()
        finally:
            connection.close()

    server = socket.create_server(("127.0.0.1", 0))
    wrapped = server_context(certificate).wrap_socket(server, server_side=True)
    thread = threading.Thread(target=lambda: drip(wrapped.accept()[0]), daemon=True)
    thread.start()
    channel = webhook(wrapped.getsockname()[1], certificate, tmp_path, patience_s=0.5)
    with pytest.raises(ChannelFailedError, match="in time"):
        await channel.tell(digest())
    assert await asyncio.to_thread(left.wait, 10)
    await asyncio.to_thread(thread.join, 10)
    wrapped.close()


async def test_post_to_a_server_that_is_not_trusted_is_not_sent(
    certificate: Certificate, tmp_path: Path
) -> None:
    failing = pytest.raises(ChannelFailedError, match="CERTIFICATE_VERIFY_FAILED")
    with web_server(certificate, 200) as (port, got), failing:
        await webhook(port, certificate, tmp_path, ca_file=None).tell(digest())
    assert got == []


# --- SMS


@contextlib.asynccontextmanager
async def smsc(refuse: bool = False) -> AsyncIterator[tuple[int, list[Any]]]:
    port = free_port()
    server = smpp34.Server("127.0.0.1", port, system_id="SMSC")
    await server.start()
    got: list[Any] = []

    async def serve() -> None:
        while True:
            event = await server.next()
            if isinstance(event, smpp34.SubmitSmEvent):
                got.append(event)
                if refuse:
                    event.reject(smpp34.ESME_RMSGQFUL)
                else:
                    event.accept(message_id=str(len(got)))

    serving = asyncio.create_task(serve())
    try:
        yield port, got
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await server.stop()


def sms(port: int, tmp_path: Path) -> SmsChannel:
    (tmp_path / "sms.secret").write_text("secret", encoding="utf-8")
    return SmsChannel(
        host="127.0.0.1",
        port=port,
        tls=False,
        user="edoc",
        password_file=tmp_path / "sms.secret",
        sender="EDOC",
        recipients=("84912345678", "84987654321"),
    )


async def test_long_message_comes_in_parts_that_join_to_the_vietnamese_text(
    tmp_path: Path,
) -> None:
    wanted = digest()
    async with smsc() as (port, got):
        await sms(port, tmp_path).tell(wanted)
    by_number: dict[str, list[Any]] = {}
    for event in got:
        by_number.setdefault(event.destination_addr, []).append(event)
    assert list(by_number) == ["84912345678", "84987654321"]
    for parts in by_number.values():
        assert len(parts) > 1
        assert {part.data_coding for part in parts} == {8}
        assert {part.esm_class for part in parts} == {0x40}
        heads = [part.short_message[:6] for part in parts]
        assert [head[5] for head in heads] == list(range(1, len(parts) + 1))
        assert {head[4] for head in heads} == {len(parts)}
        text = b"".join(part.short_message[6:] for part in parts).decode("utf-16-be")
        assert text == wanted.short


async def test_message_that_the_smsc_refuses_is_told(tmp_path: Path) -> None:
    async with smsc(refuse=True) as (port, _):
        with pytest.raises(ChannelFailedError, match="refused"):
            await sms(port, tmp_path).tell(digest())


async def test_smsc_that_is_down_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChannelFailedError):
        await sms(free_port(), tmp_path).tell(digest())
