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

from tests.architecture.repository import ROOT, pyproject

PACKED = ("README.md", "LICENSE", "pyproject.toml", "proto", "node", "registry")
EPOCH = "1795737600"  # of the release; any fixed moment will do


def built(folder: Path) -> Path:
    """The wheel of the project, built from a copy of the checkout without a network."""
    copy = folder / "checkout"
    copy.mkdir(parents=True)
    for name in PACKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
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
    first, second = (built(tmp_path_factory.mktemp(name)) for name in ("one", "another place"))
    return first, second


def install(wheel: Path, lock: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Installs what a lock names from the folder of a wheel, as ``deploy/make-venv`` does."""
    command = [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-index"]
    command += ["--no-deps", "--find-links", str(wheel.parent), "--target", str(target)]
    command += ["--requirement", str(lock), "--disable-pip-version-check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


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


def test_t40_one_altered_byte_of_a_wheel_makes_the_locked_install_fail(
    wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    wheel = wheels[0]
    name, version = wheel.name.split("-")[:2]
    lock = tmp_path / "lock.txt"
    digest = sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    good = install(wheel, lock, tmp_path / "good")
    assert good.returncode == 0, good.stderr
    altered = tmp_path / "mirror" / wheel.name
    altered.parent.mkdir()
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    bad = install(altered, lock, tmp_path / "bad")
    assert bad.returncode != 0
    assert "DO NOT MATCH" in bad.stderr
    assert not (tmp_path / "bad").exists()


@pytest.mark.timeout(180)
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


def test_t40_every_install_of_the_project_goes_by_hashes() -> None:
    scripts = [ROOT / "deploy" / name for name in ("make-venv", "make-sbom")]
    text = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
    installs = [line for line in text.splitlines() if "pip install" in line or "uv pip" in line]
    assert len(installs) >= len(scripts)
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line, line
    for lock in (ROOT / "deploy" / "requirements").glob("*.txt"):
        for line in lock.read_text(encoding="utf-8").split("\n"):
            if line and line[0].isalnum():
                assert "==" in line, f"{lock.name}: {line}"
        assert "--hash=sha256:" in lock.read_text(encoding="utf-8"), lock.name
