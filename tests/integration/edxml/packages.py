"""Packages for tests: judged from bytes, written and read again."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edocnode.domain.codes import CodeList
from edocnode.edxml.bounds import BOUNDS, Bounds
from edocnode.edxml.document_types import types_of
from edocnode.edxml.model import ActionKind, BridgeAction, Judged
from edocnode.edxml.validating import judge
from edocnode.edxml.writing import Exporting, OutFile, write_package
from edocnode.storage.code_lists import builtin_lists

SAMPLES = Path(__file__).parents[2] / "documents" / "edxml"
NOW = datetime(2026, 11, 26, 2, 3, 4, tzinfo=UTC)
DOCUMENT_ID = "019a2b3c-4d5e-7f60-8a1b-000000000002"
TYPES = types_of(builtin_lists()[CodeList.TYPES])
EXPORTING = Exporting(agency="H29", now=NOW, document_id=DOCUMENT_ID, types=TYPES)


def sample(name: str) -> bytes:
    """The bytes of a sample file."""
    return (SAMPLES / name).read_bytes()


def judged(data: bytes, *, bounds: Bounds = BOUNDS) -> Judged:
    """A package, judged; its attachments are gone."""
    with tempfile.TemporaryDirectory() as scratch:
        return judge(io.BytesIO(data), Path(scratch), types=TYPES, bounds=bounds)


def action_and_files(data: bytes) -> tuple[BridgeAction, dict[str, bytes]]:
    """What a sound package asks for, and its files by name."""
    with tempfile.TemporaryDirectory() as scratch:
        found = judge(io.BytesIO(data), Path(scratch), types=TYPES)
        assert found.action is not None, [each.english for each in found.findings]
        files = {each.name: each.content.path.read_bytes() for each in found.action.attachments}
        return found.action, files


def written(
    fields: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    *,
    exporting: Exporting = EXPORTING,
) -> bytes:
    """The package of a document."""
    pieces: list[bytes] = []
    outgoing = [
        OutFile(name=name, media_type="application/pdf", chunks=lambda data=data: [data])
        for name, data in (files or {}).items()
    ]
    write_package(pieces.append, dict(fields), outgoing, exporting)
    return b"".join(pieces)


def for_writing(action: BridgeAction) -> dict[str, Any]:
    """The fields of an action as a node would hand them out again."""
    return {
        **action.fields,
        "_to": list(action.recipients),
        "_urgency": action.urgency.value,
        "_operation": action.kind.value,
        "_target": action.targets[0].document_code if action.kind is ActionKind.UPDATE else "",
    }


def english(found: Judged) -> Sequence[str]:
    """All messages."""
    return [each.english for each in found.findings]
