"""Builds the ways to people that the settings name."""

from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from edoccore.errors import SettingsError
from edocnode.domain.reminders import Channel, Outlet, ReminderKind
from edocnode.settings import NodeSettings, ReminderSettings
from edocnode.workers.reminder_channels import MailChannel, SmsChannel, WebhookChannel
from edocnode.workers.reminding import Line, LogChannel

HTTPS_PORT = 443
_LIBRARIES = {"email": "aiosmtplib", "sms": "smpp34"}


def reminder_lines(
    settings: NodeSettings, folder: Path, clock: Callable[[], datetime]
) -> list[Line]:
    """The outlets with their channels.

    Args:
        folder: Data folder, where secrets are looked for.

    Raises:
        SettingsError: The extra that a channel needs is not installed.
    """
    return [Line(_outlet(each), _channel(each, folder, clock)) for each in settings.reminders]


def _outlet(each: ReminderSettings) -> Outlet:
    return Outlet(
        name=each.name,
        kinds=frozenset(each.kinds or ReminderKind),
        agency=each.agency,
        with_subject=each.subject,
    )


def _channel(each: ReminderSettings, folder: Path, clock: Callable[[], datetime]) -> Channel:
    library = _LIBRARIES.get(each.channel)
    if library is not None and find_spec(library) is None:
        raise SettingsError(
            f"The reminder {each.name} needs the extra [reminders], which is not installed.",
            hint="Install edocnode[reminders], or take another channel.",
            key="reminders",
        )
    if each.channel == "email":
        return _mail(each, folder)
    if each.channel == "sms":
        return _sms(each, folder)
    if each.channel == "webhook":
        return _webhook(each, folder, clock)
    return LogChannel()


def _mail(each: ReminderSettings, folder: Path) -> MailChannel:
    host, port = _place(each.server)
    return MailChannel(
        host=host,
        port=port,
        tls=each.security == "tls",
        user=each.user,
        password_file=_file(folder, each.password_file),
        ca_file=_file(folder, each.ca_file),
        sender=each.sender,
        recipients=each.to,
    )


def _sms(each: ReminderSettings, folder: Path) -> SmsChannel:
    host, port = _place(each.server)
    return SmsChannel(
        host=host,
        port=port,
        tls=each.security == "tls",
        user=each.user,
        password_file=_file(folder, each.password_file),
        sender=each.sender,
        recipients=each.to,
    )


def _webhook(each: ReminderSettings, folder: Path, clock: Callable[[], datetime]) -> WebhookChannel:
    url = urlsplit(each.url)
    query = f"?{url.query}" if url.query else ""
    return WebhookChannel(
        host=url.hostname or "",
        port=url.port or HTTPS_PORT,
        path=(url.path or "/") + query,
        secret_file=folder / each.secret_file,
        ca_file=_file(folder, each.ca_file),
        with_subject=each.subject,
        clock=clock,
    )


def _place(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def _file(folder: Path, name: str) -> Path | None:
    return folder / name if name else None
