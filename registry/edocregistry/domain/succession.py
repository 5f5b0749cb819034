"""How agencies follow each other: several merge into one, one is split into several.

What is decided is published at once and holds from a moment on, which may lie ahead: nodes then
change at that moment, whether or not they reach anybody. Codes of those that end are never used
again. What an ending agency owns besides its own code stays with it, and is reached as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edoccore.directory.layout import MAX_KIN, AgencyState
from edoccore.errors import DecisionConflictError, RequestInvalidError
from edocregistry.domain.agencies import (
    active_agency,
    add_agency,
    already_ends,
    check_has_node,
    check_no_end,
    end_agency,
    governed_agency,
    predecessors,
    rename_agency,
)
from edocregistry.domain.model import REGISTRY_CODE, Agency
from edocregistry.domain.ports import Records

MIN_SPLIT = 2  # agencies that a split makes, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Merger:
    """One merger of a reform.

    Attributes:
        codes: Of the agencies that end.
        into: Code of the one that follows them.
        name: Its official name from now on, or of a new agency; None: it is there and keeps its.
    """

    codes: tuple[str, ...]
    into: str
    name: str | None = None


def merge_agencies(
    records: Records,
    codes: Sequence[str],
    into: str,
    *,
    name: str | None,
    aliases: tuple[str, ...] = (),
    at: datetime,
    now: datetime,
) -> list[Agency]:
    """Merges agencies into one, all in one decision; the same one again changes nothing.

    Args:
        records: Where agencies are kept.
        codes: Those that end.
        into: The one that follows them.
        name: Official name of ``into`` when it is new; None: it is there.
        aliases: Other codes of ``into`` when it is new.
        at: When they end; ``now`` or later.
        now: Moment of the order.

    Returns:
        The agencies that end, then the one that follows them.

    Raises:
        AgencyUnknownError, AgencyInactiveError: One is not there, or suspended.
        RequestInvalidError: One is named twice, has no node of its own, or the moment is past.
        DecisionConflictError: Another end of one was decided.
        AgencyExistsError: A code of the new agency is taken.
    """
    if name is not None:
        add_agency(records, into, name, aliases=aliases, now=now)
    successor = _successor(records, into, now)
    ending = [_ending(records, code) for code in codes]
    _check_each_once([*(item.code for item in ending), successor.code])
    new = [item for item in ending if item.successors != (successor.code,)]
    followed = len(predecessors(records.agencies()).get(successor.code, ()))
    if followed + len(new) > MAX_KIN:
        raise RequestInvalidError(
            f"{successor.code} would follow {followed + len(new)} agencies; at most {MAX_KIN} are "
            "possible."
        )
    done = {item.code: _end(records, item, (successor.code,), at, now) for item in new}
    return [*(done.get(item.code, item) for item in ending), successor]


def reorganise(
    records: Records, mergers: Sequence[Merger], *, at: datetime, now: datetime
) -> list[Agency]:
    """Carries out many mergers as one decision, as a law makes them; repeats without harm.

    An agency that is named anew is renamed now: a name says nothing about who does what.

    Args:
        records: Where agencies are kept.
        mergers: In any order.
        at: When all of them end; ``now`` or later.
        now: Moment of the order.

    Returns:
        The agencies that end.

    Raises:
        As ``merge_agencies``; nothing is changed then.
    """
    ending: list[Agency] = []
    for one in mergers:
        known = records.owner_of_code(one.into)
        name = one.name if known is None else None
        ending += merge_agencies(records, one.codes, one.into, name=name, at=at, now=now)[:-1]
        if known is not None and one.name is not None:
            rename_agency(records, one.into, name=one.name, aliases=(), now=now)
    return ending


def split_agency(
    records: Records, code: str, into: Sequence[str], *, at: datetime, now: datetime
) -> list[Agency]:
    """Splits an agency into several that are there; the same decision again changes nothing.

    From then on whoever writes to it has to choose one of them.

    Args:
        records: Where agencies are kept.
        code: The one that ends.
        into: Those that follow it, two or more.
        at: When it ends; ``now`` or later.
        now: Moment of the order.

    Returns:
        The agency that ends, then those that follow it.

    Raises:
        As ``merge_agencies``.
    """
    if not MIN_SPLIT <= len(into) <= MAX_KIN:
        raise RequestInvalidError(
            f"An agency is split into {MIN_SPLIT} to {MAX_KIN} others.",
            hint="Name each with --into CODE; into one alone it is merged.",
        )
    successors = [_successor(records, item, now) for item in into]
    ending = _ending(records, code)
    names = tuple(item.code for item in successors)
    _check_each_once([ending.code, *names])
    if ending.successors != names:
        ending = _end(records, ending, names, at, now)
    return [ending, *successors]


def _ending(records: Records, code: str) -> Agency:
    agency = governed_agency(records, code)
    check_has_node(agency)
    return agency


def _successor(records: Records, code: str, now: datetime) -> Agency:
    agency = active_agency(records, code, now)
    check_has_node(agency)
    check_no_end(agency)
    if agency.code == REGISTRY_CODE:
        raise RequestInvalidError("The registry takes no documents and can follow nobody.")
    return agency


def _end(
    records: Records, agency: Agency, successors: tuple[str, ...], at: datetime, now: datetime
) -> Agency:
    if agency.valid_to is not None:
        raise already_ends(agency)
    return end_agency(records, agency, AgencyState.MERGED, successors=successors, at=at, now=now)


def _check_each_once(codes: Sequence[str]) -> None:
    doubled = next((code for code in codes if codes.count(code) > 1), None)
    if doubled is not None:
        raise DecisionConflictError(
            f"{doubled} is named twice.", hint="No agency follows itself, and each ends once."
        )
