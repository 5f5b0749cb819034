"""Where things are in a package: the standard's own form, and the SOAP form of older gateways."""

from dataclasses import dataclass

from edocnode.edxml.findings import refusal
from edocnode.edxml.reading import Tree
from edocnode.edxml.tree import DSIG, KNOWN, QCVN, Node

_EMPTY = Node("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The places of one package; what is missing is an empty element.

    Attributes:
        root: ``edXML``, or SOAP's ``Envelope``.
        message: ``MessageHeader``.
        status: Holds a status message; None: the package is none.
    """

    root: Node
    envelope: Node
    header: Node
    message: Node
    trace: Node
    body: Node
    manifest: Node
    attachments: tuple[Node, ...]
    status: Node | None
    signatures: tuple[Node, ...]


def find_layout(tree: Tree) -> Layout:
    """Finds the places.

    Raises:
        EdxmlInvalidError: This is no package, or one of another namespace.
    """
    root = tree.root
    if tree.namespace not in KNOWN or root.namespace != QCVN:
        raise refusal("NAMESPACE", line=root.line, element=root.name, found=tree.namespace)
    soap = root.is_named("Envelope", "edXMLEnvelope")
    envelope = root if soap else root.first("edXMLEnvelope")
    header = envelope.first("edXMLHeader", "Header") if envelope else None
    if envelope is None or header is None or not (soap or root.is_named("edXML")):
        found = root.name if envelope is None else f"{root.name} > {envelope.name}"
        raise refusal("ROOT", line=root.line, element=root.name, found=found)
    message = header.first("MessageHeader")
    status = header.first("Status")
    if status is None and message and message.first("StatusCode"):
        status = message
    body = envelope.first("edXMLBody", "Body") or _EMPTY
    encoded = [*root.all("AttachmentEncoded"), *(() if soap else envelope.all("AttachmentEncoded"))]
    return Layout(
        root=root,
        envelope=envelope,
        header=header,
        message=message or _EMPTY,
        trace=header.first("TraceHeaderList") or _EMPTY,
        body=body,
        manifest=body.first("edXMLManifest", "Manifest") or _EMPTY,
        attachments=tuple(each for outer in encoded for each in outer.all("Attachment")),
        status=status,
        signatures=tuple(
            each
            for place in (header, envelope, root)
            for each in place
            if each.name == "Signature" and each.namespace in (DSIG, QCVN)
        ),
    )
