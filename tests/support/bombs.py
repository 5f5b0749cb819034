"""Parts that ask for too much: deep, endless, or small until they are unpacked."""

import zlib
from pathlib import Path


def deep_pdf(depth: int = 200_000) -> bytes:
    """Arrays inside arrays."""
    return _pdf({1: b"<< /Type /Catalog /Pages 2 0 R /AcroForm " + b"[" * depth + b">>"})


def endless_xref_pdf() -> bytes:
    """A table of objects that names itself as the one before it."""
    head = b"%PDF-1.7\n"
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 1 /Root 1 0 R /Prev %d >>\n"
    return head + table % len(head) + b"startxref\n%d\n%%%%EOF\n" % len(head)


def endless_fields_pdf() -> bytes:
    """Form fields that are their own children."""
    return _pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [3 0 R] >> >>",
            2: b"<< /Type /Pages /Kids [] /Count 0 >>",
            3: b"<< /T (a) /FT /Sig /Kids [3 0 R 3 0 R] >>",
        }
    )


def unpacking_pdf(size_bytes: int = 1 << 30) -> bytes:
    """An object stream that unpacks to a GiB."""
    packed = _packed_spaces(size_bytes)
    stream = b"<< /Type /ObjStm /N 1 /First 5 /Filter /FlateDecode /Length %d >>" % len(packed)
    objects = {4: stream + b"\nstream\n" + packed + b"\nendstream"}
    return _pdf_with_xref_stream(objects, inside={1: (4, 0)})


def _packed_spaces(size_bytes: int) -> bytes:
    """So many spaces in the form of zlib, without packing them: one block, repeated (RFC 1950)."""
    chunk, packer = b" " * (1 << 20), zlib.compressobj(9)
    blocks = [packer.compress(chunk) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    count = size_bytes >> 20
    sum_of_all = 1  # as that of nothing
    for _ in range(count):
        sum_of_all = zlib.adler32(chunk, sum_of_all)
    last = zlib.compressobj(9, wbits=-zlib.MAX_WBITS).flush()
    return blocks[0] + blocks[1] * (count - 1) + last + sum_of_all.to_bytes(4, "big")


def many_objects_pdf(count: int = 2_000_000) -> bytes:
    """A table that claims millions of objects in one line each of nothing."""
    packed = zlib.compress(b"\x00" * (7 * count), 9)
    head = b"%PDF-1.7\n"
    form = (
        b"1 0 obj\n<< /Type /XRef /Size %d /W [1 4 2] /Root 1 0 R /Filter /FlateDecode "
        b"/Length %d >>\nstream\n"
    )
    body = form % (count, len(packed)) + packed + b"\nendstream\nendobj\n"
    return head + body + b"startxref\n%d\n%%%%EOF\n" % len(head)


def hybrid_pdf() -> bytes:
    """Two tables of objects, which old and new programs read differently (ISO 32000-1, 7.5.8.4)."""
    rows = zlib.compress(b"".join(bytes([0, 0, 0, 0, 0, 255, 255]) for _ in range(4)))
    form = b"<< /Type /XRef /Size 4 /W [1 4 2] /Root 1 0 R /Filter /FlateDecode /Length %d >>"
    stream = form % len(rows) + b"\nstream\n" + rows + b"\nendstream"
    made = _pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [] /Count 0 >>",
            3: stream,
        }
    )
    place = made.index(b"3 0 obj")
    return made.replace(b"<< /Size", b"<< /XRefStm %d /Size" % place)


def deep_xml(depth: int = 200_000) -> bytes:
    """Elements inside elements."""
    return b"<a>" * depth + b"</a>" * depth


def laughing_xml() -> bytes:
    """Entities of entities."""
    lines = [b'<!ENTITY e0 "ha">']
    for level in range(1, 12):
        inner = b"&e%d;" % (level - 1)
        lines.append(b'<!ENTITY e%d "%s">' % (level, inner * 10))
    return b"<!DOCTYPE a [" + b"".join(lines) + b"]><a>&e11;</a>"


def reading_xml(path: Path) -> bytes:
    """An entity that is a file of the reader."""
    return b'<!DOCTYPE a [<!ENTITY x SYSTEM "file://%s">]><a>&x;</a>' % str(path).encode()


def _pdf(objects: dict[int, bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    offsets = {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in offsets.items():
        out += b"%d 1\n%010d 00000 n \n" % (number, offset)
    size = max(objects) + 1
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
    return bytes(out)


def _pdf_with_xref_stream(
    objects: dict[int, bytes], *, inside: dict[int, tuple[int, int]]
) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    places = {0: (0, 0, 65535)}
    for number, body in objects.items():
        places[number] = (1, len(out), 0)
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    for number, (stream, index) in inside.items():
        places[number] = (2, stream, index)
    own = max(places) + 1
    places[own] = (1, len(out), 0)
    start = len(out)
    rows = b"".join(
        bytes([kind]) + a.to_bytes(4, "big") + b.to_bytes(2, "big")
        for kind, a, b in (places.get(number, (0, 0, 0)) for number in range(own + 1))
    )
    packed = zlib.compress(rows)
    form = b"%d 0 obj\n<< /Type /XRef /Size %d /W [1 4 2] /Root 1 0 R /Filter /FlateDecode "
    out += form % (own, own + 1) + b"/Length %d >>\nstream\n" % len(packed) + packed
    out += b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % start
    return bytes(out)
