"""Who may see and do what on the office's socket, when several offices share a node.

An account belongs to a program or a person of an office. It sees documents to and from its
agencies; a document that was restricted is seen by the accounts that were named, and by no other,
each with the rights that were given to it there, and no more than it has itself.
What an account may not see does not exist for it. The administrator's socket knows no accounts.

Source: Decree 30/2020/ND-CP, Appendix VI, Part I: rights of access to each document.
"""

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from edoccore.directory.view import Directory
from edoccore.errors import AgencyUnknownError, RequestInvalidError
from edoccore.office_errors import AccessDeniedError, TokenNotAcceptedError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect, time_text
from edocnode.domain.access_log import AccessEntry
from edocnode.domain.decisions import MAX_ACTOR
from edocnode.domain.model import DocumentId

TOKEN_BYTES = 32  # of chance in a token
TOKEN_PREFIX = "edoc-token-"  # noqa: S105 - what every token begins with, so that leaks are found
TOKEN_CHARACTERS = 43  # that follow: 32 bytes in Base64
MAX_NAME = 28  # with the name of a consumer it still fits into its column
MAX_AGENCIES = 100  # of one account; --subtree has no limit
MAX_NAMED = 100  # accounts to which one document is restricted

_NAME = re.compile(rf"(?!operator$)[a-z0-9][a-z0-9.-]{{0,{MAX_NAME - 1}}}")


class Right(StrEnum):
    """What an account may do with what it sees."""

    READ = "read"
    PROCESS = "process"  # begin and finish with it; part of ``decide``
    DECIDE = "decide"
    SEND = "send"  # also change, take back and queue again what was sent
    STATISTICS = "statistics"  # of its agencies


EVERY_RIGHT = frozenset(Right)
ON_DOCUMENTS = EVERY_RIGHT - {Right.STATISTICS}  # what can be given on one document


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as it is kept.

    Attributes:
        agencies: Present codes; empty with ``subtree``.
        subtree: It sees all that the node serves, also what the directory adds later.
        token_digest: SHA-256 of its token.
        cursor_key: Hides its cursors, see ``opaque``; 32 bytes.
        ended_at: None while it may call.
    """

    name: str
    agencies: tuple[str, ...]
    subtree: bool
    may: frozenset[Right]
    token_digest: bytes
    cursor_key: bytes
    created_at: datetime
    changed_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An account that calls, with every spelling of the codes it sees.

    Attributes:
        everything: It sees all that the node serves, whatever its code.
    """

    name: str
    codes: frozenset[str]
    everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An account that is named on a restricted document, and what it may do with that."""

    account: str
    may: frozenset[Right]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDocuments:
    """Documents on which an account is named, the first of them, and how many there are."""

    documents: Sequence[tuple[DocumentId, frozenset[Right]]]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Who sees a document and may do what with it; nobody named: whoever its agencies let.

    Attributes:
        effect: The leaf of the journal, with its salt.
        entry: For the access history.
    """

    document_id: DocumentId
    named: Sequence[Named]
    salt: bytes
    effect: bytes
    entry: AccessEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """An account as it shall be, and the effect that is kept with it."""

    account: Account
    effect: bytes


class AccountStore(Protocol):
    """Where accounts and restrictions are kept; each method is one transaction."""

    async def accounts(self) -> Sequence[Account]:
        """All accounts, also those that have ended, in order of name."""

    async def add_account(self, change: AccountChange, salt: bytes) -> bool:
        """Keeps a new account; False when there is, or was, one of its name."""

    async def change_account(self, change: AccountChange, salt: bytes) -> None:
        """Keeps an account as it is now."""

    async def restrict(self, restriction: Restriction) -> bool:
        """Keeps who sees a document and may do what with it.

        Returns:
            False when it was so before; nothing was kept.
        """

    async def audience(self, document_id: DocumentId) -> Sequence[Named]:
        """Accounts to which a document is restricted, in order of name; none when it is not."""

    async def named_documents(self, account: str, limit: int) -> NamedDocuments:
        """Documents on which an account is named, the newest first."""


def may_see(caller: Caller, *, agency: str, audience: frozenset[str]) -> bool:
    """Whether an account sees a document.

    Args:
        agency: Code it was received for, or sent from.
        audience: Accounts to which it is restricted; empty when it is not.
    """
    if audience:
        return caller.name in audience
    return caller.everything or agency in caller.codes


def caller_of(account: Account, directory: Directory, owner: str) -> Caller:
    """What an account sees by the directory in force.

    Args:
        owner: Agency that owns the node.
    """
    codes = served_codes(directory, owner) if account.subtree else account.agencies
    spelt = frozenset(code for each in codes for code in _spellings(each, directory))
    return Caller(name=account.name, codes=spelt, everything=account.subtree)


def served_codes(directory: Directory, owner: str) -> tuple[str, ...]:
    """Present codes that a node serves: of its owner and of the sub-agencies."""
    entry = directory.identities.get(owner)
    return (owner, *sorted(item.code for item in (entry.owns if entry else ())))


def check_account(
    name: str, agencies: Sequence[str], *, subtree: bool, directory: Directory, owner: str
) -> tuple[str, ...]:
    """Checks what an administrator asks an account to be; returns the present codes.

    Raises:
        RequestInvalidError: The name cannot be used, or neither agencies nor the subtree were
            named, or both.
        AgencyUnknownError: No agency has a code.
    """
    if not _NAME.fullmatch(name):
        raise RequestInvalidError(
            f"{name[:80]!r} is no name of an account.",
            hint=f"Use 1 to {MAX_NAME} of a-z, 0-9, dot and hyphen.",
        )
    if subtree == bool(agencies) or len(agencies) > MAX_AGENCIES:
        raise RequestInvalidError(
            f"An account has 1 to {MAX_AGENCIES} agencies, or all that the node serves.",
            hint="Add --agency CODE, once for each, or --subtree.",
        )
    found = []
    for code in agencies:
        agency = directory.agency(code)
        if agency.owner != owner:
            raise RequestInvalidError(
                f"This node does not serve {code}, but {owner} and its sub-agencies.",
                hint="See the codes it serves: edocnode status",
                code=code,
            )
        found.append(agency.code)
    return tuple(sorted(set(found)))


def rights_of(names: Iterable[str]) -> frozenset[Right]:
    """Reads rights as people write them; ``all`` is every right.

    Raises:
        RequestInvalidError: There is no such right, or none was given.
    """
    wanted = {name.strip() for name in names if name.strip()}
    known = {right.value for right in Right}
    if not wanted or not wanted <= known | {"all"}:
        raise RequestInvalidError(
            f"There is no right {', '.join(sorted(wanted - known - {'all'})) or 'to nothing'!r}.",
            hint="Use one or more of: read, process, decide, send, statistics, all.",
        )
    return EVERY_RIGHT if "all" in wanted else frozenset(Right(name) for name in wanted)


def document_rights_of(names: Iterable[str]) -> frozenset[Right]:
    """Reads rights on one document; ``read`` is always among them, and alone when none is given.

    Raises:
        RequestInvalidError: There is no such right on a document.
    """
    wanted = [name for name in names if name.strip()]
    rights = rights_of(wanted) if wanted else frozenset({Right.READ})
    if "all" not in {name.strip() for name in wanted} and not rights <= ON_DOCUMENTS:
        raise RequestInvalidError(
            "Statistics are of agencies, not of one document.",
            hint="Use one or more of: read, process, decide, send, all.",
        )
    return rights & ON_DOCUMENTS | {Right.READ}


def require_on_document(
    account: Account, right: Right, audience: Sequence[Named], *, document: str, is_assigned: bool
) -> None:
    """Checks that an account, which sees a document, may do this with it.

    Args:
        audience: To whom it is restricted; empty: what the account may counts alone.
        document: Id as it was asked for.
        is_assigned: It was given to the account to deal with.

    Raises:
        AccessDeniedError: It may not.
    """
    given = [each.may for each in audience if each.account == account.name]
    if not audience or any(_has(may, right) for may in given):
        return
    if given and right is Right.PROCESS and is_assigned:
        return
    raise AccessDeniedError(
        f"The account {account.name} may not {right.value} document {document[:40]}, on which it "
        f"is named.",
        hint="Ask the node's administrator: edocnode access restrict ID --to NAME=RIGHTS",
        account=account.name,
    )


def _has(may: frozenset[Right], right: Right) -> bool:
    return right in may or (right is Right.PROCESS and Right.DECIDE in may)


def require(account: Account, right: Right) -> None:
    """Checks that an account has a right.

    Raises:
        AccessDeniedError: It has not.
    """
    if not _has(account.may, right):
        raise AccessDeniedError(
            f"The account {account.name} may not {right.value}.",
            hint="Ask the node's administrator: edocnode access change",
            account=account.name,
        )


def check_sender(caller: Caller, sender: str) -> None:
    """Checks that an account sends from, or numbers for, one of its agencies.

    Raises:
        AccessDeniedError: It is another's.
    """
    if not caller.everything and sender not in caller.codes:
        raise AccessDeniedError(
            f"The account {caller.name} may not act for {sender}.",
            hint="Name one of your agencies: --from CODE or --agency CODE.",
            account=caller.name,
        )


def token_digest(token: str) -> bytes:
    """What is kept of a token, which has 256 bits of chance."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def account_of(token: str, digests: dict[bytes, Account]) -> Account:
    """The account of a token.

    Looked up by digest and compared in constant time, so the time taken tells nothing of any token.

    Args:
        digests: Accounts that may call, by the digest of their token.

    Raises:
        TokenNotAcceptedError: It is of none; absent, wrong and ended are told alike.
    """
    well_formed = len(token) == len(TOKEN_PREFIX) + TOKEN_CHARACTERS
    digest = token_digest(token if well_formed else "")
    account = digests.get(digest)
    if account is None or not hmac.compare_digest(account.token_digest, digest):
        raise TokenNotAcceptedError
    return account


def actor_of(account: str, actor: str) -> str:
    """Who decided something with a token, for the journal and the sender.

    Raises:
        RequestInvalidError: The name is too long.
    """
    named = f"{account}: {actor}" if actor else ""
    if len(named) > MAX_ACTOR:
        raise RequestInvalidError(
            f"Who decides may have at most {MAX_ACTOR - len(account) - 2} characters.",
            hint="Shorten --actor NAME.",
        )
    return named


def access_effect(
    kind: str,
    subject: str,
    *,
    directory: Directory,
    owner: str,
    actor: str,
    now: datetime,
    detail: str,
) -> bytes:
    """The leaf of the journal for something that was changed about who sees or keeps what.

    Args:
        kind: Such as access.added.
        subject: Account or document.
        actor: Who did it, 1 to 200 characters.
        detail: Never empty; cut at 2000 characters.

    Raises:
        RequestInvalidError: The actor is missing or too long.
        NotCanonicalError: A text has a forbidden character.
    """
    if not 1 <= len(actor) <= MAX_ACTOR:
        raise RequestInvalidError("Who decides must be named.", hint="Add --actor NAME.")
    for text in (actor, detail):
        canonical.check_text(text)
    effect = Effect(
        network=directory.network,
        agency=owner,
        kind=kind,
        subject=subject,
        actor=actor,
        time=time_text(now),
        detail=detail[:2000],
    )
    return canonical.encode(effect)


def described_audience(named: Sequence[Named]) -> str:
    """Who sees a document and may do what, in one line, for the journal and the history."""
    told = [f"{each.account} ({', '.join(sorted(each.may))})" for each in named]
    return ", ".join(told) or "whoever its agencies let"


def described(account: Account) -> str:
    """An account in one line, for the journal."""
    agencies = "all that the node serves" if account.subtree else ", ".join(account.agencies)
    return f"may {', '.join(sorted(account.may))} for {agencies}"


def _spellings(code: str, directory: Directory, seen: frozenset[str] = frozenset()) -> set[str]:
    """A present code, its aliases, and the codes of agencies that ended in it."""
    try:
        agency = directory.agency(code)
    except AgencyUnknownError:
        return {code}  # it has left the directory; its documents stay its own
    found = {code, agency.code, *agency.aliases}
    if agency.code != agency.owner:
        return found
    for earlier in agency.predecessors:
        if earlier not in seen:
            for old in served_codes(directory, earlier):
                found |= _spellings(old, directory, seen | {code, earlier})
    return found
