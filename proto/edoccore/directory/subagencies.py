"""The sub-agencies that an agency lists itself: its own statement, under its own seal.

Like an endpoint statement, a list is passed on by the registry, which cannot invent, alter or bring
back one: each is checked here under the seal of the agency it speaks for, its counter never goes
down, and what it may name is bounded by the spaces that the officers gave that agency
(``spaces``). What the identity entries list comes first. A list that was sealed before its key was
lost or revoked goes on counting: closing a stolen key must not close five hundred departments.

Source: proto/README.md, section Sub-agencies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec import UNSET

from edoccore.directory import endpoints
from edoccore.directory.remembering import Remembered
from edoccore.directory.revocations import Revocation
from edoccore.directory.seals import ListedSeal
from edoccore.directory_errors import SubagencyRefusedError
from edoccore.errors import (
    DirectoryInvalidError,
    RequestInvalidError,
    WrongNetworkError,
)
from edoccore.identity.agency import AgencyCode
from edoccore.identity.keys import verify_signature
from edoccore.signing import canonical, statements
from edoccore.signing.seal import SealedStatement, check_membership
from edoccore.signing.statements import MAX_LIST_BYTES, SubAgencies, SubAgency


@dataclass(frozen=True, slots=True, kw_only=True)
class SubAgencyList:
    """A checked list.

    Attributes:
        entries: In order of code, those that were closed too.
        listed: The certificate it was sealed with.
        time: Of that seal.
        sealed: The statement as sealed, for passing on.
    """

    agency: str
    counter: int
    entries: tuple[SubAgency, ...]
    listed: ListedSeal
    time: datetime
    sealed: SealedStatement

    def is_worthless(self, revocation: Revocation | None) -> bool:
        """Whether it was sealed when its key was lost or had ended."""
        return revocation is not None and self.time >= revocation.worthless_from


_List = tuple[SealedStatement, ListedSeal, str]  # with certificate and network
_checked: Remembered[_List, SubAgencyList] = Remembered(4096)


def remember_list(found: SubAgencyList, network: str) -> None:
    """Keeps what ``check_list`` gave once, so that it gives it again without checking."""
    _checked.put((found.sealed, found.listed, network), found)


def check_list(sealed: SealedStatement, listed: ListedSeal, network: str) -> SubAgencyList:
    """Checks a list under a certificate that may seal for its agency.

    Neither revocation nor who may list which code is asked here.

    Args:
        sealed: Statement, proof and seal.
        listed: The certificate that the seal names, as ``SealBook.check_seal`` found it.
        network: The network it must be for.

    Raises:
        NotCanonicalError, StatementTooLargeError, StatementTypeError: The bytes.
        WrongNetworkError: Statement or seal is for another network.
        SealInvalidError: Signature or proof do not fit.
        SubagencyRefusedError: It speaks for another agency than the one that sealed it.
        RequestInvalidError: Its entries are not in order, or a code is none.
    """
    return _checked.get((sealed, listed, network), lambda: _check(sealed, listed, network))


def read_list(sealed: SealedStatement) -> SubAgencies:
    """Reads the statement, without a look at its seal.

    Raises:
        NotCanonicalError, StatementTooLargeError, StatementTypeError: The bytes.
    """
    return canonical.decode(sealed.statement, SubAgencies, limit=MAX_LIST_BYTES)


def check_entries(entries: Sequence[SubAgency]) -> None:
    """Accepts entries that one list may have together.

    Raises:
        RequestInvalidError: They are not in order of code, a code is none or stands there twice.
    """
    codes = [code for entry in entries for code in entry.codes]
    for code in codes:
        AgencyCode.parse(code)
    if len(set(codes)) != len(codes):
        twice = next(code for code in codes if codes.count(code) > 1)
        raise RequestInvalidError(
            f"The code {twice} stands twice in the list.",
            hint="Each code and each old code names one sub-agency alone.",
            code=twice,
        )
    if [entry.code for entry in entries] != sorted(entry.code for entry in entries):
        raise RequestInvalidError("The list is not in order of code.")


def check_follows(before: Sequence[SubAgency], after: Sequence[SubAgency]) -> None:
    """Accepts a list in the place of an earlier one: what was ever listed stays what it was.

    Raises:
        SubagencyRefusedError: A code or alias is gone, or was closed and is open again; names it.
    """
    known = {entry.code: entry for entry in after}
    for old in before:
        new = known.get(old.code)
        if new is None or not set(old.codes) <= set(new.codes):
            gone = old.code if new is None else min(set(old.codes) - set(new.codes))
            raise SubagencyRefusedError(
                f"The code {gone} is missing in the new list.",
                hint="A code that was listed stays listed: old documents are read by it.",
                code=gone,
            )
        if old.closed is not UNSET and new.closed != old.closed:
            raise SubagencyRefusedError(
                f"The sub-agency {old.code} was closed at {old.closed}; that is final.",
                hint="A sub-agency that comes back gets a new code.",
                code=old.code,
            )


def _check(sealed: SealedStatement, listed: ListedSeal, network: str) -> SubAgencyList:
    seal, found = endpoints.seal_of(sealed), read_list(sealed)
    if (seal.network, found.network) != (network, network):
        raise WrongNetworkError(
            f"The list of {found.agency} was not made for network {network}.", agency=found.agency
        )
    verify_signature(listed.key, seal.suite, sealed.seal.data, sealed.seal.signature)
    check_membership(seal, sealed.statement, sealed.leaf, sealed.proof)
    if not found.agency == seal.signer == listed.agency:
        raise SubagencyRefusedError(
            f"The list of {found.agency} was sealed by {seal.signer}.", agency=found.agency
        )
    check_entries(found.entries)
    for entry in found.entries:
        _check_closed(entry)
    return SubAgencyList(
        agency=found.agency,
        counter=found.counter,
        entries=found.entries,
        listed=listed,
        time=endpoints.time_of(seal),
        sealed=sealed,
    )


def _check_closed(entry: SubAgency) -> None:
    if isinstance(entry.closed, str):
        try:
            statements.parse_time(entry.closed)
        except ValueError as error:
            raise DirectoryInvalidError(f"{entry.code} was closed at no real time.") from error
