"""A message with everything, its evidence file, and the few programs that VERIFY.md may use."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from edocnode.evidence.bundle import instructions
from tests.support.evidence import Exchange, exchange, unanswered

# What VERIFY.md says a person needs: a shell, openssl and small tools.
TOOLS = ("sh", "openssl", "sha256sum", "cat", "cut", "date", "mktemp", "od", "tail", "tr")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

ByHand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def made() -> Exchange:
    return exchange(datetime.now(UTC))


@pytest.fixture(scope="session")
def file(made: Exchange) -> bytes:
    return made.bundle()


@pytest.fixture(scope="session")
def silent() -> Exchange:
    """A message that nobody answered, and which its sender gave up."""
    return unanswered(datetime.now(UTC))


@pytest.fixture
def by_hand(tmp_path: Path) -> ByHand:
    """Follows VERIFY.md in a folder, with nothing but the tools it names; may leave out a step."""
    tools = tmp_path / "only these"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is needed"
        (tools / name).symlink_to(found)
    blocks = BLOCK.findall(instructions().decode())

    def follow(folder: Path, root: str, *, without: int = 0) -> subprocess.CompletedProcess[str]:
        followed = [block for number, block in enumerate(blocks, 1) if number != without]
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return subprocess.run(
            [tools / "sh", "-c", "\n".join(followed)],
            cwd=folder,
            env={"PATH": str(tools), "ROOT": root, "TMPDIR": str(scratch)},
            capture_output=True,
            text=True,
            check=False,
        )

    return follow


def members(data: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(content: dict[str, bytes]) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file.getvalue()


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit changed; a byte more when there is none."""
    if not data:
        return b"\0"
    position = bit // 8 % len(data)
    return data[:position] + bytes([data[position] ^ 1 << bit % 8]) + data[position + 1 :]
