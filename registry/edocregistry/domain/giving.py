"""Whose turn it is to give back what the registry has lost: one at a time, and never the slowest.

What is given proves itself, so turns are not about trust: they keep whoever only drips bytes from
keeping a node away. An agency that proved itself goes before everybody who did not, at once.
"""

from dataclasses import dataclass

from edoccore.errors import RequestInvalidError

GRACE_S = 10.0  # in which nobody is called slow
LEAST_BYTES_S = 32 * 1024  # of whoever is not slow, since its turn began


@dataclass(frozen=True, slots=True)
class Giver:
    """Who gives.

    Attributes:
        address: Where the call comes from.
        agency: That proved itself; empty: nobody did.
    """

    address: str
    agency: str = ""

    def __str__(self) -> str:
        """For logs."""
        return self.agency or self.address

    def is_same_as(self, other: "Giver") -> bool:
        """Whether both are one caller."""
        return str(self) == str(other)


@dataclass(eq=False, slots=True)
class Giving:
    """A turn.

    Attributes:
        since: Seconds of a clock that only grows.
        received: Bytes so far.
    """

    giver: Giver
    since: float
    received: int = 0

    def is_slow(self, now: float) -> bool:
        """Whether so little came that somebody else may go before."""
        took = now - self.since
        return took >= GRACE_S and self.received < LEAST_BYTES_S * took


class GivingTurns:
    """Who gives now."""

    def __init__(self) -> None:
        """Nobody does."""
        self._now: Giving | None = None

    def begin(self, giver: Giver, now: float) -> tuple[Giving, Giving | None]:
        """Gives somebody the turn.

        Returns:
            The turn, and the one that ends for it.

        Raises:
            RequestInvalidError: It is another's turn.
        """
        before = self._now
        if before is not None and not _goes_before(giver, before, now):
            raise RequestInvalidError(
                "Another caller is giving back.", hint="It is asked for again in a minute."
            )
        self._now = Giving(giver, now)
        return self._now, before

    def end(self, turn: Giving) -> None:
        """Ends a turn, unless another followed it already."""
        if self._now is turn:
            self._now = None


def _goes_before(giver: Giver, other: Giving, now: float) -> bool:
    if bool(giver.agency) != bool(other.giver.agency):
        return bool(giver.agency)
    return other.is_slow(now) or (bool(giver.agency) and giver.is_same_as(other.giver))
