"""What a drop folder remembers when it is killed between two steps of letting a file appear."""

from pathlib import Path

import pytest

from edoccore.errors import FileExistsHereError
from edocnode.app.edxml_files import free_place, move, replace_file, write_new
from edocnode.app.edxml_journal import Appearing, FolderJournal


@pytest.fixture
def file(tmp_path: Path) -> Appearing:
    hidden = tmp_path / ".a.tmp"
    write_new(hidden, lambda write: write("văn bản".encode()))
    return Appearing(
        hidden=hidden, path=tmp_path / "a", consumer="edxml", position=7, message="m", step=3
    )


def reopened(journal: FolderJournal, tmp_path: Path) -> FolderJournal:
    journal.close()
    return FolderJournal(tmp_path / "db")


def test_a_file_that_appeared_and_was_taken_does_not_appear_again(
    tmp_path: Path, file: Appearing
) -> None:
    journal = FolderJournal(tmp_path / "db")
    journal.appear(file)
    file.path.unlink()  # local software is quick
    journal = reopened(journal, tmp_path)  # killed before the node was told
    assert journal.unsettled() == [file], "what follows is still to be done"
    assert not file.path.exists()
    journal.settle(file)
    assert reopened(journal, tmp_path).unsettled() == []


def test_a_file_that_was_noted_and_not_renamed_appears_after_the_kill(
    tmp_path: Path, file: Appearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FolderJournal(tmp_path / "db")
    monkeypatch.setattr("os.replace", _killed)
    with pytest.raises(KeyboardInterrupt):
        journal.appear(file)
    monkeypatch.undo()
    assert not file.path.exists()
    assert reopened(journal, tmp_path).unsettled() == [file]
    assert file.path.read_text() == "văn bản"


def test_what_was_told_is_remembered_and_never_goes_back(tmp_path: Path, file: Appearing) -> None:
    journal = FolderJournal(tmp_path / "db")
    assert journal.told("m") == -1
    journal.appear(file)
    assert journal.told("m") == -1, "not before it is settled"
    journal.settle(file)
    assert journal.told("m") == 3
    journal.set_heard(12)
    journal = reopened(journal, tmp_path)
    assert (journal.told("m"), journal.heard()) == (3, 12)


def test_a_file_is_never_written_over_another(tmp_path: Path) -> None:
    write_new(tmp_path / "a", lambda write: write(b"1"))
    with pytest.raises(FileExistsHereError):
        write_new(tmp_path / "a", lambda write: write(b"2"))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsHereError):
        write_new(tmp_path / "link", lambda write: write(b"2"))
    assert not (tmp_path / "elsewhere").exists()
    replace_file(tmp_path / "a", b"3")
    place = free_place(tmp_path, "a")
    move(tmp_path / "a", place)
    assert place.read_bytes() == b"3"


def test_a_file_that_cannot_be_filled_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "a", _killed)
    assert list(tmp_path.iterdir()) == []


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
