"""The directory for simulations: agencies with real keys, versions that follow each other.

Made once for a process and a number of agencies, since real keys and signatures cost time. Nothing
in a trace depends on them.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from edoccore.directory.floor import NO_FLOOR
from edoccore.directory.loading import load
from edoccore.directory.view import Directory
from tests.support.nation import REGISTRY, Agency, Nation

START = datetime(2026, 3, 2, 1, tzinfo=UTC)
LATER_VERSIONS = 4
REGISTRY_ADDRESS = "registry.test:7440"


@dataclass
class Realm:
    """Agencies, and the files of each version of their directory, the oldest first."""

    nation: Nation
    codes: list[str]
    versions: list[dict[str, bytes]] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """What everybody trusts."""
        return self.nation.anchor

    def agency(self, code: str) -> Agency:
        """An agency with its keys."""
        return self.nation.agencies[code]

    @property
    def first(self) -> Directory:
        """The oldest directory."""
        return self.directory(0)

    def directory(self, version: int) -> Directory:
        """A version of the directory, verified."""
        return _directory(len(self.codes), version)


@cache
def realm(agencies: int) -> Realm:
    """A network of so many agencies."""
    nation = Nation.create(START - timedelta(hours=1))
    codes = [f"{'HG'[number % 2]}{number:02d}" for number in range(1, agencies + 1)]
    nation.set_address(REGISTRY, REGISTRY_ADDRESS)
    for code in codes:
        nation.add_agency(code, f"Cơ quan {code}", owns=[f"{code}.1"], address=address_of(code))
    made = Realm(nation, codes, [nation.publish()])
    for number in range(LATER_VERSIONS):
        nation.now += timedelta(minutes=1)
        nation.add_agency(f"K{number}", f"Cơ quan mới {number}")
        made.versions.append(nation.publish())
    return made


@cache
def _directory(agencies: int, version: int) -> Directory:
    made = realm(agencies)
    return load(made.versions[version], made.anchor, NO_FLOOR)


def address_of(code: str) -> str:
    """Where the node of an agency listens."""
    return f"{code.lower()}.test:7443"
