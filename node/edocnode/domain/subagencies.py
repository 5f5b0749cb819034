"""What an agency changes in the list of its sub-agencies, and what the list is afterwards.

A list only grows: what was listed once stays known, because documents name it. What is wrong is
told here, before anything is sealed, by the rules that registry and readers hold it against.

Source: proto/README.md, section Sub-agencies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from edoccore.directory.spaces import Spaces
from edoccore.directory.subagencies import check_entries
from edoccore.directory.view import Directory
from edoccore.directory_errors import SubagencyRefusedError
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    DecisionConflictError,
    LimitExceededError,
    NotCanonicalError,
    RequestInvalidError,
)
from edoccore.identity.agency import AgencyCode
from edoccore.signing.canonical import check_text
from edoccore.signing.statements import MAX_SUBAGENCIES, SubAgencies, SubAgency, time_text

MAX_NAME = 1000  # characters
MAX_ALIASES = 16


class OrderKind(StrEnum):
    """What is done to a sub-agency."""

    ADD = "add"
    RENAME = "rename"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One change.

    Attributes:
        name: The official name; empty when it closes.
        aliases: Other spellings that it gets.
    """

    kind: OrderKind
    code: str
    name: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """A list after orders, and the codes that they changed."""

    entries: tuple[SubAgency, ...]
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """The list as this node wants it.

    Attributes:
        waiting: Codes of which the directory does not say the same.
    """

    entries: Sequence[SubAgency]
    spaces: Sequence[str]
    waiting: frozenset[str]


@dataclass(frozen=True, slots=True)
class Done:
    """What orders did.

    Attributes:
        codes: That are otherwise than before.
        version: Of the directory that says it; 0: it waits for the registry.
    """

    codes: Sequence[str]
    version: int


def change(
    entries: Sequence[SubAgency],
    orders: Sequence[Order],
    *,
    agency: str,
    directory: Directory,
    now: datetime,
) -> Changed:
    """Carries orders out, all or none; one that says what is so already changes nothing.

    Args:
        entries: Of the list as it is.
        agency: Whose list it is.
        directory: In force; says which codes are the agency's to list.
        now: What is closed ends here.

    Raises:
        RequestInvalidError: A code, an alias or a name cannot be used.
        SubagencyRefusedError: A code is not the agency's to list.
        AgencyUnknownError: What is renamed or closed is not in the list.
        DecisionConflictError: It has another name, or was closed.
        LimitExceededError: There are too many.
    """
    found = {entry.code: entry for entry in entries}
    spaces = Spaces((entry.code, entry.spaces) for entry in directory.identities.values())
    _check_has_spaces(agency, directory)
    codes = []
    for order in orders:
        before = found.get(order.code)
        after = _STEPS[order.kind](before, order, now)
        if after == before:
            continue
        for code in after.codes:
            if before is None or code not in before.codes:
                _check_free(code, order, agency, spaces, directory)
        found[order.code] = after
        codes.append(order.code)
    made = tuple(found[code] for code in sorted(found))
    if len(made) > MAX_SUBAGENCIES:
        raise LimitExceededError(
            f"The list would have {len(made)} sub-agencies; at most {MAX_SUBAGENCIES} can be.",
            hint="Give some of them a node of their own: ask the registry's officer.",
        )
    check_entries(made)
    return Changed(made, tuple(codes))


def check_open(directory: Directory, *codes: str) -> None:
    """Accepts agencies and sub-agencies to which, and from which, new documents go.

    Raises:
        AgencyInactiveError: One was closed by the agency that lists it.
        AgencyUnknownError: One is not in the directory.
    """
    for code in codes:
        agency = directory.agency(code)
        if agency.closed:
            raise AgencyInactiveError(
                f"{agency.name} ({agency.code}) was closed by {agency.owner}, which lists it.",
                hint=f"Ask {agency.owner} who has its work now; what was exchanged before can "
                "still be answered, updated and revoked.",
                code=code,
            )


def merged(lists: Iterable[Sequence[SubAgency]]) -> tuple[SubAgency, ...]:
    """What a new list must say: all that earlier ones named, as the latest of them says it.

    Args:
        lists: Sealed here, and found in the directory; the oldest first.
    """
    known = {entry.code: entry for entries in lists for entry in entries}
    return tuple(known[code] for code in sorted(known))


def statement(
    network: str, agency: str, entries: Sequence[SubAgency], *, last: int, now: datetime
) -> SubAgencies:
    """The statement that says a list.

    Args:
        last: The highest counter that was ever seen.
    """
    return SubAgencies(
        network=network,
        agency=agency,
        counter=max(last + 1, int(now.timestamp() * 1000)),
        created=time_text(now),
        entries=tuple(entries),
    )


def _add(before: SubAgency | None, order: Order, _now: datetime) -> SubAgency:
    _check_words(order)
    if before is None:
        return SubAgency(code=order.code, name=order.name, aliases=_aliases((), order))
    _check_open(before, order)
    if before.name != order.name:
        raise DecisionConflictError(
            f"{order.code} is listed as '{before.name}', not as '{order.name}'.",
            hint=f"To give it another name: edocnode subagency rename {order.code} --name TEXT",
            code=order.code,
        )
    return replace(before, aliases=_aliases(before.codes[1:], order))


def _rename(before: SubAgency | None, order: Order, _now: datetime) -> SubAgency:
    _check_words(order)
    known = _known(before, order)
    _check_open(known, order)
    return replace(known, name=order.name, aliases=_aliases(known.codes[1:], order))


def _close(before: SubAgency | None, order: Order, now: datetime) -> SubAgency:
    known = _known(before, order)
    return known if known.closed is not UNSET else replace(known, closed=time_text(now))


_STEPS = {OrderKind.ADD: _add, OrderKind.RENAME: _rename, OrderKind.CLOSE: _close}


def _aliases(known: Iterable[str], order: Order) -> tuple[str, ...] | UnsetType:
    found = tuple(dict.fromkeys((*known, *order.aliases)))
    if len(found) > MAX_ALIASES:
        raise RequestInvalidError(
            f"{order.code} would have more than {MAX_ALIASES} other codes.",
            hint="List its codes in use alone.",
            code=order.code,
        )
    return found or UNSET


def _known(before: SubAgency | None, order: Order) -> SubAgency:
    if before is None:
        raise AgencyUnknownError(
            f"The list of this agency has no sub-agency {order.code!r}.",
            hint="See the list: edocnode subagency list",
            code=order.code,
        )
    return before


def _check_open(before: SubAgency, order: Order) -> None:
    if before.closed is not UNSET:
        raise DecisionConflictError(
            f"{order.code} was closed at {before.closed}; that is final.",
            hint="A sub-agency that comes back gets a new code.",
            code=order.code,
        )


def _check_words(order: Order) -> None:
    for code in (order.code, *order.aliases):
        AgencyCode.parse(code)
    if not 1 <= len(order.name) <= MAX_NAME or order.name != order.name.strip():
        raise RequestInvalidError(
            f"The name of {order.code} must have 1 to {MAX_NAME} characters, none "
            "of them a space at the beginning or end.",
            hint="Give the official name, once.",
            code=order.code,
        )
    try:
        check_text(order.name)
    except NotCanonicalError as error:
        raise RequestInvalidError(
            f"The name of {order.code} cannot be used: {error.message}",
            hint="Type it anew, without invisible characters.",
            code=order.code,
        ) from error


def _check_has_spaces(agency: str, directory: Directory) -> None:
    entry = directory.identities.get(agency)
    if entry is None or not entry.spaces:
        raise SubagencyRefusedError(
            f"The officers of the registry gave {agency} no space to list codes in.",
            hint=f"Ask them for: edocregistry agency delegate {agency} '{agency}.*' '*.{agency}'",
            agency=agency,
        )


def _check_free(code: str, order: Order, agency: str, spaces: Spaces, directory: Directory) -> None:
    lister = spaces.lister(code)
    if lister != agency:
        mine = ", ".join(directory.identities[agency].spaces)
        raise SubagencyRefusedError(
            f"The code {code} is not {agency}'s to list.",
            hint=f"Choose a code in {mine}, or ask the registry's officer for another space.",
            code=code,
        )
    try:
        known = directory.agency(code)
    except AgencyUnknownError:
        return
    if known.owner != agency or known.code != order.code or known.code == known.owner:
        raise SubagencyRefusedError(
            f"The code {code} is that of {known.name} ({known.code}) already.",
            hint="Choose another code; codes are never used twice.",
            code=code,
        )
