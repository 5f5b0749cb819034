"""What the drop folder cannot deal with by a fault of this program: said beside it, tried again.

As in the loops of the node (``workers.setting_aside``): everything else goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from edoccore.errors import EdocError
from edockit.language import in_vietnamese
from edocnode.app.edxml_files import replace_file
from edocnode.domain.setting_aside import Book
from edocnode.workers.unjudged import in_few_words

REASON = ".reason.txt"
_CATALOGUES = ("edockit", "edocnode")

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass(slots=True)
class FolderAside:
    """What is set aside of one drop folder, since the process began."""

    tell: Callable[..., Any]
    clock: Callable[[], datetime] = utc_now
    _book: Book[str] = field(default_factory=Book)

    def take(self, name: str, step: Callable[[], object], reason: Path | None = None) -> bool:
        """Takes a step for one file or document, which is whole or may be taken again.

        Args:
            name: Of the file or document.
            reason: Where a person reads why it waits; there while it does.

        Returns:
            False: it met a fault of this program, now or a moment ago.

        Raises:
            EdocError: The step did.
        """
        if name in self._book.left_out(self.clock()):
            return False
        try:
            step()
        except EdocError:
            raise
        except Exception as error:
            why = in_few_words(error)
            times = self._book.put(name, why, self.clock()).times
            log.exception("edxml.fault", item=name, times=times)
            if reason is not None:
                replace_file(reason, fault_text(why))
            self.tell("set_aside", file=name, why=why)
            return False
        if self._book.drop(name) and reason is not None:
            reason.unlink(missing_ok=True)
        return True


def fault_text(why: str) -> bytes:
    """What a person reads beside what waits, in both languages."""
    english = (
        f"This program met a fault over it: {why}. Nothing is lost, it is tried again by itself "
        f"within an hour. Report it with its traceback in the log (edxml.fault)."
    )
    lines = [f"Lý do: {in_vietnamese(english, _CATALOGUES)}", "", f"Reason: {english}"]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")
