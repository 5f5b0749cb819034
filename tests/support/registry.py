"""A registry for tests: founded in a folder, with a clock that tests move, and nodes that join it.

Everything is the program's own code on a real folder; only the clock is the test's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from edoccore.directory.join import parse_join
from edoccore.identity.request import SealRequest
from edockit import certificates
from edocregistry.app.founding import found
from edocregistry.app.registry import Registry
from edocregistry.settings import first_settings
from edocregistry.storage.folder import DataFolder
from tests.support import nation

NETWORK = "vn-test"
OFFICER = "officer"


@dataclass(slots=True)
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        """This moment."""
        return self.now

    def move(self, by: timedelta) -> None:
        """Lets time pass."""
        self.now += by


def found_registry(
    folder: Path, clock: Callable[[], datetime], *, listen: str = "127.0.0.1:7000"
) -> Registry:
    """Founds a registry and opens it."""
    settings = first_settings(network=NETWORK, listen=listen, advertise=None)
    found(DataFolder(folder), settings, actor=OFFICER, clock=clock)
    return Registry(DataFolder(folder), settings, clock)


def new_token(registry: Registry, code: str, *, ttl: timedelta = timedelta(hours=72)) -> bytes:
    """Invites an agency, adding it when it is not known, and returns the token."""
    registry.add_agency(OFFICER, code, f"Agency {code}", aliases=(), owner=None)
    return parse_join(registry.invite(OFFICER, code, ttl)).token


def enrol_node(registry: Registry, code: str, clock: Clock) -> nation.Agency:
    """Lets an agency's node join; its endpoint is not published yet."""
    key = certificates.new_private_key()
    enrolled = registry.enrol(
        "ipv4:127.0.0.1",
        token=new_token(registry, code),
        request=SealRequest(certificates.seal_request(key, "edocnode")),
        agency_code="",
    )
    return node_of(code, key, enrolled.certificate.certificate, enrolled.chain[0], clock)


def node_of(
    code: str, key: ec.EllipticCurvePrivateKey, certificate: bytes, authority: bytes, clock: Clock
) -> nation.Agency:
    """The keys of a node that has its certificate."""
    tls_key = certificates.new_private_key()
    return nation.Agency(
        code=code,
        name=f"Agency {code}",
        network=NETWORK,
        seal_key=key,
        seal_certificate=certificate,
        authority=authority,
        tls_key=tls_key,
        tls_certificate=nation.tls_certificate(tls_key, code, now=clock.now),
        server_name=nation.server_name(code),
        epoch=nation.new_uuid7(clock.now),
    )
