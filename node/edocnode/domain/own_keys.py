"""The keys of this node as those who run it see and end them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edoccore.directory.layout import RevocationKind
from edocnode.domain.key_life import TlsKey, tls_change
from edocnode.domain.seal_life import SealKey, seal_change


class TwoTlsKeys(Protocol):
    """The TLS certificate in use and its successor."""

    def current(self) -> TlsKey:
        """The certificate in use."""

    def following(self) -> TlsKey | None:
        """The certificate that comes next."""


class TwoSealKeys(Protocol):
    """The seal certificate in use and its successor."""

    def current(self) -> SealKey:
        """The certificate in use."""

    def following(self) -> SealKey | None:
        """The certificate that comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """A key in use and what follows it.

    Attributes:
        sha256: Of the certificate, lower hex.
        following: The same of the next one; empty when there is none.
        listed_since: When the directory was first seen to have that one.
        change_at: When that one comes into use, or is asked for when there is none.
        by_hand: What a person must do then; empty: the node does it.
    """

    kind: RevocationKind
    sha256: str
    not_after: datetime
    following: str
    listed_since: datetime | None
    change_at: datetime
    by_hand: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What ended: SHA-256 of the certificates, and the version of the directory that says so."""

    certificates: Sequence[str]
    version: int


class OwnKeys(Protocol):
    """Shows and ends the keys of this node."""

    def states(self) -> Sequence[KeyState]:
        """TLS, then seal."""

    async def end(
        self,
        kinds: Sequence[RevocationKind],
        *,
        reason: str,
        compromised_since: datetime | None,
        actor: str,
    ) -> Ended:
        """Ends keys for good.

        Raises:
            SealerStoppedError: This node cannot seal its word.
            RegistryUnreachableError: The registry does not answer; nothing has ended.
        """


def key_states(tls: TwoTlsKeys, seals: TwoSealKeys, advice: str, now: datetime) -> list[KeyState]:
    """How the keys stand.

    Args:
        advice: What a person must do to renew the seal; see ``seal_life.by_hand``.
    """
    current, following = tls.current(), tls.following()
    seal, next_seal = seals.current(), seals.following()
    return [
        KeyState(
            kind=RevocationKind.TLS,
            sha256=current.sha256,
            not_after=current.not_after,
            following="" if following is None else following.sha256,
            listed_since=None if following is None else following.listed_since,
            change_at=now if following is None else tls_change(current, following),
        ),
        KeyState(
            kind=RevocationKind.SEAL,
            sha256=seal.sha256,
            not_after=seal.not_after,
            following="" if next_seal is None else next_seal.sha256,
            listed_since=None if next_seal is None else next_seal.listed_since,
            change_at=seal.renewal if next_seal is None else seal_change(seal, next_seal),
            by_hand="" if next_seal else advice,
        ),
    ]
