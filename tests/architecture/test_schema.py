"""The schema is documented in full, and the generated code is what the schema says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, program

SCHEMA = ROOT / "proto" / "edocnet"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Returns the root of a copy with the schema, its rules and the generator."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SCHEMA, tmp_path / "proto" / "edocnet", ignore=ignore)
    shutil.copy(ROOT / "proto" / "buf.yaml", tmp_path / "proto")
    shutil.copy(ROOT / "proto" / "generate", tmp_path / "proto")
    shutil.copytree(ROOT / "deploy" / "requirements", tmp_path / "deploy" / "requirements")
    (tmp_path / ".tools").symlink_to(ROOT / ".tools", target_is_directory=True)
    (ROOT / ".tools").mkdir(exist_ok=True)
    return tmp_path


def test_every_element_of_the_schema_has_a_comment_and_follows_the_rules() -> None:
    done = _buf_lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_element_without_comment_is_found(copy: Path) -> None:
    schema = copy / "proto" / "edocnet" / "exchange" / "v1" / "exchange_service.proto"
    text = schema.read_text(encoding="utf-8")
    schema.write_text(f"{text}\nmessage Planted {{\n  bytes silent = 1;\n}}\n", encoding="utf-8")
    done = _buf_lint(copy)
    assert done.returncode == 100
    assert 'Message "Planted" should have a non-empty comment' in done.stdout
    assert 'Field "silent" should have a non-empty comment' in done.stdout


def test_generated_code_is_what_the_schema_says() -> None:
    done = _check(ROOT)
    assert done.returncode == 0, done.stderr


def test_generator_names_every_file_that_differs(copy: Path) -> None:
    folder = copy / "proto" / "edocnet" / "exchange" / "v1"
    (folder / "left_behind_pb2.py").touch()
    (folder / "__init__.py").unlink()
    stubs = folder / "exchange_service_pb2.pyi"
    stubs.write_text(stubs.read_text(encoding="utf-8") + "planted: int\n", encoding="utf-8")
    done = _check(copy)
    assert done.returncode == 1
    assert "proto/edocnet/exchange/v1/__init__.py: differs from the schema" in done.stderr
    assert "exchange_service_pb2.pyi: differs from the schema" in done.stderr
    assert "left_behind_pb2.py: has no .proto file" in done.stderr
    assert (folder / "left_behind_pb2.py").exists(), "--check must write nothing"


def test_changed_comment_in_the_schema_counts_as_drift(copy: Path) -> None:
    schema = copy / "proto" / "edocnet" / "exchange" / "v1" / "exchange_service.proto"
    text = schema.read_text(encoding="utf-8")
    schema.write_text(text.replace("\nservice ", "\n// Planted.\nservice ", 1), encoding="utf-8")
    done = _check(copy)
    assert done.returncode == 1
    assert "exchange_service_pb2_grpc.pyi: differs from the schema" in done.stderr


def _buf_lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [program("buf"), "lint"]
    return subprocess.run(
        command, cwd=root / "proto", check=False, capture_output=True, text=True, timeout=50
    )


def _check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "proto" / "generate"), "--check"]
    return subprocess.run(command, cwd="/", check=False, capture_output=True, text=True, timeout=50)
