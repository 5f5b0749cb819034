"""What tests of signatures share: an authority, its stores on disk, and a check in this process."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edocnode.domain.signatures import PartToCheck, PartVerdict
from edocnode.signatures.parts import check_part
from edocnode.signatures.trust import read_trust
from edocnode.signatures.trust_settings import StoreSettings, TrustSettings
from tests.support.signing_pki import DECISION, NOW, Authority

Check = Callable[..., PartVerdict]


def part_of(content: bytes, *, kind: str = "pdf", known_at: datetime = NOW) -> PartToCheck:
    """A part with its bytes."""
    return PartToCheck(
        index=1,
        name=f"Quyết định.{kind}",
        kind=kind,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        known_at=known_at,
        data=content,
    )


@dataclass
class Stores:
    """Trust stores and revocation lists on disk."""

    folder: Path
    settings: TrustSettings = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "crl").mkdir(parents=True)
        self.settings = TrustSettings(crl_folder=str(self.folder / "crl"))

    def trust(self, authority: Authority, kind: str = "any") -> None:
        store = self.folder / authority.name
        store.mkdir()
        (store / "root.pem").write_bytes(authority.root.pem())
        named = StoreSettings(name=authority.name, folder=str(store), kind=kind)
        stores = (*self.settings.stores, named)
        self.settings = TrustSettings(stores=stores, crl_folder=self.settings.crl_folder)

    def revocations(self, content: bytes, name: str = "list") -> None:
        (self.folder / "crl" / f"{name}.crl").write_bytes(content)

    def strict(self) -> None:
        stores, crls = self.settings.stores, self.settings.crl_folder
        self.settings = TrustSettings(stores=stores, crl_folder=crls, strict=True)

    def check(
        self,
        content: bytes,
        *,
        kind: str = "pdf",
        known_at: datetime = NOW,
        now: datetime = NOW + timedelta(hours=1),
    ) -> PartVerdict:
        part = part_of(content, kind=kind, known_at=known_at)
        return asyncio.run(check_part(part, read_trust(self.settings), now))


@pytest.fixture(scope="session")
def government() -> Authority:
    """The authority whose root the store has."""
    return Authority.make("CA chuyên dùng Chính phủ")


@pytest.fixture
def stores(tmp_path: Path, government: Authority) -> Stores:
    """Trust stores with the government's root, and its empty revocation list."""
    made = Stores(tmp_path / "trust")
    made.trust(government)
    made.revocations(replace(government, revoked=[]).crl())
    return made


@pytest.fixture(scope="session")
def decision() -> bytes:
    """A real decision of two pages, unsigned."""
    return DECISION.read_bytes()
