"""The life of agencies: how one comes in, pauses and closes, and which codes are taken for ever.

A decision that was taken before is not an error; another decision on the same matter is. How
agencies follow each other is in ``succession``.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from edoccore.directory.layout import MAX_OWNED, AgencyState
from edoccore.errors import (
    AgencyExistsError,
    AgencyInactiveError,
    AgencyUnknownError,
    DecisionConflictError,
    RequestInvalidError,
)
from edoccore.identity.agency import AgencyCode
from edoccore.signing.canonical import check_text
from edoccore.signing.statements import time_text
from edocregistry.domain.listed_codes import check_by_officers, check_not_listed, listed_codes
from edocregistry.domain.model import REGISTRY_CODE, Agency
from edocregistry.domain.ports import Records

MAX_NAME_CHARACTERS = 1000  # of the directory's Text
MAX_ALIASES = 16


def add_agency(
    records: Records,
    code: str,
    name: str,
    *,
    aliases: tuple[str, ...] = (),
    owner: str | None = None,
    now: datetime,
) -> Agency:
    """Adds an agency; the same one again changes nothing.

    Args:
        records: Where agencies are kept.
        code: Its code.
        name: Official name, 1 to 1000 characters.
        aliases: Its other codes, such as the old one of 13 characters; at most 16.
        owner: Agency whose node and seal serve it; None: it gets its own.
        now: From here on it exists.

    Raises:
        RequestInvalidError: A code or the name cannot be used, or the owner has too many.
        AgencyExistsError: A code is taken, by officers or in the list of an agency.
        AgencyUnknownError, AgencyInactiveError: The owner is not an agency with its own node.
    """
    for item in (code, *aliases):
        AgencyCode.parse(item)
    _check_name(name)
    if len(aliases) > MAX_ALIASES or len({code, *aliases}) != len(aliases) + 1:
        raise RequestInvalidError(f"An agency has at most {MAX_ALIASES} aliases, each one once.")
    known = records.agency(code)
    if known is not None and (known.name, known.aliases, known.owner) == (name, aliases, owner):
        return known
    check_free(records, (code, *aliases))
    if owner is not None:
        check_has_node(active_agency(records, owner, now))
        check_by_officers(records, owner, (code, *aliases))
        _check_room(records, owner)
    agency = Agency(
        code=code,
        name=name,
        aliases=aliases,
        owner=owner,
        state=AgencyState.ACTIVE,
        valid_from=now,
        valid_to=None,
    )
    records.save_agency(agency)
    return agency


def rename_agency(
    records: Records, code: str, *, name: str | None, aliases: tuple[str, ...], now: datetime
) -> Agency:
    """Gives an agency another name, or more codes; what it has already changes nothing.

    Its code stays, and documents under the old name stay as they are.

    Args:
        records: Where agencies are kept.
        code: Its code, or an alias.
        name: Official name; None: as it is.
        aliases: Codes that it gets beside those it has.
        now: Moment of the order.

    Raises:
        AgencyUnknownError: There is none.
        DecisionConflictError: It has ended.
        RequestInvalidError: The name or a code cannot be used, or neither was given.
        AgencyExistsError: A code belongs to another agency.
    """
    agency = governed_agency(records, code)
    if name is None and not aliases:
        raise RequestInvalidError("Neither a name nor a code was given.", hint="Add --name TEXT.")
    if agency.has_ended(now):
        raise already_ends(agency)
    if name is not None:
        _check_name(name)
    for alias in aliases:
        AgencyCode.parse(alias)
    new = tuple(dict.fromkeys(a for a in aliases if a not in (agency.code, *agency.aliases)))
    check_free(records, new)
    if len(agency.aliases) + len(new) > MAX_ALIASES:
        raise RequestInvalidError(f"An agency has at most {MAX_ALIASES} aliases, each one once.")
    return save(records, replace(agency, name=name or agency.name, aliases=(*agency.aliases, *new)))


def suspend_agency(records: Records, code: str) -> Agency:
    """Suspends an agency: nothing goes to it or comes from it until it is resumed.

    Raises:
        AgencyUnknownError: There is none.
        DecisionConflictError: Its end was decided.
    """
    agency = governed_agency(records, code)
    check_no_end(agency)
    return save(records, replace(agency, state=AgencyState.SUSPENDED))


def resume_agency(records: Records, code: str) -> Agency:
    """Ends the suspension of an agency.

    Raises:
        AgencyUnknownError: There is none.
        DecisionConflictError: Its end was decided.
    """
    agency = governed_agency(records, code)
    check_no_end(agency)
    return save(records, replace(agency, state=AgencyState.ACTIVE))


def close_agency(records: Records, code: str, *, at: datetime, now: datetime) -> Agency:
    """Ends an agency that nobody follows; its codes are never used again.

    Its certificates stay listed. A sub-agency ends at once.

    Args:
        records: Where agencies are kept.
        code: Its code, or an alias.
        at: When it ends; ``now`` or later.
        now: Moment of the order.

    Raises:
        AgencyUnknownError: There is none.
        RequestInvalidError: The moment is past.
        DecisionConflictError: It still owns sub-agencies, or another end was decided.
    """
    agency = governed_agency(records, code)
    if agency.state is AgencyState.CLOSED:
        return agency
    check_no_end(agency)
    owned = owned_by(records, agency.code)
    if owned:
        raise DecisionConflictError(
            f"{agency.code} still serves {', '.join(item.code for item in owned)}.",
            hint="Close those first.",
            agency=agency.code,
        )
    return end_agency(
        records, agency, AgencyState.CLOSED, at=at if agency.owner is None else now, now=now
    )


def end_agency(
    records: Records,
    agency: Agency,
    state: AgencyState,
    *,
    successors: tuple[str, ...] = (),
    at: datetime,
    now: datetime,
) -> Agency:
    """Notes the end of an agency, and withdraws its invites.

    Raises:
        RequestInvalidError: The moment is past.
    """
    if at < now:
        raise RequestInvalidError(
            f"The end of {agency.code} at {time_text(at)} is past.",
            hint="What is sealed already cannot be taken back; name a moment to come, or none.",
        )
    records.withdraw_invites(agency.code, now)
    return save(records, replace(agency, state=state, valid_to=at, successors=successors))


def predecessors(agencies: Sequence[Agency]) -> dict[str, list[str]]:
    """Who is followed by each agency that follows somebody, by its code."""
    found: dict[str, list[str]] = {}
    for agency in agencies:
        for successor in agency.successors:
            found.setdefault(successor, []).append(agency.code)
    return found


def owned_by(records: Records, code: str) -> list[Agency]:
    """Sub-agencies of an agency that were not closed."""
    return [
        item
        for item in records.agencies()
        if item.owner == code and item.state is not AgencyState.CLOSED
    ]


def known_agency(records: Records, code: str) -> Agency:
    """Finds an agency by its code or an alias.

    Raises:
        AgencyUnknownError: There is none.
    """
    agency = records.agency(records.owner_of_code(code) or code)
    if agency is None:
        lister = listed_codes(records).get(code)
        if lister is not None:
            raise AgencyUnknownError(
                f"{code} is a sub-agency that {lister} lists itself.",
                hint=f"On the node of {lister}: edocnode subagency list",
                agency=lister,
            )
        raise AgencyUnknownError(
            f"There is no agency {code!r}.",
            hint="See the codes with: edocregistry agency list",
            agency=code,
        )
    return agency


def active_agency(records: Records, code: str, now: datetime) -> Agency:
    """Finds an agency that is neither suspended nor ended.

    Raises:
        AgencyUnknownError: There is none.
        AgencyInactiveError: It is suspended or has ended.
    """
    agency = known_agency(records, code)
    if not agency.is_active(now):
        raise AgencyInactiveError(f"{agency.code} is {agency.state.lower()}.", agency=agency.code)
    return agency


def answering_agency(records: Records, code: str, now: datetime) -> Agency:
    """Finds an agency whose node is heard: one that is active, or winds up.

    Raises:
        AgencyUnknownError: There is none.
        AgencyInactiveError: It is suspended, or has ended and wound up.
    """
    agency = known_agency(records, code)
    if not agency.answers(now):
        raise AgencyInactiveError(f"{agency.code} is {agency.state.lower()}.", agency=agency.code)
    return agency


def check_has_node(agency: Agency) -> None:
    """Accepts an agency that has its own node and seal.

    Raises:
        RequestInvalidError: Another agency's node serves it.
    """
    if agency.owner is not None:
        raise RequestInvalidError(
            f"{agency.code} has no node of its own; the node of {agency.owner} serves it.",
            hint=f"Use {agency.owner}.",
            agency=agency.code,
        )


def governed_agency(records: Records, code: str) -> Agency:
    """Finds an agency that officers may pause, rename and end.

    Raises:
        AgencyUnknownError: There is none.
        RequestInvalidError: It is the registry itself.
    """
    agency = known_agency(records, code)
    if agency.code == REGISTRY_CODE:
        raise RequestInvalidError("The registry's own entry can be neither suspended nor ended.")
    return agency


def check_no_end(agency: Agency) -> None:
    """Accepts an agency whose end nobody has decided.

    Raises:
        DecisionConflictError: Somebody did.
    """
    if agency.valid_to is not None:
        raise already_ends(agency)


def already_ends(agency: Agency) -> DecisionConflictError:
    """Says what was decided about the end of an agency."""
    day = "" if agency.valid_to is None else time_text(agency.valid_to)
    how = f"merged into {', '.join(agency.successors)}" if agency.successors else "closed"
    return DecisionConflictError(
        f"It was decided that {agency.code} is {how} at {day}; that is final.",
        hint="A new agency needs a new code.",
        agency=agency.code,
    )


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or name != name.strip():
        raise RequestInvalidError(
            f"The name must have 1 to {MAX_NAME_CHARACTERS} characters, none of them a space "
            "at the beginning or end."
        )
    check_text(name)


def check_free(records: Records, codes: tuple[str, ...]) -> None:
    """Accepts codes that no agency has or had.

    Raises:
        AgencyExistsError: One did.
    """
    for code in codes:
        holder = records.owner_of_code(code)
        if holder is not None:
            raise AgencyExistsError(
                f"The code {code} belongs to {holder}; codes are never used twice.",
                hint=f"See: edocregistry agency show {holder}",
                agency=holder,
            )
    check_not_listed(records, codes)


def _check_room(records: Records, owner: str) -> None:
    """Refuses what the directory could not hold: nodes would leave out the owner with all it owns.

    Raises:
        RequestInvalidError: The owner has as many sub-agencies as an entry may name.
    """
    owned = owned_by(records, owner)
    if len(owned) >= MAX_OWNED:
        raise RequestInvalidError(
            f"{owner} owns {len(owned)} agencies, as many as one node can serve.",
            hint="Close those that have ended, or give the new one a node: leave out --owner.",
            agency=owner,
        )


def save(records: Records, agency: Agency) -> Agency:
    """Keeps an agency as it is now."""
    records.save_agency(agency)
    return agency
