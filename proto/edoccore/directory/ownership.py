"""Which code belongs to which agency, how long it lives, and who follows whom.

Built once from the identity entries. A code is owned when the directory lists it: as the agency's
own code, as an alias, or as one of the codes it owns; never because it begins like another code,
and never in another spelling. Certificates and addresses are not known here.

An agency that ends (merged, split, closed) does so at its ``valid_to``, which the directory may say
long before. For ``WIND_UP`` after it, it still answers: hands over what it sealed before, seals
receipts and statuses for what it has. Then it is silent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from msgspec import UNSET

from edoccore.agency_errors import AgencyEndedError
from edoccore.directory.layout import WIND_UP, AgencyState, IdentityEntry
from edoccore.directory.spaces import Spaces, admitted
from edoccore.errors import AgencyInactiveError, AgencyUnknownError
from edoccore.signing.statements import SubAgency, parse_time, time_text

_ENDING = (AgencyState.MERGED, AgencyState.CLOSED)

_ALWAYS = datetime.min.replace(tzinfo=UTC)


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
        valid_to: Of the owner; None while nothing is decided. May lie ahead.
        predecessors: Of the owner.
        successors: Of the owner.
        minimum_suite: Weakest suite that a seal of the owner may use.
        closed: It ended while its owner went on: no new document goes to it or comes from it.
        minimum_since: From when on; what was sealed before it stays good.
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
    minimum_since: datetime
    closed: bool = False

    def existed(self, at: datetime) -> bool:
        """Whether the agency was there at a moment, in whatever state."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)

    def is_active(self, at: datetime) -> bool:
        """Whether documents go to and from the agency at a moment."""
        return self._is_in_order and self.existed(at)

    def answers(self, at: datetime) -> bool:
        """Whether its node is heard at a moment: while it is active, and while it winds up."""
        until = None if self.valid_to is None else self.valid_to + WIND_UP
        return self._is_in_order and self.valid_from <= at and (until is None or at < until)

    def has_ended(self, at: datetime) -> bool:
        """Whether the end of the agency has come by a moment."""
        return self.valid_to is not None and self.valid_to <= at

    def how_it_ended(self) -> str:
        """What became of it and when, as a clause; of an agency that ends."""
        day = "" if self.valid_to is None else f" as of {time_text(self.valid_to)}"
        match len(self.successors):
            case 0:
                return f"{self.owner} is closed{day}, and nobody follows it"
            case 1:
                return f"{self.owner} is merged into {self.successors[0]}{day}"
            case _:
                return f"{self.owner} is split into {', '.join(self.successors)}{day}"

    @property
    def _is_in_order(self) -> bool:
        """Neither suspended nor ended at an unknown moment."""
        if self.state in _ENDING:
            return self.valid_to is not None
        return self.state is AgencyState.ACTIVE


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

    def node_of(self, code: str, at: datetime) -> str:
        """The agency whose node serves a code: its owner, or the owner's last successor.

        Raises:
            AgencyUnknownError: No agency has the code.
            AgencyInactiveError: Its owner is suspended or not there yet.
            AgencyEndedError: Its owner ended without exactly one successor.
        """
        return self._follow(self.agency(code), code, at, seen=frozenset())

    def _follow(self, agency: Agency, code: str, at: datetime, *, seen: frozenset[str]) -> str:
        owner = self.owners[agency.owner]
        if owner.is_active(at):
            return owner.code
        if owner.has_ended(at):
            if len(owner.successors) == 1 and owner.code not in seen:
                successor = self.agency(owner.successors[0])
                return self._follow(successor, code, at, seen=seen | {owner.code})
            raise AgencyEndedError(
                f"Nothing goes to {code} any more: {owner.how_it_ended()}.",
                hint=_successors_hint(owner),
                code=code,
                successors=" ".join(owner.successors),
            )
        raise AgencyInactiveError(
            f"The agency {owner.code} is {_why_not(owner, at)}, so nothing goes to {code}.",
            hint="Ask the registry when it is back.",
            code=code,
            state=owner.state,
        )

    def accepts(self, owner: str, code: str, at: datetime) -> bool:
        """Whether the node of agency ``owner`` serves ``code`` at a moment, or did until its end.

        It does for codes it owns, directly or as aliases, and for those of an agency that ended
        with ``owner`` as its one successor. One that has ended itself since has such documents
        still: it says whether it took them, and deals with them while it winds up.
        """
        return self.owns(owner, code) or owner in self._served_by(code, at)

    def _served_by(self, code: str, at: datetime) -> list[str]:
        """Those whose nodes serve a code or served it before, the first one first."""
        found: list[str] = []
        while (known := self._codes.get(code)) is not None:
            agency = self.owners[known.owner]
            ended = agency.has_ended(at)
            if agency.code in found or not (ended or agency.is_active(at)):
                break
            found.append(agency.code)
            if not ended or len(agency.successors) != 1:
                break
            (code,) = agency.successors
        return found

    def answering_node(self, node: str, code: str, at: datetime) -> str:
        """The node for a word about a document of before: that of then, while it answers for it.

        Args:
            node: The agency whose node sent or took the document, and has it.
            code: For which it did, as its own or another's that it follows; says whose node it is
                when that one is silent.
            at: Now.
        """
        then = self.owners.get(node)
        if then is not None and then.answers(at) and self.accepts(node, code, at):
            return node
        try:
            return self.node_of(code, at)
        except (AgencyUnknownError, AgencyInactiveError):
            return node


def _why_not(owner: Agency, at: datetime) -> str:
    return "not there yet" if at < owner.valid_from else owner.state.lower()


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
        minimum_since=_since(entry),
    )


def _since(entry: IdentityEntry) -> datetime:
    since = entry.minimum_since
    return parse_time(since) if isinstance(since, str) else _ALWAYS


def _claims(entry: IdentityEntry, owner: Agency) -> Iterable[tuple[str, Agency]]:
    for alias in entry.aliases:
        yield alias, owner
    for item in entry.owns:
        agency = replace(owner, code=item.code, name=item.name, aliases=item.aliases)
        for code in (item.code, *item.aliases):
            yield code, agency


def _successors_hint(owner: Agency) -> str:
    if len(owner.successors) > 1:
        return f"Choose one of its successors: {', '.join(owner.successors)}."
    return "Ask the registry which agency has taken over."
