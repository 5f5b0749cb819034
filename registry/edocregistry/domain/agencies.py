"""The life of agencies: how one comes in, pauses and ends, and which codes are taken for ever.

A decision that was taken before is not an error; another decision on the same matter is.
"""

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
    _check_free(records, (code, *aliases))
    if owner is not None:
        check_has_node(active_agency(records, owner))
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


def suspend_agency(records: Records, code: str) -> Agency:
    """Suspends an agency: nothing goes to it or comes from it until it is resumed.

    Raises:
        AgencyUnknownError: There is none.
        DecisionConflictError: It was closed.
    """
    agency = _governed(records, code)
    _check_not_closed(agency)
    return _save(records, replace(agency, state=AgencyState.SUSPENDED))


def resume_agency(records: Records, code: str) -> Agency:
    """Ends the suspension of an agency.

    Raises:
        AgencyUnknownError: There is none.
        DecisionConflictError: It was closed.
    """
    agency = _governed(records, code)
    _check_not_closed(agency)
    return _save(records, replace(agency, state=AgencyState.ACTIVE))


def close_agency(records: Records, code: str, now: datetime) -> Agency:
    """Ends an agency for good; its codes are never used again, its certificates stay listed.

    Raises:
        AgencyUnknownError: There is none.
        DecisionConflictError: It still owns sub-agencies.
    """
    agency = _governed(records, code)
    if agency.state is AgencyState.CLOSED:
        return agency
    owned = [
        item.code
        for item in records.agencies()
        if item.owner == code and item.state is not AgencyState.CLOSED
    ]
    if owned:
        raise DecisionConflictError(
            f"{code} still serves {', '.join(owned)}.", hint="Close those first.", agency=code
        )
    records.withdraw_invites(code, now)
    return _save(records, replace(agency, state=AgencyState.CLOSED, valid_to=now))


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


def active_agency(records: Records, code: str) -> Agency:
    """Finds an agency that is neither suspended nor closed.

    Raises:
        AgencyUnknownError: There is none.
        AgencyInactiveError: It is suspended or closed.
    """
    agency = known_agency(records, code)
    if agency.state is not AgencyState.ACTIVE:
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


def _governed(records: Records, code: str) -> Agency:
    agency = known_agency(records, code)
    if agency.code == REGISTRY_CODE:
        raise RequestInvalidError("The registry's own entry can be neither suspended nor closed.")
    return agency


def _check_not_closed(agency: Agency) -> None:
    if agency.state is AgencyState.CLOSED:
        raise DecisionConflictError(
            f"{agency.code} was closed; that is final.",
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


def _check_free(records: Records, codes: tuple[str, ...]) -> None:
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
    owned = [
        item
        for item in records.agencies()
        if item.owner == owner and item.state is not AgencyState.CLOSED
    ]
    if len(owned) >= MAX_OWNED:
        raise RequestInvalidError(
            f"{owner} owns {len(owned)} agencies, as many as one node can serve.",
            hint="Close those that have ended, or give the new one a node: leave out --owner.",
            agency=owner,
        )


def _save(records: Records, agency: Agency) -> Agency:
    records.save_agency(agency)
    return agency
