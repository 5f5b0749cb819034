"""Hostile files: each refused with a message of its own, in bounded memory, and nothing is asked.

Each is read by a process of its own under a limit of address space; the peak of its memory is what
the kernel counted. Together they hold threats T-23 and T-24.
"""

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edoccore.office_errors import EdxmlInvalidError
from edocnode.edxml.attachments import ContentWriter
from edocnode.edxml.bounds import BOUNDS, Bounds
from edocnode.edxml.findings import codes
from edocnode.edxml.signing import judge_file
from edocnode.edxml.validating import MAX_FINDINGS
from tests.integration.edxml.packages import TYPES, action_and_files, english, judged, sample

PEAK_MIB = 300
GIB = 1 << 30
LARGE = int(os.environ.get("EDOC_LARGE_MIB", "256")) << 20  # 1024 for the full size
ROOT = b'<edXML xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016">'
CONTENT = b"<AttachmentEncoded><Attachment><ContentTransferEncoded>"
READER = """
import json, resource, sys, tempfile
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from edoccore.errors import EdocError
from edocnode.edxml.document_types import types_of
from edocnode.edxml.signing import judge_file
code, line = "", 0
with tempfile.TemporaryDirectory(dir=sys.argv[2]) as scratch:
    try:
        found = judge_file(Path(sys.argv[1]), Path(scratch), types=types_of(()))
        if found.errors:
            code, line = found.errors[0].code, found.errors[0].line
    except EdocError as error:
        code, line = error.fields["code"], int(error.fields["line"])
status = Path("/proc/self/status").read_text()  # ru_maxrss keeps that of the parent, too
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"code": code, "line": line, "peak_mib": peak / 1024}))
"""
Make = Callable[[Path], None]


def head(name: str = "Văn bản mới.edxml") -> bytes:
    data = sample(name)
    return data[: data.index(b"<ContentTransferEncoded>") + len(b"<ContentTransferEncoded>")]


def small(data: bytes) -> Make:
    return lambda path: path.write_bytes(data) and None  # type: ignore[func-returns-value]


def repeated(before: bytes, piece: bytes, total: int) -> Make:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(before)
            for _ in range(total // len(piece)):
                file.write(piece)

    return make


def zip_bomb(path: Path) -> None:
    """A member of 4 GiB of zeros in 4 MiB, as the zipped content of an attachment."""
    bomb = path.with_suffix(".zip")
    with (
        zipfile.ZipFile(bomb, "w") as archive,
        archive.open(bomb_member(), "w") as member,
    ):
        for _ in range(LARGE >> 20):
            member.write(bytes(1 << 20))
    path.write_bytes(
        head() + b64encode(bomb.read_bytes()) + b"</ContentTransferEncoded></Attachment>"
        b"</AttachmentEncoded></edXML>"
    )


def bomb_member() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("x.pdf")
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def lying_zip(path: Path, *, checked: int = 10) -> None:
    """A zip that says its member has 10 bytes and holds 5,000.

    Args:
        checked: How many of them its checksum is over.
    """
    member = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = member.compress(bytes(5000)) + member.flush()
    crc = zlib.crc32(bytes(checked))
    sizes = (
        crc.to_bytes(4, "little") + len(packed).to_bytes(4, "little") + (10).to_bytes(4, "little")
    )
    common = b"\x14\x00\x00\x00\x08\x00\x00\x00\x21\x58" + sizes + b"\x05\x00\x00\x00"
    local = b"PK\x03\x04" + common + b"x.pdf" + packed
    central = b"PK\x01\x02\x14\x00" + common + bytes(14) + b"x.pdf"
    end = (
        b"PK\x05\x06"
        + bytes(4)
        + b"\x01\x00\x01\x00"
        + len(central).to_bytes(4, "little")
        + len(local).to_bytes(4, "little")
        + bytes(2)
    )
    path.write_bytes(
        head()
        + b64encode(local + central + end)
        + b"</ContentTransferEncoded></Attachment></AttachmentEncoded></edXML>"
    )


DTD = b'<!DOCTYPE edXML [<!ENTITY x SYSTEM "%s">]>'
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
HOSTILE: dict[str, tuple[Make, str]] = {
    "nested 200,000 deep": (repeated(ROOT, b"<a>" * 1000, 600_000), "TOO_DEEP"),
    "a million elements": (repeated(ROOT, b"<a/>" * 1000, 4_000_000), "TOO_MANY_ELEMENTS"),
    "external entity": (small(DTD % b"file:///etc/passwd" + ROOT + b"&x;</edXML>"), "DTD"),
    "external DTD": (small(b'<!DOCTYPE edXML SYSTEM "http://127.0.0.1:9/a.dtd">' + ROOT), "DTD"),
    "parameter entity": (
        small(b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/">%p;]><a/>'),
        "DTD",
    ),
    "billion laughs": (small(b'<!DOCTYPE a [<!ENTITY l0 "ha">' + LAUGHS + b"]><a>&l9;</a>"), "DTD"),
    "quadratic blowup": (
        small(b'<!DOCTYPE a [<!ENTITY x "' + b"x" * 100_000 + b'">]><a>' + b"&x;" * 1000 + b"</a>"),
        "DTD",
    ),
    "undefined entity": (small(ROOT + b"&nbsp;</edXML>"), "NOT_XML"),
    "text of a GiB": (repeated(ROOT + b"<Subject>", b"x" * (1 << 20), LARGE), "TEXT_TOO_LONG"),
    "CDATA of a GiB": (
        repeated(ROOT + b"<Subject><![CDATA[", b"x" * (1 << 20), LARGE),
        "TEXT_TOO_LONG",
    ),
    "many long texts": (
        repeated(ROOT, b"<a>" + b"x" * 900_000 + b"</a>", 20 << 20),
        "TEXTS_TOO_LONG",
    ),
    "many long attributes": (
        repeated(
            ROOT,
            b"<a " + b" ".join(b'a%d="%s"' % (each, b"x" * 9000) for each in range(25)) + b"/>",
            12 << 20,
        ),
        "TEXTS_TOO_LONG",
    ),
    "comment of a GiB": (repeated(ROOT + b"<!--", b"x" * (1 << 20), LARGE), "TOKEN_TOO_LONG"),
    "attribute of a GiB": (repeated(b'<edXML a="', b"x" * (1 << 20), LARGE), "TOKEN_TOO_LONG"),
    "a million attributes": (
        small(b"<edXML " + b" ".join(b'a%d=""' % n for n in range(1_000_000)) + b"/>"),
        "TOKEN_TOO_LONG",
    ),
    "a thousand attributes": (
        small(b"<edXML " + b" ".join(b'a%d=""' % n for n in range(1000)) + b"/>"),
        "TOO_MANY_ATTRIBUTES",
    ),
    "attachment of a GiB that is not base64": (
        repeated(head() + b"JVBERi0x" * 8000 + b"*", b"JVBERi0x" * (1 << 17), LARGE),
        "NOT_BASE64",
    ),
    "attachment of a GiB that ends too early": (
        repeated(head(), b"JVBERi0xJVBERi0xJVBERi0xJVBERi0xJVBERi0xJVBERi0x\n" * 20_000, LARGE),
        "TRUNCATED",
    ),
    "letters that are not ASCII as base64": (small(head() + "Đây".encode()), "NOT_BASE64"),
    "base64 that goes on behind its end": (
        small(head() + b"QQ==QQ==</ContentTransferEncoded>"),
        "NOT_BASE64",
    ),
    "base64 of a wrong length": (small(head() + b"QUJDR</ContentTransferEncoded>"), "NOT_BASE64"),
    "an element inside base64": (small(head() + b"QUJD<a/>"), "ELEMENT_IN_CONTENT"),
    "a hundred attachments": (
        small(
            ROOT
            + b"<AttachmentEncoded>"
            + b"<Attachment><ContentTransferEncoded>QQ==</ContentTransferEncoded></Attachment>"
            * 100
        ),
        "TOO_MANY_ATTACHMENTS",
    ),
    "a manifest of 40,000 references": (
        small(
            sample("Văn bản mới.edxml").replace(
                b"</edXML:edXMLManifest>",
                b"".join(
                    b"<edXML:Reference><edXML:ContentId>cid:x%d</edXML:ContentId></edXML:Reference>"
                    % n
                    for n in range(40_000)
                )
                + b"</edXML:edXMLManifest>",
            )
        ),
        "REFERENCE_WITHOUT_ATTACHMENT",
    ),
    "zip bomb": (zip_bomb, "ZIP_BOMB"),
    "zip that lies about its size": (lying_zip, "ZIP_DAMAGED"),
    "zip that lies about its size alone": (
        lambda path: lying_zip(path, checked=5000),
        "ZIP_DAMAGED",
    ),
    "cut off": (small(sample("Văn bản mới.edxml")[:4000]), "TRUNCATED"),
    "empty": (small(b""), "TRUNCATED"),
    "UTF-16 declared": (small(b'<?xml version="1.0" encoding="UTF-16"?><edXML/>'), "NOT_UTF8"),
    "UTF-16": (small('<?xml version="1.0"?><edXML/>'.encode("utf-16")), "NOT_UTF8"),
    "UTF-7 declared": (small(b'<?xml version="1.0" encoding="UTF-7"?><edXML/>'), "NOT_UTF8"),
    "an encoding nobody knows": (
        small(b'<?xml version="1.0" encoding="x-abc"?><edXML/>'),
        "NOT_UTF8",
    ),
    "Windows-1258 called UTF-8": (
        small(ROOT + "Quyết".encode("cp1258", "replace") + b"\xff"),
        "NOT_XML",
    ),
    "null bytes": (small(ROOT + b"\n\n<a>\0</a></edXML>"), "NULL_BYTE"),
    "xi:include": (
        small(
            ROOT + b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'
        ),
        "XINCLUDE",
    ),
    "another namespace": (small(b'<EdXMLEnvelope xmlns="http://www.go.vn/eDoc"/>'), "NAMESPACE"),
    "another root": (small(ROOT.replace(b"edXML ", b"Loa ") + b"</Loa>"), "ROOT"),
    "XSLT in the signature": (
        small(
            sample("Văn bản mới, tệp nén.edxml").replace(
                b"http://www.w3.org/2000/09/xmldsig#enveloped-signature",
                b"http://www.w3.org/TR/1999/REC-xslt-19991116",
            )
        ),
        "SIGNATURE_TRANSFORM",
    ),
    "a signature with many references": (
        small(
            re.sub(
                rb"(<Reference URI.*?</Reference>)",
                lambda found: found[0] * 50,
                sample("Văn bản mới, tệp nén.edxml"),
                flags=re.DOTALL,
            )
        ),
        "SIGNATURE_REFERENCES",
    ),
    "a signature over the network": (
        small(
            sample("Văn bản mới, tệp nén.edxml").replace(
                b'<Reference URI="">', b'<Reference URI="http://127.0.0.1:9/x">'
            )
        ),
        "SIGNATURE_FORM",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_t24_a_hostile_file_is_refused_with_its_own_message_in_bounded_memory(
    name: str, tmp_path: Path
) -> None:
    make, code = HOSTILE[name]
    path = tmp_path / "hostile.edxml"
    make(path)
    found = read_alone(path, tmp_path)
    assert found["code"] == code
    assert found["peak_mib"] < PEAK_MIB
    assert code in codes()


def test_t24_a_large_attachment_is_read_in_memory_that_does_not_grow(tmp_path: Path) -> None:
    peaks = []
    for size in (1 << 20, LARGE):
        path = tmp_path / "large.edxml"
        piece = b64encode(bytes(57) * 18_000)
        repeated(head(), piece + b"\n", size)(path)
        with path.open("ab") as file:
            file.write(b"</ContentTransferEncoded></Attachment></AttachmentEncoded></edXML>")
        found = read_alone(path, tmp_path)
        assert found["code"] == "REFERENCE_WITHOUT_ATTACHMENT", "the second file is not there"
        peaks.append(found["peak_mib"])
    assert peaks[1] < peaks[0] + 20, peaks
    assert peaks[1] < PEAK_MIB


def test_t24_nothing_hostile_asks_the_network(tmp_path: Path, observer: list[bytes]) -> None:
    """An observer on a port to which every reference of these files points sees no connection."""
    port = int(observer.pop())
    for number, (make, _) in enumerate(HOSTILE.values()):
        path = tmp_path / f"{number}.edxml"
        if make.__qualname__.startswith(("repeated", "zip_bomb", "lying_zip")):
            continue
        make(path)
        path.write_bytes(path.read_bytes().replace(b"127.0.0.1:9/", b"127.0.0.1:%d/" % port))
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        with contextlib.suppress(EdxmlInvalidError):
            assert judge_file(path, scratch, types=TYPES).errors
    with socket.create_connection(("127.0.0.1", port)):
        pass  # the observer sees what there is to see
    for _ in range(200):
        if observer:
            break
        threading.Event().wait(0.01)
    assert observer == [b"seen"]


def test_t23_a_zip_inside_a_zip_is_never_opened() -> None:
    inner = zipped({"c.pdf": b"x" * 100})
    data = zipped({"b.zip": inner})
    _, files = action_and_files(with_content(data, name="Kèm.zip"))
    assert files["Kèm.zip"] == inner


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"a.pdf": b"1", "b.pdf": b"2"}, "Kèm.zip"),
        ({"a.pdf": b"1"}, "Kèm.zip"),
        ({"[Content_Types].xml": b"", "word/document.xml": b""}, "Văn bản.docx"),
        ({}, "Kèm.zip"),
    ],
)
def test_a_zip_that_the_sender_meant_stays_as_it_is(members: dict[str, bytes], name: str) -> None:
    data = zipped(members)
    assert action_and_files(with_content(data, name=name))[1] == {name: data}


def test_a_zipped_docx_comes_out_of_the_zip_of_its_library() -> None:
    document = zipped({"[Content_Types].xml": b"", "word/document.xml": b"x"})
    data = zipped({"0b0c.docx": document})
    assert action_and_files(with_content(data, name="Tờ trình.docx"))[1] == {
        "Tờ trình.docx": document
    }


def test_t23_the_unpacked_size_is_bounded_whatever_the_zip_says() -> None:
    data = with_content(zipped({"a.pdf": bytes(5000)}), name="a.pdf")
    with pytest.raises(EdxmlInvalidError, match="more than 4000 bytes"):
        judged(data, bounds=Bounds(attachment=4000))
    with pytest.raises(EdxmlInvalidError, match="more than 2 times"):
        judged(data, bounds=Bounds(free_ratio=1000, ratio=2))


def test_base64_ends_once_wherever_its_pieces_are_cut(tmp_path: Path) -> None:
    writer = ContentWriter(tmp_path / "a", line=1, bounds=BOUNDS, room=100)
    writer.write("QUJ", line=1)
    writer.write("DQQ==", line=1)
    writer.write("\n", line=2)
    with pytest.raises(EdxmlInvalidError, match="something follows the end"):
        writer.write("QQ==", line=3)
    writer.abandon()
    assert (tmp_path / "a").read_bytes() == b"ABCA"


def test_all_attachments_together_are_bounded() -> None:
    one = b"<Attachment><ContentTransferEncoded>QUJD</ContentTransferEncoded></Attachment>"
    data = ROOT + b"<AttachmentEncoded>" + one * 3 + b"</AttachmentEncoded></edXML>"
    with pytest.raises(EdxmlInvalidError, match="more than 2 bytes"):
        judged(data, bounds=Bounds(content=8))


def test_each_attachment_is_bounded_also_when_there_is_room_for_all() -> None:
    data = ROOT + CONTENT + b"QUJDREVG</ContentTransferEncoded></Attachment></AttachmentEncoded>"
    with pytest.raises(EdxmlInvalidError, match="more than 4 bytes"):
        judged(data + b"</edXML>", bounds=Bounds(attachment=4))


def test_t23_unpacked_attachments_together_are_bounded() -> None:
    one = (
        b"<Attachment><AttachmentName>a.pdf</AttachmentName><ContentTransferEncoded>"
        + b64encode(zipped({"a.pdf": bytes(3000)}))
        + b"</ContentTransferEncoded></Attachment>"
    )
    data = (
        ROOT
        + b"<edXMLEnvelope><edXMLHeader/></edXMLEnvelope><AttachmentEncoded>"
        + one * 2
        + b"</AttachmentEncoded></edXML>"
    )
    with pytest.raises(EdxmlInvalidError, match="more than 2000 bytes"):
        judged(data, bounds=Bounds(content=5000))


def test_t23_a_zip_whose_directory_is_long_is_not_opened() -> None:
    long = zipfile.ZipInfo("a.pdf")
    long.comment = b"x" * 5000
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(long, b"1")
    assert action_and_files(with_content(made.getvalue(), name="a.pdf"))[1] == {
        "a.pdf": made.getvalue()
    }


def test_a_package_over_the_bound_is_not_read_to_its_end() -> None:
    with pytest.raises(EdxmlInvalidError, match="larger than 100 bytes"):
        judged(sample("Văn bản mới.edxml"), bounds=Bounds(package=100))


def test_messages_are_in_both_languages_and_name_the_line() -> None:
    data = sample("Văn bản mới.edxml").replace(b"<edXML:Priority>0", b"<edXML:Priority>7")
    found = judged(data)
    line = data[: data.index(b"Priority>7")].count(b"\n") + 1
    assert english(found) == [
        f"line {line}, element Priority: The value 7 cannot be used; 0, 1, 2, 3, 4 is needed."
    ]
    assert found.findings[0].vietnamese.startswith(f"dòng {line}, phần tử Priority: Giá trị 7")
    assert found.findings[0].remedy_vietnamese == "Sửa giá trị theo mẫu."


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<edXML:Subject>Về", "<edXML:Subject>" + "x" * 500 + "Về", "FIELD"),
        ("<edXML:CodeNumber>7816", "<edXML:CodeNumber>781678167816", "FIELD"),
        (
            "<edXML:OrganId>000.00.00.G22</edXML:OrganId>\n          <edXML:OrganizationIn",
            "<edXML:OrganizationIn",
            "MISSING",
        ),
        ("<edXML:FullName>Nguyễn", "<edXML:FullName>\u0090Nguyễn", "FIELD"),
        ("<AttachmentName>Công văn 7816.pdf", "<AttachmentName>CON.pdf", "NAME_UNSAFE"),
        ("BussinessDocType>0", "BussinessDocType>9", "VALUE"),
    ],
)
def test_a_value_that_the_record_refuses_is_named(old: str, new: str, code: str) -> None:
    data = sample("Văn bản mới.edxml").decode()
    assert old in data
    found = judged(data.replace(old, new).encode())
    assert code in [each.code for each in found.errors], english(found)
    assert found.action is None


def test_of_very_many_findings_the_first_are_told(tmp_path: Path) -> None:
    path = tmp_path / "many.edxml"
    HOSTILE["a manifest of 40,000 references"][0](path)
    found = judged(path.read_bytes())
    assert len(found.errors) == MAX_FINDINGS
    assert found.action is None


def test_every_bound_is_below_what_the_memory_allows() -> None:
    assert BOUNDS.texts * 4 + BOUNDS.elements * 1000 < PEAK_MIB << 20


@pytest.fixture
def observer() -> Iterator[list[bytes]]:
    """A listener; the list holds its port, later what it saw."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen.append(str(server.getsockname()[1]).encode())

        def accept() -> None:
            connection, _ = server.accept()
            connection.close()
            seen.append(b"seen")

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield seen


def read_alone(path: Path, folder: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", READER, path, folder], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def with_content(data: bytes, *, name: str) -> bytes:
    text = sample("Văn bản mới, tệp nén.edxml").decode().replace("Công văn 7816.pdf", name)
    pattern = r"(<edXML:ContentTransferEncoded[^>]*>)[^<]*"
    return re.sub(pattern, lambda found: found[1] + b64encode(data).decode(), text).encode()
