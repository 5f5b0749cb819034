"""Checks an evidence file the way its VERIFY.md says, with sh, openssl and sha256sum alone."""

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from edoccore.errors import EdocError

INSTRUCTIONS = "VERIFY.md"
TIMEOUT_S = 60
_SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def has_tools() -> bool:
    """Tells whether the programs are there that VERIFY.md needs."""
    return all(shutil.which(name) for name in ("sh", "openssl", "sha256sum"))


def verify_by_hand(evidence: Path, folder: Path, root_sha256: str) -> list[str]:
    """Unpacks an evidence file and pastes the blocks of its VERIFY.md into a shell.

    Args:
        folder: Made, and left with what was unpacked.
        root_sha256: The fingerprint of the network, from elsewhere than the file.

    Returns:
        What the blocks printed.

    Raises:
        EdocError: A step did not hold; the message is what it printed.
    """
    with zipfile.ZipFile(evidence) as archive:
        archive.extractall(folder)
    text = (folder / INSTRUCTIONS).read_text(encoding="utf-8")
    script = f"ROOT={root_sha256}\n" + "\n".join(_SHELL_BLOCK.findall(text))
    done = subprocess.run(
        ["sh"],
        input=script,
        cwd=folder,
        env={
            **os.environ,
            "TMPDIR": str(folder.parent.absolute()),
        },  # its notes go when the folder goes
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode or "VALID" not in lines:
        raise EdocError(f"{INSTRUCTIONS} does not hold: {done.stdout}{done.stderr}".strip())
    return lines


def check_receipt(folder: Path) -> tuple[str, str]:
    """Checks the seal of the receipt with one openssl command.

    Returns:
        The command as a person types it in the unpacked folder, and what openssl said.

    Raises:
        EdocError: openssl refused the signature.
    """
    command = (
        "openssl dgst -sha256 -verify receipt.pem -signature receipt/seal.sig receipt/seal.json"
    )
    leaf = _leaf(folder / "receipt" / "seal.json")
    key = f"openssl x509 -inform DER -in certificates/{leaf}.der -pubkey -noout > receipt.pem"
    done = subprocess.run(
        ["sh", "-c", f"{key} && {command}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    said = f"{done.stdout}{done.stderr}".strip()
    if done.returncode:
        raise EdocError(f"openssl refuses the seal of the receipt: {said}")
    return command, said


def _leaf(seal: Path) -> str:
    """Hash of the certificate that a seal names first: the signer's own."""
    found = re.search(r'"certificates":\["([0-9a-f]{64})"', seal.read_text(encoding="utf-8"))
    if found is None:
        raise EdocError(f"{seal.name} of the receipt names no certificate")
    return found[1]
