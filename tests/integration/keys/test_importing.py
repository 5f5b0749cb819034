"""Keys of a certificate that was issued elsewhere: taken over whole, or the keys in use go on."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.directory.seals import ListedSeal
from edoccore.errors import KeyUnusableError, SealerStoppedError
from edockit.certificates import (
    is_encrypted,
    new_lattice_key,
    new_private_key,
    save_private_key,
)
from edockit.secrets import SecretPlace
from edocnode.app.evidence import known_directory
from edocnode.storage.folder import LATTICE_KEY, SEAL, DataFolder, KeyPlaces
from edocnode.storage.key_files import import_seal
from edocnode.storage.seal_key import seal_signer
from tests.support.nodes import TestNode, make_pair, running, utc_now
from tests.support.suites import give_pair, spread
from tests.support.token import SoftToken


@dataclass
class Issued:
    """A node with a pair in use, and another pair of it whose files lie elsewhere."""

    node: TestNode
    other: TestNode
    listed: ListedSeal
    key: Path
    lattice: Path

    def files(self) -> list[bytes]:
        """What the node seals with, as it lies on the disk."""
        folder = DataFolder(self.node.data)
        lattice = folder.key_file(SEAL, LATTICE_KEY)
        return [folder.seal_chain(), folder.seal_key_file.read_bytes(), lattice.read_bytes()]


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    nation, node, other = make_pair(tmp_path)
    give_pair(nation, node)
    agency = node.agency
    nation.replace_seal(agency.code, suite=2)
    assert agency.lattice_key is not None
    key, lattice = tmp_path / "issued.key", tmp_path / "issued.mldsa.key"
    save_private_key(key, agency.seal_key)
    save_private_key(lattice, agency.lattice_key)
    spread(nation, node, other)
    digest = sha256(agency.seal_certificate).hexdigest()
    usable = known_directory(DataFolder(node.data)).seals.current(agency.code, utc_now())
    [listed] = [item for item in usable if item.digests[0] == digest]
    return Issued(node, other, listed, key, lattice)


async def test_both_keys_of_a_pair_are_imported_under_the_passphrase_and_seal(
    issued: Issued, tmp_path: Path
) -> None:
    file = tmp_path / "passphrase"
    file.write_text("một-cụm-từ-không-đoán-được")
    file.chmod(0o600)
    folder = DataFolder(issued.node.data, KeyPlaces(passphrase=SecretPlace("", file, "", "")))
    import_seal(folder, issued.listed, issued.key, issued.lattice)
    assert is_encrypted(folder.seal_key_file)
    assert is_encrypted(folder.key_file(SEAL, LATTICE_KEY))
    signer = seal_signer(folder)
    assert (signer.suite, signer.certificate_digest) == (2, issued.listed.digests[0])
    issued.node.settings = issued.node.settings.model_copy(
        update={"key_passphrase_file": str(file)}
    )
    async with running(issued.node, issued.other):
        await issued.node.delivered(await issued.node.send(b"one", to=[issued.other.agency.code]))


@pytest.mark.parametrize("wrong", ["no first", "no second", "first", "second"])
def test_a_pair_that_lacks_a_key_or_has_another_s_leaves_the_keys_in_use(
    issued: Issued, tmp_path: Path, wrong: str
) -> None:
    key, lattice = tmp_path / "foreign.key", tmp_path / "foreign.mldsa.key"
    save_private_key(key, new_private_key())
    save_private_key(lattice, new_lattice_key())
    given: dict[str, tuple[Path | None, Path | None]] = {
        "no first": (None, issued.lattice),
        "no second": (issued.key, None),
        "first": (key, issued.lattice),
        "second": (issued.key, lattice),
    }
    before = issued.files()
    with pytest.raises(KeyUnusableError):
        import_seal(DataFolder(issued.node.data), issued.listed, *given[wrong])
    assert issued.files() == before
    assert seal_signer(DataFolder(issued.node.data)).suite == 2


def test_a_token_without_the_first_key_of_a_pair_leaves_the_keys_in_use(
    issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = SoftToken.make(tmp_path / "token", monkeypatch.setenv)
    folder = DataFolder(issued.node.data, KeyPlaces(token.place()))
    before = issued.files()
    with pytest.raises(SealerStoppedError):
        import_seal(folder, issued.listed, None, issued.lattice)
    assert issued.files() == before
