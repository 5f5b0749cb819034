"""edXML packages: any bytes, and what an element of another agency's record may say."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edoccore.office_errors import EdxmlInvalidError
from edocnode.edxml.layout import find_layout
from edocnode.edxml.reading import read_tree
from edocnode.edxml.signing import check_signature
from edocnode.edxml.validating import judge
from edocnode.edxml.writing import OutFile, parse_elements, write_package
from tests.fuzz.target import Target
from tests.integration.edxml.packages import EXPORTING, SAMPLES, TYPES, for_writing


def package(data: bytes) -> None:
    """Any bytes as a package: judged; what is sound comes back as it was when written again."""
    with tempfile.TemporaryDirectory(prefix="edoc-fuzz-") as folder:
        first, second = Path(folder, "1"), Path(folder, "2")
        first.mkdir()
        second.mkdir()
        found = judge(io.BytesIO(data), first, types=TYPES)
        action = found.action
        if action is None or action.status is not None:
            return
        pieces: list[bytes] = []
        files = [
            OutFile(
                name=each.name,
                media_type=each.media_type,
                chunks=lambda path=each.content.path: [path.read_bytes()],
            )
            for each in action.attachments
        ]
        write_package(pieces.append, for_writing(action), files, EXPORTING)
        again = judge(io.BytesIO(b"".join(pieces)), second, types=TYPES).action
        assert again is not None
        hop = again.fields["trace"][-1]
        fields = {**action.fields, "trace": [*action.fields.get("trace", []), hop]}
        assert again.fields == fields
        assert again.recipients == action.recipients


def signature(data: bytes) -> None:
    """Any bytes as a package with a signature; never valid, for nobody is trusted."""
    with tempfile.TemporaryDirectory(prefix="edoc-fuzz-") as folder:
        path, scratch = Path(folder, "package"), Path(folder, "scratch")
        path.write_bytes(data)
        scratch.mkdir()
        tree = read_tree(io.BytesIO(data), scratch)
        report = check_signature(tree, find_layout(tree), path)
        assert report.verdict != "valid"


def elements(data: bytes) -> None:
    """Any text as elements that an extension keeps; never an error."""
    parse_elements(data.decode("utf-8", "replace"))


def _packages() -> Iterator[bytes]:
    for path in sorted(SAMPLES.glob("*.edxml")):
        yield path.read_bytes()


def _signed() -> Iterator[bytes]:
    for data in _packages():
        with suppress(EdxmlInvalidError):
            if b"SignedInfo" in data:
                yield data


def _elements() -> Iterator[bytes]:
    yield b'<edXML:DueDate xmlns:edXML="http://www.mic.gov.vn/TBT/QCVN_102_2016">2026</edXML:DueDate>'
    yield b'<n1:X xmlns:n1="urn:x" a="1">text<b/></n1:X><c/>'


TARGETS = [
    Target(name="edxml_package", run=package, seeds=_packages, max_bytes=16_384, examples=50),
    Target(name="edxml_signature", run=signature, seeds=_signed, max_bytes=16_384, examples=30),
    Target(name="edxml_elements", run=elements, seeds=_elements, max_bytes=4096, examples=50),
]
