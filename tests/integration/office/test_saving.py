"""T-22: what is written under names that came from another agency, and what never is."""

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edoccore.errors import DataFolderError, FileExistsHereError, PartDigestError, PartNameError
from edocnode.cli.saving import (
    choose_targets,
    make_file,
    replace_file,
    write_targets,
)

CONTENT = {1: "Quyết định".encode(), 2: b"second"}

BAD_NAMES = [
    "../x", "..\\x", "．．/x", "a/b", "/etc/passwd", "C:\\x", "C:x", "a\x00b", "a\u202egnp.exe",
    "con", "NUL.txt", "a" * 300, "-rf", ".ssh", "a\nb", "..", ".", "", "a.", "a ", "e\u0301.pdf",
]  # fmt: skip


def part(index: int, name: str, content: bytes | None = None) -> dict[str, Any]:
    data = CONTENT[index] if content is None else content
    return {
        "index": index,
        "name": name,
        "size_bytes": len(data),
        "sha256": sha256(data).hexdigest(),
        "encrypted": False,
    }


def read(index: int) -> Iterable[bytes]:
    yield CONTENT[index][:3]
    yield CONTENT[index][3:]


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_t22_unsafe_name_writes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(PartNameError):
        choose_targets([part(1, "good.pdf"), part(2, name)])
    assert everything(tmp_path) == []


def test_t22_same_names_get_a_number_before_their_ending(tmp_path: Path) -> None:
    targets = choose_targets([part(1, "Tờ trình.pdf"), part(2, "tờ Trình.PDF")])
    paths = write_targets(tmp_path / "new" / "folder", targets, read, place=make_file)
    assert [path.name for path in paths] == ["Tờ trình.pdf", "tờ Trình (2).PDF"]
    assert [path.read_bytes() for path in paths] == [CONTENT[1], CONTENT[2]]


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder"])
def test_t22_nothing_is_overwritten_and_no_link_is_followed(kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    folder = tmp_path / "to"
    folder.mkdir()
    there = folder / "b.pdf"
    if kind == "file":
        there.write_bytes(b"mine")
    elif kind == "folder":
        there.mkdir()
    else:
        there.symlink_to(outside if kind == "link" else tmp_path / "missing")
    targets = choose_targets([part(1, "a.pdf"), part(2, "b.pdf")])
    with pytest.raises(FileExistsHereError):
        write_targets(folder, targets, read, place=make_file)
    assert everything(folder) == ["b.pdf"]
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "missing").exists()


def test_t22_link_that_appears_meanwhile_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    folder = tmp_path / "to"
    folder.mkdir()

    def slow(index: int) -> Iterable[bytes]:
        if index == 1:
            (folder / "b.pdf").symlink_to(outside)
        return read(index)

    with pytest.raises(FileExistsHereError):
        write_targets(
            folder, choose_targets([part(1, "a.pdf"), part(2, "b.pdf")]), slow, place=make_file
        )
    assert not outside.exists()


def test_force_replaces_a_file_and_a_link_but_not_its_target(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (tmp_path / "a.pdf").write_bytes(b"old")
    (tmp_path / "b.pdf").symlink_to(outside)
    targets = choose_targets([part(1, "a.pdf"), part(2, "b.pdf")])
    write_targets(tmp_path, targets, read, place=replace_file)
    assert (tmp_path / "a.pdf").read_bytes() == CONTENT[1]
    assert (tmp_path / "b.pdf").read_bytes() == CONTENT[2]
    assert not (tmp_path / "b.pdf").is_symlink()
    assert outside.read_bytes() == b"precious"
    assert everything(tmp_path) == ["a.pdf", "b.pdf", "outside"]


def test_other_bytes_than_were_sealed_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(PartDigestError):
        write_targets(tmp_path, choose_targets([part(1, "a.pdf", b"other")]), read, place=make_file)
    assert everything(tmp_path) == []


def test_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "to").write_bytes(b"")
    with pytest.raises(DataFolderError):
        write_targets(tmp_path / "to", choose_targets([part(1, "a.pdf")]), read, place=make_file)


def test_files_are_made_for_the_person_alone_when_the_umask_says_so(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        (path,) = write_targets(tmp_path, choose_targets([part(1, "a.pdf")]), read, place=make_file)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
