"""Tells a person what the demonstration does: one line a step, how long it took, what proves it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edockit.console import Console
from edockit.language import told

TITLE_WIDTH = 64


@dataclass(slots=True)
class Step:
    """One thing done.

    Attributes:
        number: From 1.
        seconds: How long it took.
        proofs: What shows that it held, a line each.
    """

    number: int
    title: str
    seconds: float = 0.0
    proofs: list[str] = field(default_factory=list)

    def prove(self, text: str) -> None:
        """Adds a line of proof, in English; it is told in the language of the process."""
        self.proofs.append(text)


class Steps:
    """The steps so far; tells each as it ends."""

    def __init__(self, console: Console) -> None:
        """Takes the console to speak to."""
        self._console = console
        self._began = time.monotonic()
        self.done: list[Step] = []
        self.current: Step | None = None

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Does a step; ``current`` keeps the one that failed.

        Args:
            title: In English; told in the language of the process.
        """
        began = time.monotonic()
        step = self.current = Step(len(self.done) + 1, title)
        yield step
        step.seconds = time.monotonic() - began
        self.done.append(step)
        self.current = None
        self._console.say(f"{step.number:>2}  {told(title):<{TITLE_WIDTH}} {step.seconds:6.2f} s")
        for proof in step.proofs:
            self._console.say(f"      {told(proof)}")
