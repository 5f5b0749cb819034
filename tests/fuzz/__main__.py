"""Fuzzes one target: python -m tests.fuzz TARGET [--seconds N] [--keep].

Needs atheris, which the gate does not: deploy/requirements/fuzz.txt. What is found along
the way lies in a temporary folder; --keep puts into the corpus the few inputs that reach code that
seeds and corpus do not. Ends with 77 at an input that breaks the target, whose path is printed.
"""

import argparse
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.target import Target

_PACKAGES = ("edocnet", "edoccore", "edockit", "edocnode", "edocregistry")
_ALSO_FOLLOWED = {"role": ("tuf",), "raw_role": ("tuf",), "evidence_zip": ("zipfile",)}
_KEPT_AT_MOST = 40  # new inputs of one run
_KEPT_BYTES = 16 * 1024  # longer ones stay out of the repository


def main() -> None:
    """Parses the command line and fuzzes in a process of its own, since libFuzzer never returns."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", nargs="?", help="one of those listed without arguments")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="add to the corpus")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        _fuzz(given.target, given.work, given.seconds)
    from tests.fuzz.targets import TARGETS

    if given.target not in TARGETS:
        print("\n".join(TARGETS))
        sys.exit(2 if given.target else 0)
    target = TARGETS[given.target]
    with tempfile.TemporaryDirectory(prefix=f"edoc-fuzz-{target.name}-") as folder:
        work = Path(folder)
        (work / "found").mkdir()
        for number, data in enumerate(target.examples_to_start_from()):
            (work / "found" / f"start-{number:03d}").write_bytes(data)
        command = [sys.executable, "-m", "tests.fuzz", target.name, "--work", str(work)]
        done = subprocess.run([*command, "--seconds", str(given.seconds)], check=False)
        for broken in sorted(work.glob("broken-*")):
            kept = Path(tempfile.gettempdir()) / f"edoc-fuzz-{target.name}-{broken.name}"
            kept.write_bytes(broken.read_bytes())
            print(f"broken by {kept}: {broken.read_bytes()[:200]!r}")
        if given.keep:
            _keep(target, sorted((work / "found").iterdir(), key=lambda path: path.stat().st_size))
    sys.exit(done.returncode)


def _fuzz(name: str, work: Path, seconds: int) -> None:
    import atheris

    # Nothing of the project may be imported before: it would not be followed.
    with atheris.instrument_imports(include=[*_PACKAGES, *_ALSO_FOLLOWED.get(name, ())]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    target.examples_to_start_from()  # builds the world outside the clock of the first input
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.max_bytes}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={work}/broken-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(work / "found")], target.check)
    atheris.Fuzz()


def _keep(target: "Target", found: list[Path]) -> None:
    """Adds inputs that reach lines, coming from lines, which no shorter one reached."""
    from tests.fuzz.target import CORPUS

    reached: set[object] = set()
    for data in target.examples_to_start_from():
        reached |= _reached(target, data)
    kept = 0
    for path in found:
        data = path.read_bytes()
        new = _reached(target, data) - reached
        if new and kept < _KEPT_AT_MOST and len(data) <= _KEPT_BYTES:
            reached |= new
            kept += 1
            (CORPUS / target.name).mkdir(parents=True, exist_ok=True)
            (CORPUS / target.name / sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{target.name}: {kept} of {len(found)} inputs kept")


def _reached(target: "Target", data: bytes) -> set[object]:
    """The steps from line to line in the code of the project that an input leads to."""
    steps: set[object] = set()

    def trace(frame, event, _):
        file = frame.f_code.co_filename
        if not any(f"/{package}/" in file for package in _PACKAGES):
            return None
        last = [0]

        def lines(frame, event, _):
            steps.add((file, last[0], frame.f_lineno, event))
            last[0] = frame.f_lineno
            return lines

        return lines

    sys.settrace(trace)
    try:
        target.check(data)
    except Exception as error:  # noqa: BLE001 - a find of its own
        steps.add((type(error).__name__,))
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    main()
