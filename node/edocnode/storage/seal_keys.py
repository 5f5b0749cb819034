"""The seal key of a node: the current one and the next, whose keys are always files.

A change is two or three renames, certificate first; a start finishes what a crash cut off.
"""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.identity.certificate import certificate_digest, certified_key
from edoccore.identity.keys import Signer
from edoccore.identity.request import SealRequest
from edoccore.identity.suites import Suite, is_at_least, suite_of
from edockit.certificates import certificate_pem, load_lattice_key, load_private_key
from edockit.files import write_file_atomic
from edocnode.domain.seal_life import SealKey
from edocnode.domain.sealing import SealingKey
from edocnode.storage.folder import (
    KEY,
    LATTICE_KEY,
    SEAL,
    SEAL_NEW,
    SEAL_NEXT,
    DataFolder,
    NodeIdentity,
)
from edocnode.storage.seal_key import new_seal_request, seal_signer
from edocnode.storage.tls_keys import ListedSince


class SealKeys:
    """The pair in force and its successor; see ``domain.seal_life.SealKeyStore``."""

    def __init__(self, folder: DataFolder, identity: NodeIdentity, listed: ListedSince) -> None:
        """Takes the folder; nothing is read yet."""
        self._folder = folder
        self._identity = identity
        self._listed = listed

    def finish_change(self) -> None:
        """Does the rest of a change that was cut off; at a start alone, by who has the folder."""
        for following in (SEAL_NEXT, SEAL_NEW):
            self._folder.finish_change(following, SEAL)

    def current(self) -> SealKey:
        """The certificate in use."""
        return self._key(self._folder.seal_chain())

    def following(self) -> SealKey | None:
        """The certificate that comes next."""
        path = self._folder.key_file(SEAL_NEXT, "pem")
        return self._key(path.read_bytes()) if path.exists() else None

    def note_listed(self, sha256: str, at: datetime) -> None:
        """Remembers when a certificate was first seen in the directory."""
        self._listed.note(sha256, at)

    def is_weaker(self) -> bool:
        """Whether the current one is of a weaker suite than the settings want."""
        return not is_at_least(self._suite(), self._folder.key_places.suite)

    def next_request(self) -> SealRequest:
        """What asks for the next key, which is made when there is none; never of a weaker suite."""
        suite = self._folder.key_places.suite if self.is_weaker() else self._suite()
        is_whole = self._folder.key_file(SEAL_NEXT, LATTICE_KEY).exists()
        if suite == Suite.ECDSA_P256_MLDSA65 and not is_whole:
            self._folder.drop_pair(SEAL_NEXT)  # made for suite 1: the registry may know it so
        return new_seal_request(self._folder, SEAL_NEXT, suite)

    def _suite(self) -> int:
        certificate = x509.load_pem_x509_certificates(self._folder.seal_chain())[0]
        return suite_of(certified_key(certificate))

    def keep_next(self, chain: list[bytes]) -> None:
        """Keeps the certificate of the next key with its issuers."""
        secret = self._folder.key_places.passphrase
        path = self._folder.key_file(SEAL_NEXT, KEY)
        load_private_key(path, certificate=chain[0], passphrase=secret)
        second = self._folder.key_file(SEAL_NEXT, LATTICE_KEY)
        if second.exists():
            load_lattice_key(second, certificate=chain[0], passphrase=secret)
        pem = b"".join(certificate_pem(item) for item in chain)
        write_file_atomic(self._folder.key_file(SEAL_NEXT, "pem"), pem)

    def drop_next(self) -> None:
        """Forgets the next key and its certificate."""
        self._folder.drop_pair(SEAL_NEXT)

    def take_over(self) -> None:
        """Puts the next pair in the place of the current one."""
        self._folder.change_pair(SEAL_NEXT, SEAL)

    def signer(self) -> tuple[Signer, SealingKey]:
        """What seals are made with now, from file or token; see ``seal_key``.

        Raises:
            KeyUnusableError: Key or certificate is missing, or they do not match.
        """
        certificates = x509.load_pem_x509_certificates(self._folder.seal_chain())
        chain = [item.public_bytes(Encoding.DER) for item in certificates]
        signer = seal_signer(self._folder)
        return signer, SealingKey(
            network=self._identity.network,
            agency=self._identity.agency,
            certificates=tuple(map(certificate_digest, chain)),
            suite=signer.suite,
        )

    def _key(self, chain: bytes) -> SealKey:
        certificate = x509.load_pem_x509_certificates(chain)[0]
        digest = certificate_digest(certificate.public_bytes(Encoding.DER))
        return SealKey(
            sha256=digest,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            listed_since=self._listed.since(digest),
        )
