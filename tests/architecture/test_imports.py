"""The direction of imports holds, and every contract that says so goes red when it is broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGES, ROOT, pyproject

# contract -> ways to break it: file below the root, code appended to it
VIOLATIONS = [
    ("packages", "proto/edoccore/errors.py", "import edockit"),
    ("packages", "proto/edockit/planted.py", "import edocnode"),
    ("packages", "registry/edocregistry/domain/planted.py", "import edocnode.domain"),
    ("programs", "node/edocnode/domain/planted.py", "import edocnode.settings"),
    ("programs", "node/edocnode/rpc/planted.py", "import edocnode.storage"),
    ("programs", "node/edocnode/storage/planted.py", "import edocnode.workers"),
    ("programs", "node/edocnode/planted.py", ""),
    ("programs", "registry/edocregistry/rpc/planted.py", "import edocregistry.app"),
    ("programs", "registry/edocregistry/planted.py", ""),
    ("core", "proto/edoccore/errors.py", "import edoccore.identity"),
    ("core", "proto/edoccore/signing/planted.py", "import edoccore.directory"),
    ("core", "proto/edoccore/planted.py", ""),
    ("pure", "proto/edoccore/identity/planted.py", "import socket"),
    ("pure", "proto/edoccore/directory/planted.py", "import edoccore.wire.status"),
    ("pure", "node/edocnode/domain/planted.py", "import time"),
    ("pure", "node/edocnode/domain/planted.py", "import sqlmodel"),
    ("pure", "registry/edocregistry/domain/planted.py", "import os"),
    ("messages", "node/edocnode/cli/planted.py", "import edocnet"),
    ("messages", "node/edocnode/workers/planted.py", "import edocnet.exchange.v1"),
    ("messages", "proto/edockit/planted.py", "import edocnet"),
    ("cycles", "proto/edockit/planted.py", "import edockit.planted_too"),
]
HELP_MODULES = 400  # at most, of a program; 310 and 200 with Python 3.11
ALSO = {"proto/edockit/planted_too.py": "import edockit.planted"}


def test_every_import_goes_in_the_direction_of_the_contracts() -> None:
    done = _lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_every_contract_is_broken_on_purpose_below() -> None:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    assert {contract["id"] for contract in contracts} == {name for name, *_ in VIOLATIONS}


@pytest.mark.parametrize(("contract", "file", "code"), VIOLATIONS)
def test_planted_violation_breaks_its_contract(
    contract: str, file: str, code: str, tmp_path: Path
) -> None:
    _copy(tmp_path)
    planted = {file: code} | (ALSO if contract == "cycles" else {})
    for name, text in planted.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text(encoding="utf-8") if path.exists() else '"""Planted."""\n'
        path.write_text(f"{before}\n{text}\n", encoding="utf-8")
    done = _lint_imports(tmp_path, "--contract", contract)
    assert done.returncode == 1, done.stdout
    assert "0 kept, 1 broken" in done.stdout, done.stdout
    assert Path(file).stem in done.stdout, done.stdout


def _copy(target: Path) -> None:
    """Copies the five packages and the configuration, so that a test may spoil them."""
    shutil.copy(ROOT / "pyproject.toml", target)
    for folder in PACKAGES.values():
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, target / folder.relative_to(ROOT), ignore=ignore)


def _lint_imports(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs import-linter on the packages below a root, which go before those installed."""
    parents = dict.fromkeys(folder.relative_to(ROOT).parent for folder in PACKAGES.values())
    code = "import sys; from importlinter.cli import lint_imports_command as run; run(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--no-logo", *arguments],
        cwd=root,
        env=dict(
            os.environ, PYTHONPATH=os.pathsep.join(str(root / p) for p in parents), COLUMNS="200"
        ),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["--help"], {"grpc", "sqlalchemy", "structlog", "cryptography"}),
        (["--help", "--lang", "vi"], {"babel", "importlib.readers", "grpc", "sqlalchemy"}),
        (["inbox"], {"structlog", "sqlalchemy", "alembic", "pyhanko", "lxml", "openpyxl"}),
        (["send", "x", "--to", "H29", "--subject", "x"], {"sqlalchemy", "alembic", "pyhanko"}),
    ],
)
def test_a_command_loads_no_library_that_it_has_no_use_for(
    words: list[str], unneeded: set[str], tmp_path: Path
) -> None:
    """A clerk waits for each import, and software that calls commands pays it every time."""
    (tmp_path / "x").write_text("x", encoding="utf-8")
    assert loaded("edocnode", words, tmp_path) & unneeded == set()


@pytest.mark.parametrize("program", ["edocnode", "edocregistry"])
def test_help_loads_few_modules(program: str, tmp_path: Path) -> None:
    """So it answers at once: a measure that holds however busy the machine is."""
    modules = loaded(program, ["--help"], tmp_path)
    libraries = {"grpc", "sqlalchemy", "structlog", "cryptography", "tuf", "pydantic", "rich"}
    assert modules & libraries == set()
    assert len(modules) < HELP_MODULES


def loaded(program: str, words: list[str], tmp_path: Path) -> set[str]:
    """Modules that a command has loaded at its end."""
    code = (
        f"import sys\nfrom {program}.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | {f"{program.upper()}_DATA": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    modules = set(done.stderr.splitlines()[-1].split())
    assert f"{program}.cli.main" in modules
    return modules
