"""Which code belongs to which agency, and who follows whom.

Built once from the identity entries. A code is owned when the directory lists it: as the agency's
own code, as an alias, or as one of the codes it owns; never because it begins like another code,
and never in another spelling. Certificates and addresses are not known here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from msgspec import UNSET

from edoccore.directory.layout import AgencyState, IdentityEntry
from edoccore.directory.spaces import Spaces, admitted
from edoccore.errors import AgencyInactiveError, AgencyUnknownError
from edoccore.signing.statements import SubAgency, parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """What the directory says of one code.

    Attributes:
        code: Present code, also when an alias was asked for.
        name: Official name.
        owner: The agency with a node and a seal; the code itself unless it is a sub-agency's.
        aliases: Other spellings of ``code``.
        state: Of the owner.
        valid_from: Of the owner.
        valid_to: Of the owner; None while it lives.
        predecessors: Of the owner.
        successors: Of the owner.
        minimum_suite: Weakest suite that a seal of the owner may use.
        closed: It ended while its owner went on: no new document goes to it or comes from it.
    """

    code: str
    name: str
    owner: str
    aliases: tuple[str, ...]
    state: AgencyState
    valid_from: datetime
    valid_to: datetime | None
    predecessors: tuple[str, ...]
    successors: tuple[str, ...]
    minimum_suite: int
    closed: bool = False

    def existed(self, at: datetime) -> bool:
        """Whether the agency was there at a moment, in whatever state."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)

    def is_active(self, at: datetime) -> bool:
        """Whether documents go to and from the agency at a moment."""
        return self.state is AgencyState.ACTIVE and self.existed(at)


class Ownership:
    """All codes of a directory."""

    def __init__(self, entries: Sequence[IdentityEntry]) -> None:
        """Indexes entries; each has its own code.

        A code that two agencies claim belongs to neither, except that an agency's own code is
        always its own; ``problems`` names such codes.
        """
        self.problems: list[str] = []
        self.owners: dict[str, Agency] = {}
        for entry in entries:
            self.owners[entry.code] = _agency(entry)
        self._codes: dict[str, Agency] = dict(self.owners)
        self._contested: set[str] = set()
        claims: dict[str, list[Agency]] = {}
        for entry in entries:
            for claimed, agency in _claims(entry, self.owners[entry.code]):
                claims.setdefault(claimed, []).append(agency)
        for claimed, claimants in sorted(claims.items()):
            self._settle(claimed, claimants)

    def _settle(self, claimed: str, claimants: list[Agency]) -> None:
        if claimed not in self._codes and len(claimants) == 1:
            self._codes[claimed] = claimants[0]
            return
        if claimed not in self._codes:
            self._contested.add(claimed)
        names = ", ".join(sorted(agency.owner for agency in claimants))
        self.problems.append(f"The code {claimed} is claimed by {names} but is not theirs alone.")

    def take_lists(
        self, entries: Iterable[IdentityEntry], lists: Mapping[str, Sequence[SubAgency]]
    ) -> None:
        """Adds what agencies list themselves, where the officers gave them a space.

        Args:
            entries: All identity entries.
            lists: Entries of checked lists, by agency.
        """
        spaces = Spaces((entry.code, entry.spaces) for entry in entries)
        self.problems += spaces.problems
        identity: dict[str, str | None] = dict.fromkeys(self._contested)
        for code, item in self._codes.items():
            identity[code] = None if item.code == item.owner else item.owner
        known = sorted(lists.items())  # their seals are of agencies that exist
        for found in admitted(known, spaces, identity, self.problems):
            entry, owner = found.entry, self.owners[found.owner]
            self._codes[found.code] = replace(
                owner,
                code=entry.code,
                name=entry.name,
                aliases=entry.codes[1:],
                closed=isinstance(entry.closed, str),
            )

    def open_codes(self, owner: str) -> list[str]:
        """The codes that an agency's node serves, aliases and closed ones left out, in order."""
        found = (item for item in self._codes.values() if item.owner == owner and not item.closed)
        return sorted({item.code for item in found})

    def agency(self, code: str) -> Agency:
        """Looks up a code, alias or owned code.

        Raises:
            AgencyUnknownError: No agency in the directory has it.
        """
        found = self._codes.get(code)
        if found is None:
            raise AgencyUnknownError(
                f"No agency in the directory has the code {code!r}.",
                hint="Check the code; a new agency appears within minutes of its enrolment.",
                code=code,
            )
        return found

    def owner_of(self, code: str, at: datetime) -> str:
        """The agency that owned a code at a moment.

        Raises:
            AgencyUnknownError: None did.
        """
        agency = self.agency(code)
        if not agency.existed(at):
            raise AgencyUnknownError(
                f"The agency {agency.owner}, owner of {code}, did not exist at {at.isoformat()}.",
                code=code,
            )
        return agency.owner

    def owns(self, owner: str, code: str) -> bool:
        """Whether the directory lists ``code`` as ``owner``'s, in exactly this spelling."""
        found = self._codes.get(code)
        return found is not None and found.owner == owner

    def is_closed(self, code: str) -> bool:
        """Whether the agency that lists a code has closed it."""
        found = self._codes.get(code)
        return found is not None and found.closed

    def node_of(self, code: str) -> str:
        """The agency whose node serves a code: its owner, or the owner's last successor.

        Raises:
            AgencyUnknownError: No agency has the code.
            AgencyInactiveError: Its owner is suspended, or ended without exactly one successor.
        """
        return self._follow(self.agency(code), code, seen=frozenset())

    def _follow(self, agency: Agency, code: str, *, seen: frozenset[str]) -> str:
        owner = self.owners[agency.owner]
        if owner.state is AgencyState.ACTIVE:
            return owner.code
        ended = owner.state in (AgencyState.MERGED, AgencyState.CLOSED)
        if ended and len(owner.successors) == 1 and owner.code not in seen:
            successor = self.agency(owner.successors[0])
            return self._follow(successor, code, seen=seen | {owner.code})
        raise AgencyInactiveError(
            f"The agency {owner.code} is {owner.state.lower()}, so nothing goes to {code}.",
            hint=_successors_hint(owner),
            code=code,
            state=owner.state,
        )

    def accepts(self, owner: str, code: str) -> bool:
        """Whether the node of agency ``owner`` takes documents for ``code``.

        It does for codes it owns, directly or as aliases, and for those of an agency that ended
        with ``owner`` as its one successor.
        """
        try:
            return self.owns(owner, code) or self.node_of(code) == owner
        except (AgencyUnknownError, AgencyInactiveError):
            return False


def _agency(entry: IdentityEntry) -> Agency:
    valid_to = None if entry.valid_to is UNSET else parse_time(str(entry.valid_to))
    return Agency(
        code=entry.code,
        name=entry.name,
        owner=entry.code,
        aliases=entry.aliases,
        state=entry.state,
        valid_from=parse_time(entry.valid_from),
        valid_to=valid_to,
        predecessors=entry.predecessors,
        successors=entry.successors,
        minimum_suite=entry.minimum_suite,
    )


def _claims(entry: IdentityEntry, owner: Agency) -> Iterable[tuple[str, Agency]]:
    for alias in entry.aliases:
        yield alias, owner
    for item in entry.owns:
        agency = replace(owner, code=item.code, name=item.name, aliases=item.aliases)
        for code in (item.code, *item.aliases):
            yield code, agency


def _successors_hint(owner: Agency) -> str:
    if owner.successors:
        return f"Choose one of its successors: {', '.join(owner.successors)}."
    return "Ask the registry which agency has taken over."
