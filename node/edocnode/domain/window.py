"""How much may be under way to one peer: enough to keep it busy, little enough to stay quick.

What is offered and not answered cannot be overtaken any more, so an urgent document waits for it.
The window is therefore what the peer takes in the time that an answer needs when nothing is ahead
of it, and in 50 ms more, or as long again: a fast peer gets batch upon batch, a slow line a few
documents. The rate is measured on the answers; the time on parcels that had no company, or else on
the fastest answer of the session, never on the hello: a peer whose seal is in a slow token answers
a hello at once and a parcel after a signature. A window that is too small shows a rate that asks
for a larger one.

Moments are seconds of any clock that never goes back.

Source: proto/README.md, section Delivery.
"""

from collections import deque
from dataclasses import dataclass

# Of work that may wait at the peer; where an answer takes longer, as long again: answers come
# together, by signature, so that a window of one such time would starve the peer in between.
QUEUE_S = 0.05
MOST_PARCELS = 800  # four whole batches
MOST_BYTES = 8 * 1024 * 1024
FIRST_PARCELS = 4  # before the first answer: the most urgent need not wait for one that is slow
FEWEST_PARCELS = 4  # so that a window that shrank for no reason measures the time anew
RATES = 10  # newest measurements, of which the highest counts
TIMES = 10  # newest measurements, of which the lowest counts
ALONE = 1  # parcels under way, with which a time is that of the peer and not of the queue


@dataclass(frozen=True, slots=True)
class Mark:
    """What was known when something was offered."""

    at: float
    answered: int
    under_way: int


class Window:
    """Measures one peer."""

    def __init__(self, hello_s: float) -> None:
        """Knows only how long the hello took, which no answer undercuts by much."""
        self._answered = 0
        self._rates: deque[float] = deque(maxlen=RATES)
        self._hello_s = hello_s
        self._times: deque[float] = deque(maxlen=TIMES)  # of those that had no company
        self._fastest_s = float("inf")  # of all; the newest ones would grow with what lies ahead
        self._average_bytes = 0.0

    def offered(self, under_way: int, *, at: float) -> Mark:
        """What to remember of parcels that are offered now, until their answer.

        Args:
            under_way: Parcels that are not answered, these among them.
        """
        return Mark(at, self._answered, under_way)

    def answered(self, mark: Mark, count: int, *, at: float) -> None:
        """Counts answers that came together; ``mark`` is of the one offered last among them."""
        self._answered += count
        took = max(at - mark.at, 1e-6)
        self._rates.append((self._answered - mark.answered) / took)
        self._fastest_s = min(self._fastest_s, max(took, self._hello_s))
        if mark.under_way <= ALONE:
            self._times.append(took)

    def weighed(self, bytes_each: float) -> None:
        """Learns how large the parcels to this peer are."""
        self._average_bytes += (bytes_each - self._average_bytes) / 4

    def room(self, parcels: int, size_bytes: int) -> int:
        """How many parcels more may go out.

        Args:
            parcels: Under way now.
            size_bytes: Of them.
        """
        by_count = self._parcels() - parcels
        if not self._average_bytes:
            return max(by_count, 0)
        by_size = int((MOST_BYTES - size_bytes) / self._average_bytes)
        least = 0 if parcels else 1  # one of any size, alone
        return max(min(by_count, by_size), least)

    def _parcels(self) -> int:
        if not self._rates:
            return FIRST_PARCELS
        alone = min(self._times, default=self._fastest_s)
        wanted = max(self._rates) * (alone + max(QUEUE_S, alone))
        return min(max(int(wanted), FEWEST_PARCELS), MOST_PARCELS)
