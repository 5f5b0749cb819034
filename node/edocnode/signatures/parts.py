"""One part, whatever it is: read, compared with its sealed digest, judged by its kind."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import IO

from edocnode.domain.signatures import PartState, PartToCheck, PartVerdict, Reason, part_verdict
from edocnode.signatures.pdf import check_pdf
from edocnode.signatures.trust import Trust
from edocnode.signatures.xml import check_xml


async def check_part(part: PartToCheck, trust: Trust, now: datetime) -> PartVerdict:
    """Judges one part.

    Raises:
        RecursionError, MemoryError: It asks for too much.
    """
    if not trust.roots:
        return part_verdict(part, PartState.NOT_CHECKED, Reason.NO_TRUST_STORE)
    try:
        with _opened(part)() as file:
            if file_digest(file, "sha256").hexdigest() != part.sha256:  # type: ignore[arg-type]  # any binary file
                return part_verdict(part, PartState.CHECK_FAILED, Reason.PART_MISSING)
            file.seek(0)
            check = check_pdf if part.kind == "pdf" else check_xml
            return await check(file, part, trust, now)
    except OSError as error:
        told = error.strerror or ""
        return part_verdict(part, PartState.CHECK_FAILED, Reason.PART_MISSING, detail=told)


def _opened(part: PartToCheck) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    if part.path:
        return lambda: Path(part.path).open("rb")
    return lambda: io.BytesIO(part.data)
