"""Which codes agencies list themselves: taken for ever, like those that officers enter."""

from collections.abc import Sequence

from edoccore.directory.spaces import Spaces
from edoccore.directory.subagencies import read_list
from edoccore.errors import AgencyExistsError, RequestInvalidError
from edoccore.signing.statements import SubAgency
from edocregistry.domain.model import SubAgencyList
from edocregistry.domain.ports import Records


def entries_of(listed: SubAgencyList | None) -> Sequence[SubAgency]:
    """What a list names; nothing when there is none."""
    return () if listed is None else read_list(listed.sealed()).entries


def listed_codes(records: Records, agency: str | None = None) -> dict[str, str]:
    """All codes and aliases that agencies list themselves, closed ones too, with who lists them.

    Args:
        records: Where the lists are kept.
        agency: Whose list; None: all.
    """
    return {
        code: found.agency
        for found in records.subagency_lists()
        if agency in (None, found.agency)
        for entry in entries_of(found)
        for code in entry.codes
    }


def check_not_listed(records: Records, codes: Sequence[str]) -> None:
    """Accepts codes that no agency lists itself.

    Raises:
        AgencyExistsError: One is listed.
    """
    listed = listed_codes(records)
    for code in codes:
        if code in listed:
            raise AgencyExistsError(
                f"The code {code} is in the list of {listed[code]}; codes are never used twice.",
                hint=f"On the node of {listed[code]}: edocnode subagency list",
                agency=listed[code],
            )


def check_by_officers(records: Records, owner: str, codes: Sequence[str]) -> None:
    """Accepts codes of a sub-agency that officers may enter: no agency is to list them itself.

    Raises:
        RequestInvalidError: One lies in a space, whose agency has its own way to list it.
    """
    spaces = Spaces(records.spaces().items())
    for code in codes:
        lister = spaces.lister(code)
        if lister is not None:
            raise RequestInvalidError(
                f"The code {code} is {lister}'s to list, so officers do not enter it for {owner}.",
                hint=f"On the node of {lister}: edocnode subagency add {code} --name TEXT",
                agency=lister,
            )
