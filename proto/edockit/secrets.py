"""Secrets that a program needs to work: PINs and passphrases, from private files alone.

Never from the command line (others see it), the settings file (it is copied and shown) or the
environment (children inherit it): a file of mode 0600 of this user, or a credential that systemd
hands to the service (``LoadCredential=``, ``LoadCredentialEncrypted=``; systemd.exec(5)).
"""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edoccore.errors import DataFolderError, KeyUnusableError
from edockit import files

MAX_SECRET_BYTES = 1024
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"  # set by systemd; names a folder, is no secret
_PR_SET_DUMPABLE = 4  # linux/prctl.h


class Secret(Protocol):
    """A secret that is read when it is needed."""

    def path(self) -> Path | None:
        """The file that it is in; None: it is asked for."""

    def read_text(self) -> str:
        """Reads it.

        Raises:
            KeyUnusableError: It cannot be had.
        """


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where a secret lies; reading it each time lets an operator correct it in service.

    Attributes:
        what: The secret in words, for messages: ``PIN of the seal's token``.
        file: A private file; None: the credential.
        credential: Name under which systemd may hand it over.
        setting: Key of the setting that names the file, for advice.
    """

    what: str
    file: Path | None
    credential: str
    setting: str

    def path(self) -> Path | None:
        """The file to read; None when there is neither file nor credential."""
        if self.file is not None:
            return self.file
        folder = os.environ.get(CREDENTIALS_VARIABLE)
        found = Path(folder) / self.credential if folder else None
        return found if found is not None and found.exists() else None

    def is_there(self) -> bool:
        """Whether a file is named or a credential was handed over."""
        return self.path() is not None

    def read(self) -> bytes:
        """Reads the secret: all bytes of the file but one line end behind them.

        Raises:
            KeyUnusableError: It is missing, open to others, empty or longer than 1024 bytes.
        """
        path = self.path()
        if path is None:
            raise KeyUnusableError(
                f"The {self.what} is in no file that this node knows of.",
                hint=f"Write it to a file of mode 600 and name that in the setting "
                f"{self.setting}, or have systemd load the credential {self.credential}.",
            )
        self._check(path)
        try:
            with path.open("rb") as file:
                secret = file.read(MAX_SECRET_BYTES + 2)
        except OSError as error:
            raise KeyUnusableError(
                f"The {self.what} in {path} cannot be read: {error.strerror}.",
                hint="Check the path and who owns it.",
                path=str(path),
            ) from error
        secret = secret.removesuffix(b"\n").removesuffix(b"\r")
        if not secret or len(secret) > MAX_SECRET_BYTES:
            raise KeyUnusableError(
                f"The {self.what} in {path} is empty or longer than {MAX_SECRET_BYTES} bytes.",
                hint="Write it to the file, alone, on one line.",
                path=str(path),
            )
        return secret

    def read_text(self) -> str:
        """Reads the secret as text.

        Raises:
            KeyUnusableError: As ``read``; or it is no UTF-8.
        """
        try:
            return self.read().decode()
        except UnicodeDecodeError as error:
            raise KeyUnusableError(
                f"The {self.what} in {self.path()} is no text.", hint="Write it as UTF-8."
            ) from error

    def _check(self, path: Path) -> None:
        # What systemd hands over is closed to others by an access list, which shows as group bits.
        folder = os.environ.get(CREDENTIALS_VARIABLE)
        if folder and path.parent == Path(folder):
            return
        try:
            files.check_private(path)
        except DataFolderError as error:
            raise KeyUnusableError(
                f"The {self.what} should be in the file {path}, which is a folder.",
                hint="Name the file itself.",
                path=str(path),
            ) from error


def keep_out_of_dumps() -> None:
    """Keeps the memory of this process out of core dumps and from other processes of the user.

    Children that change their program start anew without it. On systems other than Linux only
    core files are turned off.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
