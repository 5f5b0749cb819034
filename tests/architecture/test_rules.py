"""Rules take time, chance, files and settings as arguments; what would fetch them is refused."""

import ast
import re
import subprocess

import pytest

from tests.architecture.repository import PACKAGES, ROOT, program, sources

RULES = [
    *(PACKAGES["edoccore"] / part for part in ("errors.py", "identity", "signing", "directory")),
    PACKAGES["edocnode"] / "domain",
    PACKAGES["edocregistry"] / "domain",
]


def test_no_rule_opens_a_file_or_prints() -> None:
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.func.id}"
        for path in sources()
        if any(path.is_relative_to(folder) for folder in RULES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"open", "print", "input", "exec", "eval"}
    ]
    assert calls == []


def test_how_a_struct_is_read_is_learned_in_one_place() -> None:
    """See ``edoccore.signing.readers``: threads that meet there end the process."""
    told = re.compile(r"\bDecoder\(|msgspec\.convert\(|\.decode\([^)]*type=(?!dict\[str)")
    learns = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sources()
        if path.name != "readers.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if told.search(line)
    ]
    assert learns == []


@pytest.mark.parametrize(
    "code",
    [
        "import datetime\n\ndatetime.datetime.now(datetime.UTC)\n",
        "from datetime import UTC, datetime\n\ndatetime.now(UTC)\n",
        "import time\n\ntime.time()\n",
        "import time\n\ntime.monotonic()\n",
        "import os\n\nos.environ.get('A')\n",
        "import os\n\nos.urandom(1)\n",
        "from pathlib import Path\n\nPath('a')\n",
        "from uuid import uuid4\n\nuuid4()\n",
    ],
)
@pytest.mark.parametrize(
    "place",
    ["proto/edoccore/signing/planted.py", "node/edocnode/domain/planted.py"],
)
def test_clock_chance_disk_and_environment_are_refused_in_rules(code: str, place: str) -> None:
    done = subprocess.run(
        [program("ruff"), "check", "--no-cache", "--select", "TID251", "--stdin-filename", place],
        cwd=ROOT,
        input=code,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "TID251" in done.stdout
