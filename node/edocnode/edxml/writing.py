"""Writes edXML packages: a document with its files, in pieces, or a status message.

In the form that the national axis's own libraries read: default namespace on the root, prefix
``edXML`` inside the envelope, attachments beside it without a prefix.

Source: QCVN 102:2016/BTTTT.
"""

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from edoccore.office_errors import EdxmlInvalidError
from edocnode.edxml.document_types import DocumentTypes
from edocnode.edxml.mapping import (
    add_hop,
    raw_elements,
    unknown_elements,
    write_header,
)
from edocnode.edxml.model import Fields, StatusMessage
from edocnode.edxml.reading import read_tree, scratch_folder
from edocnode.edxml.statuses import status_node
from edocnode.edxml.tree import QCVN, XLINK, Node, canonical_xml, element, shape, write_node

_GROUP_BYTES = 57 * 1024  # of base64 lines of 76 letters
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ROOT = f"<edXML xmlns={quoteattr(QCVN)}>\n"
_TRACE_ATTRIBUTES = {
    ("", "version"): "1.0",
    ("", "mustUnderstand"): "1",
    ("", "actor"): "http://schemas.xmlsoap.org/soap/actor/next",
}
REFERENCES = "edXMLManifest/Reference"
ATTACHMENTS = "AttachmentEncoded/Attachment"

Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutFile:
    """A file of the document.

    Attributes:
        chunks: Its bytes, in pieces; called once.
    """

    name: str
    media_type: str
    chunks: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """Who writes a package, and when: the hop that is added.

    Attributes:
        document_id: Of the exchange; names the document when it has no official code.
    """

    agency: str
    now: datetime
    document_id: str
    types: DocumentTypes


def write_package(
    write: Write, fields: Fields, files: Sequence[OutFile], exporting: Exporting
) -> None:
    """Writes the package of a document.

    Args:
        fields: Of the record, and of the envelope: ``_to``, ``_urgency``, ``_operation``.
    """
    types = exporting.types
    given = {**add_hop(fields, exporting.agency, exporting.now), "_id": exporting.document_id}
    raw = raw_elements(fields, parse_elements)
    kept = [raw.pop(REFERENCES, []), raw.pop(ATTACHMENTS, [])]
    message, trace = write_header(given, types, raw)
    trace.attributes = {**_TRACE_ATTRIBUTES, ("", "id"): exporting.document_id}
    more = {
        name: unknown_elements(raw, name, types)
        for name in ("edXMLHeader", "edXMLBody", "edXMLEnvelope", "edXML")
    }
    manifest = element("edXMLManifest", *_references(files, kept[0]))
    manifest.attributes["", "version"] = "1.0"
    envelope = element(
        "edXMLEnvelope",
        element("edXMLHeader", message, trace, *more["edXMLHeader"]),
        element("edXMLBody", manifest, *more["edXMLBody"]),
        *more["edXMLEnvelope"],
    )
    _begin(write, envelope)
    _write_attachments(write, files, kept[1])
    for node in more["edXML"]:
        write(f"{canonical_xml(node)}\n".encode())
    write(b"</edXML>\n")


def write_status(write: Write, message: StatusMessage) -> None:
    """Writes the package of a status message."""
    header = element("edXMLHeader", status_node(message))
    _begin(write, element("edXMLEnvelope", header, element("edXMLBody")))
    write(b"</edXML>\n")


def parse_elements(text: str) -> list[Node]:
    """Reads elements that an extension keeps; empty when they are none.

    They come from another agency, so they are read like any package.
    """
    wrapped = f"<edXML xmlns={quoteattr(QCVN)}>{text}</edXML>".encode()
    with scratch_folder() as scratch:
        try:
            return list(read_tree(io.BytesIO(wrapped), scratch).root)
        except EdxmlInvalidError:
            return []


def _begin(write: Write, envelope: Node) -> None:
    pieces: list[str] = [_DECLARATION, _ROOT]
    _indent(envelope, 1)
    write_node(envelope, pieces.append, {})
    write(f"{''.join(pieces)}\n".encode())


def _indent(node: Node, depth: int) -> None:
    """Puts each element on a line of its own, so that messages can name lines."""
    if not node.content or any(isinstance(item, str) for item in node.content):
        return
    content: list[str | Node] = []
    for inner in list(node):
        _indent(inner, depth + 1)
        content += ["\n" + "  " * depth, inner]
    node.content = [*content, "\n" + "  " * (depth - 1)]


def _content_id(place: int) -> str:
    return f"cid:part-{place}"


def _references(files: Sequence[OutFile], kept: Sequence[Node]) -> Iterator[Node]:
    used = _kept(kept, files, "Reference")
    for place, file in enumerate(files, start=1):
        made = element(
            "Reference",
            element("ContentId", _content_id(place)),
            element("ContentType", file.media_type),
            element("Description", file.name),
            element("AttachmentName", file.name),
        )
        made.attributes = {
            (XLINK, "href"): _content_id(place),
            (XLINK, "role"): "XLinkRole",
            (XLINK, "type"): "simple",
        }
        made.content += used[place - 1] if used else []
        yield made


def _write_attachments(write: Write, files: Sequence[OutFile], kept: Sequence[Node]) -> None:
    if not files:
        return
    used = _kept(kept, files, "Attachment")
    write(b"  <AttachmentEncoded>\n")
    for place, file in enumerate(files, start=1):
        texts = {
            "ContentType": file.media_type,
            "ContentId": _content_id(place),
            "Description": file.name,
            "AttachmentName": file.name,
        }
        lines = "".join(f"      <{name}>{escape(text)}</{name}>\n" for name, text in texts.items())
        more = "".join(
            f"      {canonical_xml(node)}\n" for node in (used or [[]])[place - 1 if used else 0]
        )
        write(f"    <Attachment>\n{lines}{more}      <ContentTransferEncoded>".encode())
        for piece in _encoded(file.chunks()):
            write(piece)
        write(b"</ContentTransferEncoded>\n    </Attachment>\n")
    write(b"  </AttachmentEncoded>\n")


def _encoded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Base64 in lines of 76 letters, whatever the sizes of the chunks."""
    rest = b""
    for chunk in chunks:
        whole = rest + chunk
        cut = len(whole) - len(whole) % _GROUP_BYTES
        for start in range(0, cut, _GROUP_BYTES):
            yield base64.encodebytes(whole[start : start + _GROUP_BYTES])
        rest = whole[cut:]
    if rest:
        yield base64.encodebytes(rest)


_SAID = frozenset(
    {"ContentId", "ContentType", "Description", "AttachmentName", "ContentTransferEncoded"}
)


def _kept(kept: Sequence[Node], files: Sequence[OutFile], name: str) -> list[list[Node]]:
    """Of each file the elements without a field; empty when they are of other files."""
    names = [node.of("AttachmentName") for node in kept]
    if not kept or names != [" ".join(file.name.split()) for file in files]:
        return []
    usable = all(node.is_named(name) for node in kept)
    return [[item for item in node if not item.is_named(*_SAID)] for node in kept] if usable else []


def said_by_files(nodes: Iterable[Node]) -> bool:
    """Whether references or attachments say nothing but what the files themselves say."""
    return not any(
        not item.is_named(*_SAID) and shape(item)[2:] != ((), "", ())
        for node in nodes
        for item in node
    )
