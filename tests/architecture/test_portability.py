"""Nothing in the project ties it to one machine, one package index or one mirror."""

import re

from tests.architecture.repository import ROOT, files

# Written in pieces, so that this file does not hold what it looks for.
HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "debian" + ".org",
    "crates" + ".io",
    "golang" + ".org",
    "docker" + ".io",
    "ghcr" + ".io",
    "quay" + ".io",
]
MACHINE = [
    r"/wo" + r"rk/",
    r"/ro" + r"ot/",
    r"/ho" + r"me/\w",
    r"/opt/py" + "pi",
    r"/opt/wh" + "eels",
]
HOST = re.compile("|".join(map(re.escape, HOSTS)).encode(), re.IGNORECASE)
PATH = re.compile(rb"(?<![\w.$}-])(?:" + "|".join(MACHINE).encode() + rb")")
# Compressed bytes spell anything sooner or later; only text is judged.
BINARY = {".pdf", ".zip", ".png", ".docx", ".odt", ".der", ".p12"}


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert _found(HOST) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert _found(PATH) == []


def _found(pattern: re.Pattern[bytes]) -> list[str]:
    """Returns "file:line: match" of every hit."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {hit.group().decode()}"
        for path in files()
        if path.suffix not in BINARY
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
        if (hit := pattern.search(line))
    ]
