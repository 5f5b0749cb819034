"""Sub-agencies that an agency lists itself: the spaces that officers give, the lists it sends.

A list is the agency's own word under its seal; the registry passes it on and can neither invent nor
change one. What is checked here keeps nonsense out of the directory and codes from being used
twice; readers check seal, counter and space again.
"""

from collections.abc import Sequence
from datetime import datetime

from edoccore.directory import endpoints as endpoint_rules
from edoccore.directory import subagencies as rules
from edoccore.directory.layout import MAX_SPACES, AgencyState
from edoccore.directory.spaces import Spaces, check_space, contains
from edoccore.directory.view import Directory
from edoccore.directory_errors import SubagencyRefusedError
from edoccore.errors import AgencyExistsError, DecisionConflictError, RequestInvalidError
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import SubAgencies, SubAgency
from edocregistry.domain.agencies import active_agency, check_has_node
from edocregistry.domain.endpoints import MAX_AHEAD
from edocregistry.domain.listed_codes import entries_of, listed_codes
from edocregistry.domain.model import SubAgencyList
from edocregistry.domain.ports import Records


def give_spaces(records: Records, code: str, spaces: Sequence[str], now: datetime) -> Sequence[str]:
    """Lets an agency list codes of its own in spaces; those that it has stay.

    Returns:
        All its spaces, in order.

    Raises:
        RequestInvalidError: A space is none, or the agency has too many.
        AgencyUnknownError, AgencyInactiveError: It is not an agency with its own node.
        AgencyExistsError: A space is another agency's, or another one's list has codes in it.
    """
    agency = active_agency(records, code, now)
    check_has_node(agency)
    taken = {space: owner for owner, listed in records.spaces().items() for space in listed}
    for space in map(check_space, spaces):
        holder = taken.get(space, agency.code)
        if holder != agency.code:
            raise AgencyExistsError(
                f"The space {space} is {holder}'s.",
                hint=f"Take it back first: edocregistry agency delegate {holder} {space} --end",
                agency=holder,
            )
        _check_nobody_lists(records, agency.code, space)
    mine = sorted({*records.spaces().get(agency.code, ()), *spaces})
    if len(mine) > MAX_SPACES:
        raise RequestInvalidError(f"An agency has at most {MAX_SPACES} spaces.")
    records.set_spaces(agency.code, mine)
    return mine


def end_spaces(records: Records, code: str, spaces: Sequence[str], now: datetime) -> Sequence[str]:
    """Takes spaces back in which the agency never listed a code.

    Returns:
        Those that it keeps, in order.

    Raises:
        AgencyUnknownError, AgencyInactiveError: It is not an agency with its own node.
        DecisionConflictError: Its list has a code there, which must keep its meaning.
    """
    agency = active_agency(records, code, now)
    for space in map(check_space, spaces):
        for listed in listed_codes(records, agency.code):
            if contains(space, listed):
                raise DecisionConflictError(
                    f"{agency.code} lists {listed} in the space {space}.",
                    hint="Codes that were listed keep their meaning, so the space stays. To stop "
                    f"what is served there: edocregistry agency suspend {agency.code}",
                    agency=agency.code,
                )
    kept = sorted(set(records.spaces().get(agency.code, ())) - set(spaces))
    records.set_spaces(agency.code, kept)
    return kept


def accept_list(
    records: Records, sealed: SealedStatement, directory: Directory, now: datetime
) -> SubAgencyList:
    """Keeps a list of sub-agencies, or finds that it is the one in hand.

    Args:
        records: Where it is kept.
        sealed: As received.
        directory: The one in force; says who may seal.
        now: Moment of the call.

    Raises:
        EdocError: A check of the seal failed; see ``directory.subagencies.check_list``.
        AgencyInactiveError: The agency is suspended or closed.
        SubagencyRefusedError: Not by its own agency, not newer than the one in hand, with a code
            that is missing or not the agency's to list; names it.
    """
    statement = rules.read_list(sealed)
    known = records.subagency_list(statement.agency)
    if known is not None and known.statement == sealed.statement:
        return known
    seal = endpoint_rules.seal_of(sealed)
    directory.seal_key(seal, now)
    rules.check_list(sealed, directory.seals.check_seal(seal, now), directory.network)
    agency = active_agency(records, statement.agency, now)
    check_has_node(agency)
    _check_counter(statement, known, now)
    if known is not None and not _is_worthless(known, directory):
        rules.check_follows(entries_of(known), statement.entries)
    _check_codes(records, agency.code, statement.entries)
    made = SubAgencyList.of(agency.code, statement.counter, sealed, now)
    records.put_subagency_list(made)
    return made


def _is_worthless(known: SubAgencyList, directory: Directory) -> bool:
    """Whether whoever sealed it had stolen the key: then its agency is not bound to it."""
    seal = endpoint_rules.seal_of(known.sealed())
    listed = directory.seals.listed(seal.signer, seal.certificates[0])
    revocation = listed.revocation(directory.revocations)
    return revocation is not None and endpoint_rules.time_of(seal) >= revocation.worthless_from


def _check_nobody_lists(records: Records, agency: str, space: str) -> None:
    for code, lister in listed_codes(records).items():
        if lister != agency and contains(space, code):
            raise AgencyExistsError(
                f"{lister} lists {code} in the space {space}; codes are never used twice.",
                hint="Give a narrower space.",
                agency=lister,
            )


def _check_counter(statement: SubAgencies, known: SubAgencyList | None, now: datetime) -> None:
    if known is not None and statement.counter <= known.counter:
        raise SubagencyRefusedError(
            f"The list of {statement.agency} has the counter {statement.counter}, which is not "
            f"above {known.counter}.",
            hint="The newer list stays. If this node was restored, see: edocnode subagency list",
            agency=statement.agency,
        )
    if statement.counter > int((now + MAX_AHEAD).timestamp() * 1000):
        raise SubagencyRefusedError(
            f"The counter of {statement.agency}'s list is of a later time than now.",
            hint="Set the clock of the node, then change the list again.",
            agency=statement.agency,
        )


def _check_codes(records: Records, agency: str, entries: Sequence[SubAgency]) -> None:
    """Each code is in a space of the agency and was given to nobody else."""
    spaces = Spaces(records.spaces().items())
    for entry in entries:
        for code in entry.codes:
            holder = records.owner_of_code(code)
            if holder is not None and not _is_handed_over(records, agency, entry, holder):
                raise _refused(agency, code, f"it was given to {holder}")
            if spaces.lister(code) != agency:
                raise _refused(agency, code, f"it is in no space of {agency}")


def _is_handed_over(records: Records, agency: str, entry: SubAgency, holder: str) -> bool:
    """Whether officers entered the same sub-agency for this agency before it had the space."""
    found = records.agency(holder)
    return (
        found is not None
        and (found.owner, found.code) == (agency, entry.code)
        and found.state is not AgencyState.CLOSED
    )


def _refused(agency: str, code: str, why: str) -> SubagencyRefusedError:
    return SubagencyRefusedError(
        f"{agency} cannot list the code {code}: {why}.",
        hint="Choose a code in a space of the agency, or ask the registry's officer: "
        f"edocregistry agency show {agency}",
        agency=agency,
        code=code,
    )
