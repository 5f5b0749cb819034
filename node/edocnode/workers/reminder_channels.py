"""Ways to people: e-mail, webhook, SMS.

Libraries are imported when something is told, so that a node without reminders has none of them.
Secrets are read from files at that moment too: a changed one counts at once. Every wait ends.
"""

import asyncio
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

from edoccore.signing.statements import time_text, uuid_text
from edockit.http_connections import break_off
from edocnode.domain.reminders import ChannelFailedError, Digest, short_messages

if TYPE_CHECKING:
    import smpp34

TIMEOUT_S = 20  # of one step
WEBHOOK_S = 40  # of all of a POST, however slowly it is answered
SIGNATURE_HEADER = "X-Edoc-Signature"
TIME_HEADER = "X-Edoc-Time"
REMINDER_SCHEMA = "edoc.reminder/v1"
_UCS2 = 8
_HAS_HEADER = 0x40  # esm_class: the message begins with a user data header
_INTERNATIONAL, _ALPHANUMERIC, _ISDN = 1, 5, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MailChannel:
    """E-mail by a server of the agency.

    Attributes:
        tls: From the first byte; otherwise STARTTLS, which must succeed.
        password_file: None: no login.
        ca_file: Trusted besides what the system trusts.
    """

    host: str
    port: int
    tls: bool
    user: str
    password_file: Path | None
    ca_file: Path | None
    sender: str
    recipients: tuple[str, ...]

    async def tell(self, digest: Digest) -> str:
        """Sends one letter to all recipients.

        Raises:
            ChannelFailedError: The server took it for nobody.
        """
        import aiosmtplib  # noqa: PLC0415 - an extra

        letter = EmailMessage()
        letter["From"], letter["To"] = self.sender, ", ".join(self.recipients)
        letter["Subject"] = digest.title
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(digest.text)
        try:
            refused, _ = await aiosmtplib.send(
                letter,
                hostname=self.host,
                port=self.port,
                use_tls=self.tls,
                start_tls=not self.tls,
                username=self.user or None,
                password=_secret(self.password_file) or None,
                tls_context=_tls(self.ca_file),
                timeout=TIMEOUT_S,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ChannelFailedError(f"{self.host} says {str(error)[:200]}") from error
        return f"{self.host} refused {', '.join(sorted(refused))[:200]}" if refused else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChannel:
    """A POST of JSON over HTTPS; redirects are not followed, proxies not asked.

    The signature is HMAC-SHA256 over time, a dot and the body, in hexadecimal.
    """

    host: str
    port: int
    path: str
    secret_file: Path
    ca_file: Path | None
    with_subject: bool
    clock: Callable[[], datetime]
    patience_s: float = WEBHOOK_S

    async def tell(self, digest: Digest) -> str:
        """Posts a digest.

        Raises:
            ChannelFailedError: It was not answered with 2xx, or not in time.
        """
        body = self._body(digest)
        connection = http.client.HTTPSConnection(
            self.host, self.port, timeout=TIMEOUT_S, context=_tls(self.ca_file)
        )
        try:
            async with asyncio.timeout(self.patience_s):
                await asyncio.to_thread(self._post, connection, body)
        except TimeoutError as error:
            raise ChannelFailedError(f"{self.host} does not answer in time") from error
        finally:  # also when nobody waits any more: or its thread would, and there are few
            if connection.sock is not None:
                break_off(connection.sock)
        return ""

    def _body(self, digest: Digest) -> bytes:
        items = [
            {
                "kind": item.kind.value,
                "message_id": uuid_text(item.message_id),
                "agency": item.agency,
                "peer": item.peer,
                "number": item.number,
                "notation": item.notation,
                "subject": item.subject if self.with_subject else "",
                "due_at": None if item.due is None else time_text(item.due),
            }
            for item in digest.items
        ]
        content = {"schema": REMINDER_SCHEMA, "agency": digest.agency, "documents": items}
        return json.dumps({**content, "text": digest.text}, ensure_ascii=False).encode()

    def _post(self, connection: http.client.HTTPSConnection, body: bytes) -> None:
        moment = time_text(self.clock())
        signed = hmac.new(_secret(self.secret_file).encode(), digestmod=hashlib.sha256)
        signed.update(moment.encode() + b"." + body)
        headers = {
            "Content-Type": "application/json",
            TIME_HEADER: moment,
            SIGNATURE_HEADER: f"sha256={signed.hexdigest()}",
        }
        try:
            connection.request("POST", self.path, body=body, headers=headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise ChannelFailedError(f"{self.host} does not answer: {str(error)[:200]}") from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise ChannelFailedError(f"{self.host} answered with {status}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsChannel:
    """Short messages by an SMSC over SMPP 3.4, in UCS-2, in several parts when they are long."""

    host: str
    port: int
    tls: bool
    user: str
    password_file: Path | None
    sender: str
    recipients: tuple[str, ...]

    async def tell(self, digest: Digest) -> str:
        """Submits a short message for each recipient.

        Raises:
            ChannelFailedError: The SMSC took none of them, or broke off.
        """
        import smpp34  # noqa: PLC0415 - an extra

        client = smpp34.Client(
            self.host,
            self.port,
            self.user,
            _secret(self.password_file),
            bind_type="TX",
            tls=self.tls,
            connect_timeout_ms=TIMEOUT_S * 1000,
        )
        parts = short_messages(digest.short, hashlib.sha256(digest.text.encode()).digest()[0])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                smsc = await client.connect()
            refused = [
                number for number in self.recipients if not await self._submit(smsc, number, parts)
            ]
        except (smpp34.SmppError, OSError, TimeoutError) as error:
            why = str(error)[:200] or "it does not answer"
            raise ChannelFailedError(f"{self.host}: {why}") from error
        finally:
            await client.stop()
        trouble = f"{self.host} refused {', '.join(refused)}" if refused else ""
        if len(refused) == len(self.recipients):
            raise ChannelFailedError(trouble)
        return trouble

    async def _submit(self, smsc: "smpp34.Smsc", number: str, parts: Sequence[bytes]) -> bool:
        """Submits the parts of a message; whether all were taken."""
        for part in parts:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await smsc.submit_sm(
                    number,
                    part,
                    source_addr=self.sender,
                    source_addr_ton=_ALPHANUMERIC,
                    dest_addr_ton=_INTERNATIONAL,
                    dest_addr_npi=_ISDN,
                    data_coding=_UCS2,
                    esm_class=_HAS_HEADER if len(parts) > 1 else 0,
                )
            if not answer.is_success:
                return False
        return True


def _secret(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ChannelFailedError(f"the secret in {file} cannot be read") from error


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ChannelFailedError(f"the certificates in {ca_file} cannot be read") from error
    return context
