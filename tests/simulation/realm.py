"""The directory for simulations: agencies with real keys, versions that follow each other.

Made once for a process and a number of agencies, since real keys and signatures cost time. Nothing
in a trace depends on them.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from msgspec import structs

from edoccore.directory.floor import NO_FLOOR
from edoccore.directory.loading import load
from edoccore.directory.view import Directory
from tests.support.nation import REGISTRY, Agency, Nation

START = datetime(2026, 3, 2, 1, tzinfo=UTC)
LATER_VERSIONS = 4
REGISTRY_ADDRESS = "registry.test:7440"


@dataclass(frozen=True)
class Change:
    """What becomes of an agency: it gets another name, or ends.

    Attributes:
        at_s: When it ends, in seconds from the beginning.
        told_s: When the registry publishes it; earlier for what is decided before.
        successors: One: merged; several: split; none: closed.
        name: The new one; empty: it ends.
    """

    code: str
    at_s: float
    told_s: float
    successors: tuple[str, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        """In a trace."""
        if self.name:
            return f"{self.code} is called {self.name}"
        return f"{self.code} ends at {self.at_s:.0f} s, followed by {list(self.successors)}"


@dataclass
class Realm:
    """Agencies, and the files of each version of their directory, the oldest first."""

    nation: Nation
    codes: list[str]
    versions: list[dict[str, bytes]] = field(default_factory=list)
    changes: tuple[Change, ...] = ()

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
        return _directory(len(self.codes), self.changes, version)


def realm(agencies: int, changes: tuple[Change, ...] = ()) -> Realm:
    """A network of so many agencies, of which some change; each change is one version."""
    return _changed(agencies, changes) if changes else _realm(agencies)


@cache
def _changed(agencies: int, changes: tuple[Change, ...]) -> Realm:
    before = _realm(agencies)
    nation = replace(
        before.nation,
        entries=dict(before.nation.entries),
        versions=dict(before.nation.versions),
        files=dict(before.nation.files),
        _signed=dict(before.nation._signed),
    )
    made = Realm(nation, before.codes, before.versions[:1], changes)
    for change in changes:
        nation.now += timedelta(minutes=1)
        if change.name:
            entry = nation.entries[change.code]
            nation.entries[change.code] = structs.replace(entry, name=change.name)
        else:
            end = START + timedelta(seconds=change.at_s)
            nation.end(change.code, end, successors=change.successors)
        made.versions.append(nation.publish())
    return made


@cache
def _realm(agencies: int) -> Realm:
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
def _directory(agencies: int, changes: tuple[Change, ...], version: int) -> Directory:
    made = realm(agencies, changes)
    return load(made.versions[version], made.anchor, NO_FLOOR)


def address_of(code: str) -> str:
    """Where the node of an agency listens."""
    return f"{code.lower()}.test:7443"
