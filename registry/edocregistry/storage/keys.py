"""The private keys of the registry: files in its data folder, mode 0600, checked when read.

``officers/root-1.pem`` and so on belong to the officers and are to be moved away; ``keys/`` holds
what the registry needs at work: ``identity.pem`` (who exists; only when this machine publishes by
itself), ``online.pem`` (endpoints, revocations, snapshot, timestamp), ``issuing-ca.pem`` with its
certificate, and the registry's own seal and TLS keys, named by their certificates. A key that the
next root is to name lies beside the one in force, as ``online.next.pem``; which of the two signs
is what the root in force says, so nothing has to be switched at the moment it is replaced.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Root

from edoccore.directory import layout
from edoccore.directory.transparency import origin_of
from edoccore.errors import KeyUnusableError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.keys import SoftwareSigner
from edoccore.identity.request import SealRequest
from edoccore.signing.notes import Kind, NoteSigner
from edockit import certificates, files
from edockit.certificates import RevokedCertificate
from edocregistry.domain.model import Agency, Revocation
from edocregistry.domain.publication import Signers

IDENTITY, ONLINE, ISSUING_CA = "identity", "online", "issuing-ca"
LOG = "log"  # Ed25519, of the log's checkpoints
SEAL, TLS = "seal", "tls"  # followed by the digest of the certificate
CLOCK_TOLERANCE = timedelta(minutes=5)  # certificates begin a little early for clocks behind ours
CA_LIFE = timedelta(days=3650)


class KeyFiles:
    """The keys of one registry."""

    def __init__(self, keys: Path, officers: Path) -> None:
        self._keys = keys
        self._officers = officers

    def make_officers(self, count: int) -> list[Signer]:
        """Makes the root keys, one file for each officer."""
        paths = [self._officers / f"root-{number}.pem" for number in range(1, count + 1)]
        return [_make_signer(path) for path in paths]

    def officer_files(self) -> list[Path]:
        """Root keys that still lie on this machine."""
        return sorted(self._officers.glob("root-*.pem"))

    def make_signers(self) -> Signers:
        """Makes the keys of the other roles."""
        return Signers(
            identity=_make_signer(self._path(IDENTITY)), online=_make_signer(self._path(ONLINE))
        )

    def signers(self, root: Root) -> Signers:
        """Reads the keys that a root names; those of the identity may be elsewhere.

        Raises:
            KeyUnusableError: A key is open to others or damaged, or the online key is not here.
        """
        online = self._named_by(root, layout.SNAPSHOT, ONLINE)
        if online is None:
            raise KeyUnusableError(
                "The online key that the root names is not on this machine.",
                hint="Restore it from a backup, or have the officers replace it: "
                "edocregistry draft --new-online-key --out FILE",
                path=str(self._path(ONLINE)),
            )
        alone = root.roles[layout.TARGETS].threshold == 1
        identity = self._named_by(root, layout.TARGETS, IDENTITY) if alone else None
        return Signers(identity=identity, online=online)

    def make_next(self, name: str) -> Signer:
        """Makes the key that the next root is to name; one made before that is lost."""
        return _make_signer(self._next(name))

    def settle(self, root: Root) -> None:
        """Removes what the root in force no longer names: replaced keys, given up ones."""
        for name, role in ((ONLINE, layout.SNAPSHOT), (IDENTITY, layout.TARGETS)):
            current, following = self._path(name), self._next(name)
            keyids = root.roles[role].keyids
            if following.exists() and _read_signer(following).public_key.keyid in keyids:
                os.replace(following, current)
            elif current.exists() and _read_signer(current).public_key.keyid not in keyids:
                current.unlink()
        files.fsync_folder(self._keys)

    def make_log_key(self) -> None:
        """Makes the next key of the log; it signs once the directory lists it.

        A log that may have lost its end is not continued under its key: whoever saw that end
        would have proof that the registry keeps two logs.
        """
        key = Ed25519PrivateKey.generate()
        files.write_file_atomic(self._next(LOG), certificates.key_pem(key))

    def log_signers(self, network: str) -> list[NoteSigner]:
        """The keys of the log on this machine, the newest first.

        Raises:
            KeyUnusableError: One is open to others or damaged.
        """
        paths = [path for path in (self._next(LOG), self._path(LOG)) if path.exists()]
        return [NoteSigner(origin_of(network), Kind.NOTE, _log_key(path)) for path in paths]

    def end_log_key(self) -> None:
        """Removes the key of a log that may have lost its end, so that it never signs again."""
        self._path(LOG).unlink(missing_ok=True)
        files.fsync_folder(self._keys)

    def settle_log_key(self) -> None:
        """Puts the next key of the log in the place of the one before, which ends."""
        if self._next(LOG).exists():
            files.rename_file(self._next(LOG), self._path(LOG))

    def _named_by(self, root: Root, role: str, name: str) -> Signer | None:
        for path in (self._path(name), self._next(name)):
            if path.exists():
                signer = _read_signer(path)
                if signer.public_key.keyid in root.roles[role].keyids:
                    return signer
        return None

    def make_authority(self, name: str, now: datetime) -> None:
        """Makes the CA that issues seal certificates.

        Args:
            name: In its certificate; no two authorities of a network have the same.
            now: It begins here.
        """
        key = certificates.new_private_key()
        certificate = certificates.new_ca(
            key,
            name=name,
            not_before=now - CLOCK_TOLERANCE,
            not_after=now + CA_LIFE,
        )
        certificates.save_private_key(self._path(ISSUING_CA), key)
        files.write_file_atomic(self._certificate_path(ISSUING_CA), certificate)

    def authority(self, *, crl_url: str, life: timedelta) -> "FileAuthority":
        """Reads the CA that issues now.

        Raises:
            KeyUnusableError: Key or certificate is missing, open to others or damaged.
        """
        certificate = _read(self._certificate_path(ISSUING_CA))
        named = self._named(ISSUING_CA, certificate)
        key = named if named.exists() else self._path(ISSUING_CA)
        return FileAuthority(key, certificate, crl_url=crl_url, life=life)

    def retired_authorities(self, *, crl_url: str, life: timedelta) -> list["FileAuthority"]:
        """The CAs before the one that issues now, oldest first; they only sign their CRLs."""
        current = _read(self._certificate_path(ISSUING_CA))
        found = [_read(path) for path in self._keys.glob(f"{ISSUING_CA}-*.der")]
        older = [item for item in found if _begins(item) < _begins(current)]
        return [
            FileAuthority(self._named(ISSUING_CA, item), item, crl_url=crl_url, life=life)
            for item in sorted(older, key=_begins)
        ]

    def rotate_authority(self, network: str, now: datetime) -> bytes:
        """Puts a new CA in the place of the one that issues; returns its certificate, DER.

        The new certificate in ``issuing-ca.der`` is what counts and is written last, so a crash
        leaves the old CA or the new one in force, each with its key.

        Raises:
            DiskFullError, StorageFailedError: The disk failed; the old one is in force.
        """
        old = _read(self._certificate_path(ISSUING_CA))
        old_key = self._named(ISSUING_CA, old)
        if not old_key.exists():
            key = certificates.load_private_key(self._path(ISSUING_CA), certificate=old)
            certificates.save_private_key(old_key, key)
        files.write_file_atomic(old_key.with_suffix(".der"), old)
        key = certificates.new_private_key()
        number = len(list(self._keys.glob(f"{ISSUING_CA}-*.der"))) + 1
        new = certificates.new_ca(
            key,
            name=f"Seals of {network} {number}",
            not_before=now - CLOCK_TOLERANCE,
            not_after=now + CA_LIFE,
        )
        new_key = self._named(ISSUING_CA, new)
        certificates.save_private_key(new_key, key)
        files.write_file_atomic(new_key.with_suffix(".der"), new)
        files.write_file_atomic(self._certificate_path(ISSUING_CA), new)
        self._path(ISSUING_CA).unlink(missing_ok=True)
        return new

    def make_seal(self, code: str, issue: Callable[[bytes], bytes]) -> bytes:
        """Makes the registry's own seal key and returns its certificate, DER.

        Args:
            code: Of the registry.
            issue: Takes a certificate request (DER), gives the certificate (DER).
        """
        key = certificates.new_private_key()
        certificate = issue(certificates.seal_request(key, code))
        certificates.save_private_key(self._named(SEAL, certificate), key)
        return certificate

    def seal_signer(self, certificate: bytes) -> SoftwareSigner:
        """Reads the registry's own seal key.

        Args:
            certificate: Its certificate, DER.

        Raises:
            KeyUnusableError: The key is missing, open to others or of another certificate.
        """
        path = self._named(SEAL, certificate)
        key = certificates.load_private_key(path, certificate=certificate)
        return SoftwareSigner(key, x509.load_der_x509_certificate(certificate))

    def make_tls(self, *, code: str, server_name: str, now: datetime, life: timedelta) -> bytes:
        """Makes a TLS key with its self-signed certificate and returns that, DER."""
        key = certificates.new_private_key()
        certificate = certificates.self_signed_tls(
            key,
            common_name=code,
            dns_name=server_name,
            not_before=now - CLOCK_TOLERANCE,
            not_after=now + life,
        )
        certificates.save_private_key(self._named(TLS, certificate), key)
        return certificate

    def tls_key(self, certificate: bytes) -> bytes:
        """Reads the key of a TLS certificate (DER), PEM.

        Raises:
            KeyUnusableError: It is missing, open to others or damaged.
        """
        path = self._named(TLS, certificate)
        key = certificates.load_private_key(path, certificate=certificate)
        return certificates.key_pem(key)

    def present(self) -> list[str]:
        """Names of all private keys on this machine, as paths below the data folder."""
        found = [*self._keys.glob("*.pem"), *self._officers.glob("*.pem")]
        return sorted(f"{path.parent.name}/{path.name}" for path in found)

    def _path(self, name: str) -> Path:
        return self._keys / f"{name}.pem"

    def _next(self, name: str) -> Path:
        return self._keys / f"{name}.next.pem"

    def _certificate_path(self, name: str) -> Path:
        return self._keys / f"{name}.der"

    def _named(self, kind: str, certificate: bytes) -> Path:
        return self._path(f"{kind}-{certificate_digest(certificate)[:16]}")


class FileAuthority:
    """The issuing CA with its key in a file; the key is in memory only while it signs."""

    def __init__(self, key: Path, certificate: bytes, *, crl_url: str, life: timedelta) -> None:
        """Takes the path of the key and the certificate (DER).

        Args:
            key: PEM file.
            certificate: Of the CA.
            crl_url: Goes into every certificate, because verifiers refuse those without one.
            life: Of a seal certificate.
        """
        self._key = key
        self._certificate = certificate
        self._crl_url = crl_url
        self._life = life

    @property
    def certificate(self) -> bytes:
        """Certificate of the CA, DER."""
        return self._certificate

    def issue(self, request: SealRequest, agency: Agency, now: datetime) -> bytes:
        """Issues the certificate of a seal key, or a pair, DER; never one that outlives the CA.

        Raises:
            KeyUnusableError: Request or CA key cannot be used.
        """
        ends = x509.load_der_x509_certificate(self._certificate).not_valid_after_utc
        return certificates.issue_seal(
            certificates.load_private_key(self._key, certificate=self._certificate),
            self._certificate,
            request,
            agency_code=agency.code,
            organisation=agency.name,
            not_before=now - CLOCK_TOLERANCE,
            not_after=min(now + self._life, ends),
            crl_url=self._crl_url,
        )

    def make_crl(self, revoked: Sequence[Revocation], *, number: int, now: datetime) -> bytes:
        """Builds the CRL, DER.

        Raises:
            KeyUnusableError: The CA key cannot be used.
        """
        key = certificates.load_private_key(self._key, certificate=self._certificate)
        lines = [
            RevokedCertificate(item.serial, item.revoked_at)
            for item in revoked
            if item.serial is not None
        ]
        return certificates.build_crl(key, self._certificate, lines, number=number, this_update=now)


def _log_key(path: Path) -> Ed25519PrivateKey:
    key = certificates.load_any_private_key(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusableError(f"the key in {path} is not one of a log", path=str(path))
    return key


def _begins(certificate: bytes) -> datetime:
    return x509.load_der_x509_certificate(certificate).not_valid_before_utc


def _make_signer(path: Path) -> Signer:
    key = certificates.new_private_key()
    certificates.save_private_key(path, key)
    return CryptoSigner(key)


def _read_signer(path: Path) -> Signer:
    return CryptoSigner(certificates.load_private_key(path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyUnusableError(
            f"{path.name} cannot be read: {error.strerror}",
            hint="Restore it from the backup of the data folder.",
            path=str(path),
        ) from error
