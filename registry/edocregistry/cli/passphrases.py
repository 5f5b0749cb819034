"""Where passphrases and PINs come from: a private file, a credential of systemd, the terminal.

Never the command line or the environment, which others see.
"""

import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edoccore.errors import RequestInvalidError
from edockit.language import _, marked
from edockit.secrets import Secret, SecretPlace

if TYPE_CHECKING:
    from edocregistry.storage.officer_tokens import TokenKeyFile

CREDENTIAL = "edocregistry.passphrase"
PIN_CREDENTIAL = "edocregistry.pin"
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


def passphrase_of(file: Path | None) -> Callable[[Path], bytes]:
    """Gives the passphrase of key files; see ``read_passphrase``."""
    return lambda path: read_passphrase(file, str(path))


class AskedPin:
    """The PIN of a token, asked for once, when it is needed."""

    def __init__(self, token: str) -> None:
        """Takes the label of the token."""
        self._token = token
        self._pin = ""

    def path(self) -> Path | None:
        """It is in no file."""
        return None

    def read_text(self) -> str:
        """Asks at the terminal.

        Raises:
            RequestInvalidError: There is none.
        """
        if not self._pin:
            self._pin = _asked(_("PIN of the token '{token}':", token=self._token)).decode()
        return self._pin


def pin_of(file: Path | None) -> "Callable[[TokenKeyFile], Secret]":
    """Gives the PIN of tokens: from the file, the credential, or the terminal."""
    what = marked("PIN of the officer's token")
    place = SecretPlace(what, file, PIN_CREDENTIAL, "--pin-file")
    return lambda found: place if place.is_there() else AskedPin(found.token)


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
            "There is no terminal to ask for a passphrase or PIN.",
            hint="Name a private file with --passphrase-file, of a token with --pin-file.",
        )
    return getpass.getpass(f"{question} ", stream=sys.stderr).encode("utf-8")
