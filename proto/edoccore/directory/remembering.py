"""What was checked once and does not change: kept so that a refresh checks only what is new.

Bounded, and shared by all threads: each step is one that Python does not divide. Whoever adds to it
has checked: what lies here is believed.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Values by key, in two generations; the older goes when the newer is full."""

    def __init__(self, limit: int) -> None:
        """Takes how many are kept at most; half of that for certain."""
        self._half = limit // 2
        self._newer: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key; made when it is not there, and kept unless that raises."""
        found = self._newer.get(key)
        if found is None:
            found = self._older.get(key)
            if found is None:
                found = make()
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Keeps a value that was checked."""
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}
        self._newer[key] = value
