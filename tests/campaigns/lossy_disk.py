"""A disk that loses with the power what was not synced: rebuilt from recorded system calls.

The model is the least that POSIX promises. The content of a file is durable once an fsync of the
file that began after the write has succeeded; a name is durable once its folder was fsynced. What
an fsync that failed should have made durable is lost for ever, whatever later ones say: the
kernel has dropped those pages. Of the rest anything may be on the disk, whole, in part or not.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns.system_calls import UNKNOWN_CALLS, Call

SECTOR_BYTES = 512  # written whole or not at all
_SYNCS = {"fsync", "fdatasync"}


@dataclass(slots=True)
class _Write:
    """Bytes at a place of a file; ``data`` None: the file ends there."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Does it."""
        if self.data is None:
            del content[self.offset :]
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        if self.data is not None:
            content[self.offset : self.offset + len(self.data)] = self.data

    def torn(self, chance: random.Random) -> Iterator["_Write"]:
        """What of it reached the disk by chance, sector by sector."""
        if self.data is None:
            if chance.random() < 0.5:
                yield self
            return
        for start in range(0, len(self.data), SECTOR_BYTES):
            if chance.random() < 0.5:
                yield _Write(self.offset + start, self.data[start : start + SECTOR_BYTES])


@dataclass(slots=True, eq=False)
class _File:
    """A file: what is on the disk, and what is written and not there yet."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Write] = field(default_factory=list)
    size: int = 0

    def write(self, offset: int, data: bytes | None) -> None:
        """Writes, or cuts off at ``offset``."""
        self.pending.append(_Write(offset, data))
        self.size = offset if data is None else max(self.size, offset + len(data))

    def settle(self, count: int, *, kept: bool) -> None:
        """Ends an fsync that began when ``count`` writes were pending."""
        for write in self.pending[:count] if kept else ():
            write.apply(self.durable)
        del self.pending[:count]

    def rebuild(self, path: Path, chance: random.Random | None) -> None:
        """Puts it where a new process finds it."""
        content = bytearray(self.durable)
        for write in self.pending if chance else ():
            for piece in write.torn(chance):
                piece.apply(content)
        path.write_bytes(content)
        path.chmod(0o600)


_Names = dict[str, "_File | _Folder | None"]  # None: the name is gone


@dataclass(slots=True, eq=False)
class _Folder:
    """A folder: names on the disk, and changes of names that are not there yet."""

    durable: _Names = field(default_factory=dict)
    pending: list[_Names] = field(default_factory=list)
    now: _Names = field(default_factory=dict)

    def change(self, names: _Names) -> None:
        """Makes, replaces or removes names, all at once."""
        self.pending.append(names)
        self.now |= names

    def settle(self, count: int, *, kept: bool) -> None:
        """See ``_File.settle``."""
        for names in self.pending[:count] if kept else ():
            self.durable |= names
        del self.pending[:count]

    def rebuild(self, path: Path, chance: random.Random | None) -> None:
        """Puts it and all below it where a new process finds them."""
        path.mkdir(mode=0o700, exist_ok=True)
        names = dict(self.durable)
        for change in self.pending[: chance.randint(0, len(self.pending))] if chance else ():
            names |= change
        for name, item in names.items():
            if item is not None:
                item.rebuild(path / name, chance)


@dataclass(slots=True)
class _Open:
    """An open file or folder."""

    item: _File | _Folder
    position: int = 0


def _load(folder: _Folder, path: Path) -> None:
    for entry in path.iterdir():
        if entry.is_dir():
            below = _Folder()
            _load(below, entry)
            folder.durable[entry.name] = below
        elif entry.is_file():
            content = entry.read_bytes()
            folder.durable[entry.name] = _File(bytearray(content), size=len(content))
    folder.now |= folder.durable


class LossyDisk:
    """The disk of one process under one folder, which was empty at its start."""

    def __init__(self, root: Path) -> None:
        """Takes the folder whose calls count; all others are passed over."""
        self._root = root
        self._top = _Folder()
        self._open: dict[int, _Open] = {}
        self._syncing: dict[int, int] = {}  # by thread: what was pending when its fsync began

    def preload(self) -> None:
        """Takes what the folder holds already; it has been there for long, so it is durable."""
        _load(self._top, self._root)

    def apply(self, call: Call) -> None:
        """Follows a call.

        Raises:
            NotImplementedError: It changes files in a way that this model does not know.
        """
        if call.name in _SYNCS:
            self._sync(call)
        elif call.result is None or call.failed:
            return
        elif call.name in UNKNOWN_CALLS.split(","):
            self._refuse(call)
        else:
            getattr(self, f"_{call.name}")(call)

    def rebuild(self, path: Path, chance: random.Random | None = None) -> None:
        """Makes a folder as the power cut leaves it.

        Args:
            path: Does not exist.
            chance: What of the rest reached the disk; None: nothing.
        """
        self._top.rebuild(path, chance)

    def _sync(self, call: Call) -> None:
        opened = self._open.get(call.descriptor)
        if opened is None:
            return
        if call.result is None:
            self._syncing[call.thread] = len(opened.item.pending)
            return
        count = self._syncing.pop(call.thread, len(opened.item.pending))
        opened.item.settle(count, kept=not call.failed)

    def _refuse(self, call: Call) -> None:
        known = call.numbers and call.numbers[0].isdigit() and call.descriptor in self._open
        if known or any(self._inside(text) is not None for text in call.texts):
            raise NotImplementedError(call.name)

    def _openat(self, call: Call) -> None:
        assert call.result is not None
        self._open.pop(call.result, None)
        place = self._place(call.texts[0])
        if place is None:
            return
        folder, name = place
        item = self._top if not name else folder.now.get(name)
        flags = call.numbers[1]
        if item is None:
            item = _File()
            folder.change({name: item})
        elif "O_TRUNC" in flags and isinstance(item, _File):
            item.write(0, None)
        position = item.size if "O_APPEND" in flags and isinstance(item, _File) else 0
        self._open[call.result] = _Open(item, position)

    def _close(self, call: Call) -> None:
        self._open.pop(call.descriptor, None)

    def _lseek(self, call: Call) -> None:
        if call.descriptor in self._open:
            self._open[call.descriptor].position = call.result or 0

    def _write(self, call: Call) -> None:
        opened = self._open.get(call.descriptor)
        if opened is not None:
            self._put(opened, opened.position, call)
            opened.position += call.result or 0

    def _pwrite64(self, call: Call) -> None:
        opened = self._open.get(call.descriptor)
        if opened is not None:
            self._put(opened, int(call.numbers[-1]), call)

    @staticmethod
    def _put(opened: _Open, offset: int, call: Call) -> None:
        assert isinstance(opened.item, _File)
        opened.item.write(offset, call.texts[0][: call.result])

    def _ftruncate(self, call: Call) -> None:
        opened = self._open.get(call.descriptor)
        if opened is not None and isinstance(opened.item, _File):
            self._resize(opened.item, int(call.numbers[1]))

    def _truncate(self, call: Call) -> None:
        if (place := self._place(call.texts[0])) is not None:
            item = place[0].now[place[1]]
            assert isinstance(item, _File)
            self._resize(item, int(call.numbers[0]))

    @staticmethod
    def _resize(item: _File, size: int) -> None:
        if size > item.size:
            item.write(size - 1, b"\x00")
        else:
            item.write(size, None)

    def _rename(self, call: Call) -> None:
        before, after = self._place(call.texts[0]), self._place(call.texts[1])
        if before is None and after is None:
            return
        assert before is not None
        assert after is not None
        item = before[0].now[before[1]]
        if before[0] is after[0]:
            before[0].change({before[1]: None, after[1]: item})
        else:
            after[0].change({after[1]: item})
            before[0].change({before[1]: None})

    _renameat = _renameat2 = _rename

    def _unlink(self, call: Call) -> None:
        if (place := self._place(call.texts[0])) is not None:
            place[0].change({place[1]: None})

    _unlinkat = _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        if (place := self._place(call.texts[0])) is not None:
            place[0].change({place[1]: _Folder()})

    _mkdirat = _mkdir

    def _inside(self, path: bytes) -> Path | None:
        """The path below the root; None when it is elsewhere."""
        whole = Path(os.fsdecode(path))
        return whole.relative_to(self._root) if whole.is_relative_to(self._root) else None

    def _place(self, path: bytes) -> tuple[_Folder, str] | None:
        """The folder and the name in it that a path means; the root itself has no name."""
        inside = self._inside(path)
        if inside is None:
            return None
        folder = self._top
        for name in inside.parts[:-1]:
            below = folder.now[name]
            assert isinstance(below, _Folder)
            folder = below
        return folder, inside.name
