"""Reads an edXML file of any size in bounded memory: a tree of its elements, attachments in files.

Expat, fed piece by piece, because it hands a long text over in pieces too: libxml2 refuses texts
over 10 MB, or with its limits off holds them whole. No DOCTYPE is taken, so there are no entities,
and nothing is ever fetched. Every bound is looked at before something is built (``bounds``).

Source: QCVN 102:2016/BTTTT; threats T-23 and T-24 in SECURITY.md.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol
from xml.parsers import expat

from edoccore.errors import RequestInvalidError
from edockit.files import disk_errors
from edocnode.edxml.attachments import Content, ContentWriter
from edocnode.edxml.bounds import BOUNDS, Bounds
from edocnode.edxml.findings import refusal
from edocnode.edxml.tree import KNOWN, QCVN, XINCLUDE, Node

CONTENT = "ContentTransferEncoded"
_PIECE_BYTES = 64 << 10
_SEPARATOR = "\n"  # never part of a namespace that expat takes
_UTF8 = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_ENDS_EARLY = frozenset(
    {
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What a file holds.

    Attributes:
        namespace: Of the root, as it was written.
        contents: Of the attachments, by ``Node.blob``.
        sha256: Of the file, lower hex.
    """

    root: Node
    namespace: str
    contents: tuple[Content, ...]
    size: int
    sha256: str


class _Parser(Protocol):
    """What is used of an expat parser, whose own type has no name."""

    CurrentLineNumber: int
    CurrentByteIndex: int


@dataclass(slots=True)
class _Builder:
    """Takes the parser's events and keeps every bound."""

    scratch: Path
    bounds: Bounds
    parser: _Parser
    open: list[Node] = field(default_factory=list)
    root: Node | None = None
    namespace: str = ""
    contents: list[Content] = field(default_factory=list)
    writer: ContentWriter | None = None
    elements: int = 0
    characters: int = 0
    texts: list[int] = field(default_factory=list)  # characters so far of each open element

    def declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        """The first line of the file."""
        if (encoding or "").lower() not in _UTF8:
            raise refusal("NOT_UTF8", line=1, declared=encoding)

    def doctype(self, *_: object) -> None:
        """A DOCTYPE begins; nothing of it has been read."""
        raise refusal("DTD", line=self.parser.CurrentLineNumber)

    def start(self, name: str, attributes: list[str]) -> None:
        """An element begins."""
        line = self.parser.CurrentLineNumber
        namespace, local = _split(name)
        self._check(local, namespace, len(attributes) // 2, line)
        if self.writer:
            raise refusal("ELEMENT_IN_CONTENT", line=line, element=local)
        self._count(sum(map(len, attributes)) + len(local), line, local)
        made = Node(local, _one(namespace), line=line)
        for place in range(0, len(attributes), 2):
            uri, key = _split(attributes[place])
            made.attributes[_one(uri) if uri else "", key] = attributes[place + 1]
        if self.open:
            self.open[-1].content.append(made)
        else:
            self.root, self.namespace = made, namespace
        self.open.append(made)
        self.texts.append(0)
        if made.is_named(CONTENT):
            self._begin_content(made, line)

    def end(self, _name: str) -> None:
        """An element ends."""
        self.texts.pop()
        ended = self.open.pop()
        if self.writer and ended.blob is not None:
            self.contents.append(self.writer.close(line=self.parser.CurrentLineNumber))
            self.writer = None

    def text(self, piece: str) -> None:
        """The next piece of a text."""
        line = self.parser.CurrentLineNumber
        if self.writer:
            self.writer.write(piece, line=line)
            return
        node = self.open[-1]
        self.texts[-1] += len(piece)
        if self.texts[-1] > self.bounds.text:
            raise refusal("TEXT_TOO_LONG", line=line, element=node.name, limit=self.bounds.text)
        self._count(len(piece), line, node.name)
        if not piece.isspace():
            node.content.append(piece)

    def _begin_content(self, made: Node, line: int) -> None:
        if len(self.contents) >= self.bounds.attachments:
            raise refusal("TOO_MANY_ATTACHMENTS", line=line, limit=self.bounds.attachments)
        made.blob = len(self.contents)
        room = self.bounds.content - sum(content.size for content in self.contents)
        path = self.scratch / f"{made.blob:02d}"
        self.writer = ContentWriter(path, line=line, bounds=self.bounds, room=room)

    def _check(self, name: str, namespace: str, attributes: int, line: int) -> None:
        if namespace == XINCLUDE:
            raise refusal("XINCLUDE", line=line, element=name)
        if len(self.open) >= self.bounds.depth:
            raise refusal("TOO_DEEP", line=line, element=name, limit=self.bounds.depth)
        if attributes > self.bounds.attributes:
            limit = self.bounds.attributes
            raise refusal("TOO_MANY_ATTRIBUTES", line=line, element=name, limit=limit)
        self.elements += 1
        if self.elements > self.bounds.elements:
            raise refusal("TOO_MANY_ELEMENTS", line=line, limit=self.bounds.elements)

    def _count(self, characters: int, line: int, name: str) -> None:
        self.characters += characters
        if self.characters > self.bounds.texts:
            raise refusal("TEXTS_TOO_LONG", line=line, element=name, limit=self.bounds.texts)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for a block.

    Raises:
        DiskFullError: No room for it.
    """
    with disk_errors(Path(tempfile.gettempdir())):
        folder = tempfile.TemporaryDirectory(prefix="edoc-edxml-")
    with folder as path:
        yield Path(path)


@contextmanager
def open_package(path: Path, *, follow: bool = True) -> Iterator[BinaryIO]:
    """Opens a regular file for a block; never waits for a pipe.

    Args:
        follow: Where a symbolic link points to is read.

    Raises:
        RequestInvalidError: It cannot be read.
    """
    more = 0 if follow else os.O_NOFOLLOW
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | more)
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be read: {error.strerror}.") from error


def read_tree(file: BinaryIO, scratch: Path, *, bounds: Bounds = BOUNDS) -> Tree:
    """Reads a package.

    Args:
        file: At its beginning; read to its end.
        scratch: Empty folder for the content of attachments.

    Raises:
        EdxmlInvalidError: It is no XML, is hostile, or is over a bound; says where.
    """
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    builder = _Builder(scratch, bounds, parser)
    parser.buffer_text = True
    parser.buffer_size = _PIECE_BYTES
    parser.ordered_attributes = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.XmlDeclHandler = builder.declaration
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    try:
        size, digest = _feed(parser, file, bounds)
    except expat.ExpatError as error:
        raise _not_xml(error) from error
    finally:
        if builder.writer:
            builder.writer.abandon()
    if builder.root is None:  # expat has told it before
        raise refusal("TRUNCATED")
    return Tree(
        root=builder.root,
        namespace=builder.namespace,
        contents=tuple(builder.contents),
        size=size,
        sha256=digest,
    )


def _feed(parser: expat.XMLParserType, file: BinaryIO, bounds: Bounds) -> tuple[int, str]:
    digest, size, last = sha256(), 0, b""
    while piece := file.read(_PIECE_BYTES):
        if size == 0 and piece.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise refusal("NOT_UTF8", line=1, declared="UTF-16")
        size += len(piece)
        if size > bounds.package:
            raise refusal("PACKAGE_TOO_LARGE", limit=bounds.package)
        if b"\0" in piece:
            line = parser.CurrentLineNumber + piece[: piece.index(b"\0")].count(b"\n")
            raise refusal("NULL_BYTE", line=line)
        digest.update(piece)
        parser.Parse(piece, False)
        if size - max(parser.CurrentByteIndex, 0) > bounds.token + _PIECE_BYTES:
            raise refusal("TOKEN_TOO_LONG", line=parser.CurrentLineNumber, limit=bounds.token)
        last = piece or last
    parser.Parse(b"", True)
    return size, digest.hexdigest()


def _not_xml(error: expat.ExpatError) -> Exception:
    why = expat.ErrorString(error.code) or "unknown error"
    if why in _ENDS_EARLY:
        return refusal("TRUNCATED", line=error.lineno)
    if "encoding" in why:
        return refusal("NOT_UTF8", line=error.lineno, declared=why)
    return refusal("NOT_XML", line=error.lineno, why=why)


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(_SEPARATOR)
    return namespace, local


def _one(namespace: str) -> str:
    return QCVN if namespace in KNOWN else namespace
