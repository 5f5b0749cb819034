"""What is installed is what was locked: a wheel with another byte is refused, ours builds alike.

And whoever asks what a node is made of gets every package, with its version and hashes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, files, pyproject

PACKED = ("README.md", "LICENSE", "pyproject.toml", "proto", "node", "registry")
EPOCH = "1795737600"  # of the release; any fixed moment will do


def built(folder: Path, *, at: int) -> Path:
    """The wheel of the project, built from a copy of the checkout without a network.

    Args:
        at: When all files of the copy were changed, in seconds since 1970.
    """
    copy = folder / "checkout"
    copy.mkdir(parents=True)
    for name in PACKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    for file in copy.rglob("*"):
        os.utime(file, (at, at))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two builds, in folders with other names, of files with other times."""
    places = {"one": 1_700_000_000, "another place": 1_750_000_000}
    first, second = (built(tmp_path_factory.mktemp(name), at=at) for name, at in places.items())
    return first, second


def test_t40_wheel_of_the_project_builds_twice_to_the_same_bytes(
    wheels: tuple[Path, Path],
) -> None:
    first, second = wheels
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
    assert "edocnode/cli/main.py" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def small_wheel(folder: Path, content: str) -> Path:
    """A wheel with one module, whole and fit to be installed whatever the module says."""
    folder.mkdir()
    wheel = folder / "mot_goi-1.0-py3-none-any.whl"
    info = "mot_goi-1.0.dist-info"
    members = {
        "mot_goi.py": content,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: mot-goi\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*members, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**members, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


def installed(checkout: Path, lock: str, wheel: Path) -> tuple[bool, str]:
    """Whether ``deploy/make-venv`` installs a lock from the folder of a wheel, and what it says.

    The checkout has nothing to be built, so it ends after what is locked.
    """
    requirements = checkout / "deploy" / "requirements"
    requirements.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "deploy" / "make-venv", checkout / "deploy" / "make-venv")
    for name in ("full.txt", "dev.txt", "build.txt"):
        (requirements / name).write_text(lock if name == "full.txt" else "")
    (checkout / "pyproject.toml").write_text("")
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}
    done = subprocess.run(
        ["deploy/make-venv", "run"],
        cwd=checkout,
        env=environment | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(list(checkout.glob(".venv/lib/*/site-packages/mot_goi.py"))), done.stderr


def test_t40_a_wheel_with_other_bytes_makes_the_locked_install_fail(tmp_path: Path) -> None:
    wheel = small_wheel(tmp_path / "index", "WHO = 'we'")
    other = small_wheel(tmp_path / "mirror", "WHO = 'no'")
    lock = f"mot-goi==1.0 --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n"
    was_installed, told = installed(tmp_path / "checkout", lock, other)
    assert not was_installed
    assert "DO NOT MATCH" in told
    was_installed, told = installed(tmp_path / "checkout", lock, wheel)
    assert was_installed, told


def test_t40_what_a_lock_names_without_its_hash_is_not_installed(tmp_path: Path) -> None:
    wheel = small_wheel(tmp_path / "index", "WHO = 'anybody'")
    was_installed, told = installed(tmp_path / "checkout", "mot-goi==1.0\n", wheel)
    assert not was_installed
    assert "Hashes are required" in told


def test_t40_list_of_what_a_node_is_made_of_names_every_file_that_is_locked(tmp_path: Path) -> None:
    lists = [tmp_path / "one.json", tmp_path / "another place" / "two.json"]
    for file in lists:
        subprocess.run([ROOT / "deploy" / "make-sbom", file], check=True, capture_output=True)
    assert lists[0].read_bytes() == lists[1].read_bytes()
    found = json.loads(lists[0].read_bytes())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    root = found["metadata"]["component"]
    assert (root["name"], root["version"]) == ("edocnode", pyproject()["project"]["version"])
    listed = {
        f"{each['name']}=={each['version']}": {
            digest["content"]
            for place in each["externalReferences"]
            for digest in place.get("hashes", [])
        }
        for each in found["components"]
    }
    assert listed == locked("full")


def locked(lock: str) -> dict[str, set[str]]:
    """Digests of the files that a lock lets in, by name and version."""
    found: dict[str, set[str]] = {}
    name = ""
    text = (ROOT / "deploy" / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and line[0].isalnum():
            name = line.partition(" ")[0]
            found[name] = set()
        found.get(name, set()).update(re.findall("--hash=sha256:([0-9a-f]{64})", line))
    return found


def is_script(file: Path) -> bool:
    return file.read_bytes().startswith(b"#!")


def commands(text: str) -> list[str]:
    """The lines of a script, each with those that go on from it."""
    return text.replace("\\\n", " ").splitlines()


def test_t40_every_install_of_the_project_goes_by_hashes() -> None:
    scripts = [ROOT / "Makefile", *filter(is_script, files())]
    installs = [
        (script.name, line)
        for script in scripts
        for line in commands(script.read_text(encoding="utf-8"))
        if ("pip install" in line or "pip sync" in line) and not line.lstrip().startswith("#")
    ]
    assert {"make-venv"} <= {name for name, _ in installs}
    for name, line in installs:
        is_ours = "--no-index" in line and "--no-deps" in line and "--editable ." in line
        assert "--require-hashes" in line or is_ours, f"{name}: {line}"


@pytest.mark.parametrize("lock", sorted((ROOT / "deploy" / "requirements").glob("*.txt")))
def test_t40_every_requirement_of_a_lock_has_one_version_and_its_hashes(lock: Path) -> None:
    wanted = [
        line for line in commands(lock.read_text(encoding="utf-8")) if line and line[0].isalnum()
    ]
    assert wanted
    for line in wanted:
        assert "==" in line, f"{lock.name}: {line}"
        assert "--hash=sha256:" in line, f"{lock.name}: {line}"
