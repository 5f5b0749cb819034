"""Where passphrases come from: a private file, a credential of systemd, else the terminal.

Never the command line or the environment, which others see.
"""

import getpass
import sys
from pathlib import Path

from edoccore.errors import RequestInvalidError
from edockit.language import _, marked
from edockit.secrets import SecretPlace

CREDENTIAL = "edocregistry.passphrase"
MIN_CHARACTERS = 12


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
    place = SecretPlace(marked("passphrase of the officer"), file, CREDENTIAL, "--passphrase-file")
    return place.read() if place.is_there() else None


def _asked(question: str) -> bytes:
    if not sys.stdin.isatty():
        raise RequestInvalidError(
            "There is no terminal to ask for a passphrase.",
            hint="Name a private file with --passphrase-file.",
        )
    return getpass.getpass(f"{question} ", stream=sys.stderr).encode("utf-8")
