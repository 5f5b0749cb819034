"""Knows who calls on the office's socket: accounts in memory, as they are at this moment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from edoccore.directory.view import Directory
from edoccore.errors import DocumentUnknownError
from edoccore.office_errors import TokenNotAcceptedError
from edocnode.domain.access import Account, AccountStore, Caller, account_of, caller_of
from edocnode.domain.opaque import Opaque
from edocnode.rpc.office_admission import DirectoryInForce


@dataclass(frozen=True, slots=True)
class Session:
    """A caller with one token, for as long as the token holds."""

    desk: "AccessDesk"
    name: str
    digest: bytes
    opaque: Opaque

    def account(self) -> Account:
        """The account as it is now.

        Raises:
            TokenNotAcceptedError: It has ended, or has another token.
        """
        return self.desk.account(self.name, self.digest)

    def caller(self) -> Caller:
        """What it sees now.

        Raises:
            TokenNotAcceptedError: As ``account``.
        """
        return self.desk.caller(self.account())


class AccessDesk:
    """The accounts of a node; ``load`` before the first call."""

    def __init__(self, store: AccountStore, directory: DirectoryInForce, owner: str) -> None:
        """Takes where accounts are kept and what says which codes the node serves."""
        self.store = store
        self._directory = directory
        self.owner = owner
        self._accounts: dict[str, Account] = {}
        self._digests: dict[bytes, Account] = {}
        self._callers: dict[str, tuple[Account, Directory, Caller]] = {}

    @property
    def directory(self) -> Directory:
        """The directory in force."""
        return self._directory.current

    async def load(self) -> None:
        """Reads all accounts."""
        for account in await self.store.accounts():
            self.take(account)

    def take(self, account: Account) -> None:
        """Lets an account be as it is now, for every call from this moment on."""
        before = self._accounts.get(account.name)
        if before is not None:
            self._digests.pop(before.token_digest, None)
        self._accounts[account.name] = account
        if account.ended_at is None:
            self._digests[account.token_digest] = account

    def named(self, name: str) -> Account:
        """The account of a name, also one that has ended.

        Raises:
            DocumentUnknownError: There is none.
        """
        found = self._accounts.get(name)
        if found is None:
            raise DocumentUnknownError(
                f"There is no account {name[:80]!r}.",
                hint="See: edocnode access list",
                name=name[:80],
            )
        return found

    def all(self) -> list[Account]:
        """All accounts in order of name, also those that have ended."""
        return [self._accounts[name] for name in sorted(self._accounts)]

    def session(self, token: str) -> Session:
        """Who calls with a token.

        Raises:
            TokenNotAcceptedError: Nobody does.
        """
        account = account_of(token, self._digests)
        return Session(self, account.name, account.token_digest, Opaque(account.cursor_key))

    def account(self, name: str, digest: bytes) -> Account:
        """An account, as long as it has a token.

        Raises:
            TokenNotAcceptedError: It has ended, or has another.
        """
        account = self._digests.get(digest)
        if account is None or account.name != name:
            raise TokenNotAcceptedError
        return account

    def caller(self, account: Account) -> Caller:
        """What an account sees by the directory in force."""
        known = self._callers.get(account.name)
        if known is not None and known[0] is account and known[1] is self.directory:
            return known[2]
        caller = caller_of(account, self.directory, self.owner)
        self._callers[account.name] = (account, self.directory, caller)
        return caller


def ended(account: Account, now: datetime) -> Account:
    """An account that has ended."""
    return replace(account, ended_at=now, changed_at=now)


Clock = Callable[[], datetime]
