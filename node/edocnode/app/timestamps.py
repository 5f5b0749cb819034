"""Joins what has seals timestamped: settings, trust stores, the authority, the asking loop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from edoccore.errors import SettingsError
from edocnode.app.parts import SealingParts
from edocnode.settings import NodeSettings
from edocnode.signatures.trust_settings import CERTIFICATE_ENDINGS
from edocnode.storage.timestamps import SqlTimestamps
from edocnode.workers.timestamping import StampFailedError, Timestamper

_FOR_TIME = ("timestamp", "any")


@dataclass(frozen=True, slots=True)
class RemoteAuthority:
    """A timestamp authority that is asked over HTTP; its certificates are read each time."""

    name: str
    anchors: Callable[[], tuple[x509.Certificate, ...]]

    async def stamp(self, data: bytes, now: datetime) -> tuple[bytes, datetime]:
        """A token over bytes, checked, and the moment that it states.

        Raises:
            StampFailedError: There is none, or it does not hold.
        """
        from edockit.time_tokens import TimeTokenError, ask  # noqa: PLC0415 - off by default

        try:
            anchors = await asyncio.to_thread(self.anchors)
            token = await ask(self.name, data, anchors, now=now)
        except (TimeTokenError, SettingsError) as error:
            raise StampFailedError(str(error)) from error
        return token.response, token.at


def build_timestamper(
    settings: NodeSettings, data: Path, sealing: SealingParts, clock: Callable[[], datetime]
) -> Timestamper | None:
    """What has seals stamped; None unless the settings name an authority."""
    if not settings.timestamp_url:
        return None
    return Timestamper(
        store=SqlTimestamps(sealing.database),
        authority=RemoteAuthority(settings.timestamp_url, lambda: time_anchors(settings, data)),
        alarms=sealing.store,
        every=timedelta(seconds=settings.timestamp_every_s),
        clock=clock,
    )


def time_anchors(settings: NodeSettings, data: Path) -> tuple[x509.Certificate, ...]:
    """Certificates of the timestamp authorities that a node trusts, from its trust stores.

    Raises:
        SettingsError: A folder is missing, or a file in it holds no certificate.
    """
    found: list[x509.Certificate] = []
    for store in settings.trust_stores:
        if store.kind not in _FOR_TIME:
            continue
        path = data / store.folder
        if not path.is_dir():
            raise SettingsError(
                f"The folder {path} is not there.",
                hint="Make it, or correct trust_stores in edocnode.toml.",
                key="trust_stores",
            )
        for file in sorted(path.iterdir()):
            if file.suffix.lower() in CERTIFICATE_ENDINGS:
                found += read_certificates(file)
    return tuple(found)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Certificates of a file, PEM or DER.

    Raises:
        SettingsError: It cannot be read, or holds none.
    """
    try:
        content = path.read_bytes()
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} holds no certificate that can be read: {error}.",
            hint="Take a file of certificates, PEM or DER.",
            key="trust_stores",
        ) from error
