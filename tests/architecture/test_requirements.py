"""The locks can be installed from any index or mirror, fit the project, and fit each other."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import pairwise

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.repository import PACKAGES, ROOT, pyproject, sources

FOLDER = ROOT / "deploy" / "requirements"
PROJECT = pyproject()["project"]
RUNTIME = PROJECT["dependencies"]
EXTRAS = PROJECT["optional-dependencies"]
OPTIONAL = [line for extra in EXTRAS.values() for line in extra]
POSTGRES = EXTRAS["postgres"]
GROUPS = pyproject()["dependency-groups"]
PARTS = {"pydantic_core": "pydantic"}  # comes with, and in the one version fit for, another
LOCKS = {
    "runtime": RUNTIME,
    "postgres": RUNTIME + POSTGRES,
    "full": RUNTIME + OPTIONAL,
    "build": GROUPS["build"],
    "dev": RUNTIME + OPTIONAL + GROUPS["build"] + GROUPS["dev"],
    "fuzz": GROUPS["fuzz"],
    "sbom": GROUPS["sbom"],
    "proto": [
        line
        for line in (FOLDER / "proto.in").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ],
}


def _pins(lock: str) -> dict[str, str]:
    """Returns name -> version of a lock."""
    text = (FOLDER / f"{lock}.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_every_lock_in_the_folder_is_known_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(LOCKS)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_index_and_no_address(lock: str) -> None:
    text = (FOLDER / f"{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(
        r"^\s*(-i|-f|--\w*index\w*|--find-links|--trusted-host)\b", text, re.MULTILINE
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_an_exact_version_with_hashes(lock: str) -> None:
    text = (FOLDER / f"{lock}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line, following in pairwise([*lines, ""]):
        if line.startswith("    "):
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
        else:
            assert re.match(r"[a-z0-9._-]+==\S+( ; .+)? \\$", line), line
            assert following.startswith("    --hash=sha256:"), line


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_every_requirement_in_a_version_that_fits(lock: str) -> None:
    pins = _pins(lock)
    for requirement in map(Requirement, LOCKS[lock]):
        name = canonicalize_name(requirement.name)
        hint = "run deploy/requirements/lock"
        assert name in pins, f"{name} is not in {lock}.txt: {hint}"
        assert requirement.specifier.contains(pins[name], prereleases=True), f"{name}: {hint}"


@pytest.mark.parametrize("lock", ["runtime", "postgres", "build"])
def test_lock_has_the_versions_that_are_tested(lock: str) -> None:
    assert _pins(lock).items() <= _pins("dev").items()


def test_every_package_that_the_programs_import_is_declared() -> None:
    declared = {canonicalize_name(Requirement(line).name) for line in RUNTIME + OPTIONAL}
    providers = packages_distributions()
    missing = {
        name: path.relative_to(ROOT).as_posix()
        for path in sources()
        for name in _imported(ast.parse(path.read_text(encoding="utf-8")))
        if name not in sys.stdlib_module_names | PACKAGES.keys()
        if PARTS.get(name) not in declared
        if not {canonicalize_name(found) for found in providers.get(name, [])} & declared
    }
    assert missing == {}


def _imported(module: ast.Module) -> Iterator[str]:
    """Yields the first part of every absolute import."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
