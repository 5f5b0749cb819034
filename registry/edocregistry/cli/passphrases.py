"""Where passphrases come from: a private file, a credential of systemd, else the terminal.

Never the command line or the environment, which others see.
"""

import getpass
import os
import sys
from pathlib import Path

from edoccore.errors import KeyUnusableError, RequestInvalidError
from edockit import files
from edockit.language import _

CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"  # set by systemd (systemd.exec(5)); no secret itself
CREDENTIAL = "edocregistry.passphrase"
MIN_CHARACTERS = 12
MAX_BYTES = 1024


def read_passphrase(file: Path | None, what: str) -> bytes:
    """Reads the passphrase of something that exists.

    Args:
        file: As the option named it.
        what: What it opens, for the question.

    Raises:
        KeyUnusableError: The file is missing, open to others, empty or too long.
        RequestInvalidError: There is no file and no terminal to ask at.
    """
    found = _from_file(file)
    return found if found is not None else _asked(_("Passphrase of {what}:", what=what))


def new_passphrase(file: Path | None, what: str) -> bytes:
    """Reads a passphrase that is to protect something new; at the terminal twice.

    Raises:
        RequestInvalidError: It is too short, or the two differ, or there is no terminal.
        KeyUnusableError: As ``read_passphrase``.
    """
    found = _from_file(file)
    if found is None:
        found = _asked(_("New passphrase of {what}:", what=what))
        if _asked(_("The same once more:")) != found:
            raise RequestInvalidError("The two passphrases differ.", hint="Start again.")
    if len(found) < MIN_CHARACTERS:
        raise RequestInvalidError(
            f"A passphrase has {MIN_CHARACTERS} characters at least.",
            hint="Four or five random words are good.",
        )
    return found


def _from_file(file: Path | None) -> bytes | None:
    if file is not None:
        files.check_private(file)
        return _content(file)
    folder = os.environ.get(CREDENTIALS_VARIABLE)
    if folder and (credential := Path(folder) / CREDENTIAL).is_file():
        return _content(credential)
    return None


def _content(path: Path) -> bytes:
    with files.disk_errors(path), path.open("rb") as opened:
        secret = opened.read(MAX_BYTES + 2).removesuffix(b"\n").removesuffix(b"\r")
    if not 1 <= len(secret) <= MAX_BYTES:
        raise KeyUnusableError(
            f"The passphrase in {path} is empty or longer than {MAX_BYTES} bytes.",
            hint="Write it to the file, alone, on one line.",
            path=str(path),
        )
    return secret


def _asked(question: str) -> bytes:
    if not sys.stdin.isatty():
        raise RequestInvalidError(
            "There is no terminal to ask for a passphrase.",
            hint="Name a private file with --passphrase-file.",
        )
    return getpass.getpass(f"{question} ", stream=sys.stderr).encode("utf-8")
