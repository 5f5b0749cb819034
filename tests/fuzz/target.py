"""What a fuzz target is: a parser, examples of what it reads, and what must hold of any input."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from edoccore.directory import layout
from edoccore.errors import EdocError
from tests.fuzz.world import FEW_BINS

CORPUS = Path(__file__).parent / "corpus"

_INTERNAL = EdocError.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One parser of bytes from outside.

    Attributes:
        name: Of the target and of its folder in the corpus.
        run: Reads the input. May raise the errors of the table; anything else is a find.
        seeds: Valid inputs, to start from; the same in every process.
        max_bytes: Longest input that is tried.
        examples: How many inputs the gate makes by itself.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    max_bytes: int = 4096
    examples: int = 100

    def check(self, data: bytes) -> None:
        """Runs one input; passes when it is read, or refused with a reason of the table.

        Raises:
            Exception: Whatever else came out; ``EdocError`` itself, whose reason is INTERNAL, too.
        """
        try:
            with patch.dict(layout.BIN_BITS, FEW_BINS):
                self.run(data)
        except EdocError as error:
            if error.reason == _INTERNAL:
                raise

    def examples_to_start_from(self) -> list[bytes]:
        """Seeds and corpus, in a fixed order."""
        with patch.dict(layout.BIN_BITS, FEW_BINS):
            return [*self.seeds(), *self.corpus()]

    def corpus(self) -> list[bytes]:
        """Inputs that were kept, in a fixed order."""
        folder = CORPUS / self.name
        return [path.read_bytes() for path in sorted(folder.glob("*"))] if folder.is_dir() else []
