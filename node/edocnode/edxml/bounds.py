"""How large an edXML package may be in every direction; what is over a bound is never built.

A package comes from software that nobody here knows. All bounds together keep a reader under
300 MB of memory whatever the file holds (``tests/integration/edxml`` measures it).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of one package.

    Attributes:
        package: Bytes of the file.
        depth: Elements inside one another.
        elements: Elements in all.
        attributes: Attributes of one element.
        token: Bytes of one tag, comment or instruction.
        text: Characters of one text outside attachments.
        texts: Characters of all texts and attributes outside attachments.
        attachments: How many; an envelope of the exchange carries 99 besides its record.
        attachment: Bytes of one attachment, decoded and unpacked.
        content: Bytes of all attachments, decoded and unpacked.
        ratio: How many times larger than its archive a zipped attachment may be.
        free_ratio: Unpacked bytes up to which the ratio is not looked at.
        signature_references: References of the XML signature.
        checked: Bytes of a package whose signature is checked: a signature covers the whole file,
            which is in memory some six times for it.
        checked_nodes: Elements and attributes of such a package, 2.5 KB each.
        signed: Bytes of a package that is signed; libxml2 refuses longer texts by itself.
    """

    package: int = 4 << 30
    depth: int = 32
    elements: int = 100_000
    attributes: int = 32
    token: int = 256 << 10
    text: int = 1 << 20
    texts: int = 8 << 20
    attachments: int = 99
    attachment: int = 2 << 30
    content: int = 3 << 30
    ratio: int = 200
    free_ratio: int = 1 << 20
    signature_references: int = 8
    checked: int = 16 << 20
    checked_nodes: int = 20_000
    signed: int = 9 << 20


BOUNDS = Bounds()
