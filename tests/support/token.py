"""Real tokens: SoftHSM2 in a folder of the test, behind a module that can delay and hide it."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which

import pytest
from msgspec.structs import replace

from edoccore.directory.layout import SealListing, to_base64
from edockit.certificates import certificate_pem
from edockit.secrets import SecretPlace
from edockit.token_messages import TokenPlace
from edocnode.settings import SealTokenSettings
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from edocnode.storage.seal_key import key_places, new_seal_request
from tests.support.nation import Nation
from tests.support.nodes import TestNode

SOURCE = Path(__file__).with_name("token_proxy.c")
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
PIN = "48151623"
TOKEN = "edoc seal"
KEY = "seal 2026"
FINAL_TRY, LOCKED = 0x20000, 0x40000  # CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED


@cache
def module() -> Path | None:
    """The module of SoftHSM2, when all that is needed is here."""
    if which("softhsm2-util") is None or which("gcc") is None:
        return None
    return next((Path(path) for path in MODULES if Path(path).exists()), None)


@dataclass
class SoftToken:
    """A token of its own, with PIN file and control file; needs its environment in children."""

    folder: Path
    proxy: Path

    @classmethod
    def make(cls, folder: Path, setenv: Callable[[str, str], None]) -> "SoftToken":
        """Makes the token; processes started from now on find it by what ``setenv`` sets."""
        real = module()
        if real is None:
            if os.environ.get("CI") == "true":
                pytest.fail("softhsm2 or gcc is missing: deploy/install-packages")
            pytest.skip("softhsm2 or gcc is missing: deploy/install-packages")
        tokens = folder / "tokens"
        tokens.mkdir(parents=True)
        (folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        setenv("TEST_TOKEN_MODULE", str(real))
        setenv("TEST_TOKEN_CONTROL", str(folder / "control"))
        init = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN]
        subprocess.run(
            [*init, "--pin", PIN, "--so-pin", "00000000"], check=True, capture_output=True
        )
        proxy = folder / "proxy.so"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-o", str(proxy), str(SOURCE), "-ldl"], check=True
        )
        made = cls(folder, proxy)
        made.write_pin(PIN)
        return made

    @property
    def pin_file(self) -> Path:
        """Where the PIN lies."""
        return self.folder / "pin"

    def write_pin(self, pin: str) -> None:
        """Writes the PIN file."""
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def place(self, *, key: str = KEY, token: str = TOKEN) -> TokenPlace:
        """Where a key in it is."""
        pin = SecretPlace("PIN of the seal's token", self.pin_file, "edocnode-seal-pin", "pin_file")
        return TokenPlace(self.proxy, token, key, pin, self.folder / "pin.refused")

    def settings(self, key: str = KEY) -> SealTokenSettings:
        """The setting of a node with its key in it."""
        return SealTokenSettings(
            module=str(self.proxy), token=TOKEN, key=key, pin_file=str(self.pin_file)
        )

    def control(self, word: str, number: int = 0) -> None:
        """Tells the module what to do: delay MS, hang MS, gone, flags BITS, or anything else."""
        part = self.folder / "control.part"
        part.write_text(f"{word} {number}\n")
        part.replace(self.folder / "control")

    def log(self) -> list[str]:
        """What was asked of the module: login, sign."""
        path = self.folder / "control.log"
        return path.read_text().split() if path.exists() else []


def give_token(
    nation: Nation, node: TestNode, token: SoftToken, others: Sequence[TestNode]
) -> None:
    """Replaces the seal of a node that is stopped by one whose key is made in a token.

    Args:
        others: Nodes that learn of it at their next start.
    """
    settings = node.settings.model_copy(update={"seal_token": token.settings(node.agency.code)})
    folder = DataFolder(node.data, key_places(settings, node.data))
    agency, entry = node.agency, nation.entries[node.agency.code]
    certificate = nation.issue_seal(new_seal_request(folder, "edocnode"), agency.code, agency.name)
    listing = SealListing(certificate=to_base64(certificate))
    nation.entries[agency.code] = replace(entry, seals=(*entry.seals, listing))
    chain = [certificate, agency.authority]
    folder.save_seal_chain(b"".join(certificate_pem(item) for item in chain))
    folder.seal_key_file.unlink()
    node.settings = settings
    directory = nation.directory()
    for each in (node, *others):
        DirectoryFiles(DataFolder(each.data).directory, nation.anchor).save(directory)
