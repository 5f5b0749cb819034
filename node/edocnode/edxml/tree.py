"""Elements of an edXML package as plain values: what the reader builds and the writer writes.

A tree holds no attachment; the content of one lies in a file. Known namespaces become one: the
standard's, the older one of the first gateways, none, and SOAP's envelope all mean the same names.
"""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

QCVN = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
OLDER = "http://www.e-doc.vn/Schema/"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XLINK = "http://www.w3.org/1999/xlink"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
XINCLUDE = "http://www.w3.org/2001/XInclude"
XML = "http://www.w3.org/XML/1998/namespace"
KNOWN = frozenset({QCVN, OLDER, SOAP, ""})
PREFIXES = {QCVN: "edXML", XLINK: "xlink", DSIG: "ds", XML: "xml"}

Shape = tuple[object, ...]
_ATTRIBUTE_SPACE = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


@dataclass(slots=True)
class Node:
    """One element.

    Attributes:
        namespace: Known ones as ``QCVN``.
        attributes: By namespace and local name.
        content: Texts and elements in order.
        line: Where it begins in its file, from 1; 0: it comes from no file.
        blob: Which content of the package stands for its text; None: none does.
    """

    name: str
    namespace: str = QCVN
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)
    content: "list[str | Node]" = field(default_factory=list)
    line: int = 0
    blob: int | None = None

    def __iter__(self) -> "Iterator[Node]":
        """The elements inside it."""
        return (item for item in self.content if isinstance(item, Node))

    def all(self, name: str) -> "list[Node]":
        """The elements inside it that have a name of the standard."""
        return [item for item in self if item.is_named(name)]

    def first(self, *names: str) -> "Node | None":
        """The first element inside it that has one of these names; None: there is none."""
        return next((item for item in self if item.is_named(*names)), None)

    def is_named(self, *names: str) -> bool:
        """Whether it has one of these names, and is of the standard."""
        return self.name in names and self.namespace == QCVN

    @property
    def text(self) -> str:
        """Its own text, NFC, line ends as line feeds, without space around it."""
        joined = "".join(item for item in self.content if isinstance(item, str))
        return unicodedata.normalize(
            "NFC", joined.replace("\r\n", "\n").replace("\r", "\n").strip()
        )

    @property
    def line_text(self) -> str:
        """Its own text on one line, with single spaces."""
        return " ".join(self.text.split())

    def of(self, *names: str) -> str:
        """The text on one line of the first element inside it of one of these names, or empty."""
        found = self.first(*names)
        return found.line_text if found else ""


def element(name: str, *inside: Node | str | None, namespace: str = QCVN) -> Node:
    """Makes an element; what is None is left out."""
    return Node(name, namespace, content=[item for item in inside if item is not None])


def optional(name: str, text: object) -> Node | None:
    """An element with a text; None when the text is empty or None."""
    return element(name, str(text)) if text not in (None, "") else None


def group(name: str, *inside: Node | None) -> Node | None:
    """An element with elements in it; None when there are none."""
    made = element(name, *inside)
    return made if made.content else None


def shape(node: Node) -> Shape:
    """What an element says, without what means nothing: space, empty elements, lines.

    Two elements with one shape are the same to every reader.
    """
    inside = [shape(item) for item in node if not _is_empty(item)]
    attributes = tuple(sorted(node.attributes.items()))
    return (node.namespace, node.name, attributes, node.line_text, tuple(inside))


def canonical_xml(node: Node) -> str:
    """An element as text that has one form only, as exclusive canonical XML writes it."""
    pieces: list[str] = []
    write_node(node, pieces.append, {})
    return "".join(pieces)


def write_node(node: Node, write: Callable[[str], object], declared: dict[str, str]) -> None:
    """Writes an element with all in it.

    Args:
        declared: Namespaces that have a prefix there already, and which.
    """
    start, end, inner = tags(node, declared)
    write(start)
    for item in node.content:
        if isinstance(item, str):
            write(escape(item, {"\r": "&#13;"}))
        else:
            write_node(item, write, inner)
    write(end)


def tags(node: Node, declared: dict[str, str]) -> tuple[str, str, dict[str, str]]:
    """Start tag, end tag, and the prefixes declared inside."""
    inner = dict(declared)
    fresh: dict[str, str] = {}
    for namespace in sorted({node.namespace, *(name[0] for name in node.attributes)} - {"", XML}):
        if namespace not in inner:
            fresh[namespace] = inner[namespace] = PREFIXES.get(namespace) or f"n{len(inner)}"
    name = _qualified(node.namespace, node.name, inner)
    spaces = "".join(
        f" xmlns:{prefix}={quoteattr(uri, _ATTRIBUTE_SPACE)}"
        for uri, prefix in sorted(fresh.items(), key=lambda item: item[1])
    )
    attributes = "".join(
        f" {_qualified(*key, inner)}={quoteattr(value, _ATTRIBUTE_SPACE)}"
        for key, value in sorted(node.attributes.items())
    )
    return f"<{name}{spaces}{attributes}>", f"</{name}>", inner


def _qualified(namespace: str, name: str, prefixes: dict[str, str]) -> str:
    prefix = "xml" if namespace == XML else prefixes.get(namespace, "")
    return f"{prefix}:{name}" if prefix else name


def _is_empty(node: Node) -> bool:
    return (
        not node.attributes
        and node.blob is None
        and not node.line_text
        and all(_is_empty(item) for item in node)
    )
