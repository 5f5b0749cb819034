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
from tests.support.evidence import Exchange, exchange, stamped, unanswered
from tests.support.time_authority import TestAuthority

# What VERIFY.md says a person needs: a shell, openssl and small tools.
TOOLS = ("sh", "openssl", "sha256sum", "cat", "cut", "date", "mktemp", "od", "tail", "tr")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

ByHand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def made(authority: TestAuthority) -> Exchange:
    """A message with everything, timestamps too."""
    return stamped(exchange(datetime.now(UTC)), authority, folders=("envelope", "receipt"))


@pytest.fixture(scope="session")
def file(made: Exchange) -> bytes:
    return made.bundle()


@pytest.fixture(scope="session")
def silent() -> Exchange:
    """A message that nobody answered, and which its sender gave up."""
    return unanswered(datetime.now(UTC))


@pytest.fixture
def by_hand(tmp_path: Path, authority: TestAuthority) -> ByHand:
    """Follows VERIFY.md in a folder, with nothing but the tools it names; may leave out a step."""
    tools = tmp_path / "only these"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is needed"
        (tools / name).symlink_to(found)
    blocks = BLOCK.findall(instructions().decode())

    def follow(
        folder: Path, root: str, *, without: int = 0, tsa: Path | None = authority.root_file
    ) -> subprocess.CompletedProcess[str]:
        followed = [block for number, block in enumerate(blocks, 1) if number != without]
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return subprocess.run(
            [tools / "sh", "-c", "\n".join(followed)],
            cwd=folder,
            env={"PATH": str(tools), "ROOT": root, "TMPDIR": str(scratch)}
            | ({"TSA": str(tsa)} if tsa else {}),
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
