"""The TLS certificates of a node on the disk and in memory: the current one and the next.

A change is two renames, certificate first, key second. Whatever moment a crash comes at, the
current certificate has its key: under its own name, or still under the name of the next.
"""

import json
from datetime import datetime
from hashlib import sha256

from cryptography import x509

from edoccore.signing.statements import parse_time, time_text
from edockit.certificates import (
    certificate_der,
    certificate_pem,
    key_pem,
    new_private_key,
    self_signed_tls,
)
from edockit.files import write_file_atomic
from edocnode.domain.key_life import BEFORE, TLS_LIFE, TlsKey
from edocnode.storage.folder import CURRENT, NEXT, TLS_CURRENT, TLS_NEXT, DataFolder, TlsPair

LISTED_FILE = "listed.json"  # since when the directory has which key; lost, the wait begins anew


class TlsCertificates:
    """The certificate in force and its successor as they are on the disk; no key is read."""

    def __init__(self, folder: DataFolder, listed: "ListedSince") -> None:
        """Takes the folder; nothing is read yet."""
        self._folder = folder
        self._listed = listed

    def current(self) -> TlsKey:
        """The certificate in use."""
        return tls_key(certificate_der(self._folder.tls_chain(CURRENT)), self._listed)

    def following(self) -> TlsKey | None:
        """The certificate that comes next."""
        if not self._folder.has_tls_pair(NEXT):
            return None
        return tls_key(certificate_der(self._folder.tls_chain(NEXT)), self._listed)


def tls_key(der: bytes, listed: "ListedSince") -> TlsKey:
    """What ``domain.key_life`` goes by, of a certificate (DER)."""
    certificate, digest = x509.load_der_x509_certificate(der), sha256(der).hexdigest()
    return TlsKey(
        sha256=digest,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        listed_since=listed.since(digest),
    )


class TlsKeys:
    """The pair in force and its successor; see ``domain.key_life.TlsKeyStore``."""

    def __init__(
        self, folder: DataFolder, listed: "ListedSince", *, agency: str, server_name: str
    ) -> None:
        """Reads both; finishes a change that was cut off.

        Raises:
            KeyUnusableError: The current pair cannot be used.
        """
        self._folder = folder
        self._agency = agency
        self._server_name = server_name
        self._listed = listed
        folder.finish_change(TLS_NEXT, TLS_CURRENT)
        self.pair = folder.tls_pair(CURRENT)
        self._next = folder.tls_pair(NEXT) if folder.has_tls_pair(NEXT) else None

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """What the endpoint statement lists, DER: current, then next."""
        pairs = (self.pair, self._next)
        return tuple(pair.certificate for pair in pairs if pair is not None)

    def current(self) -> TlsKey:
        """The certificate in use."""
        return tls_key(self.pair.certificate, self._listed)

    def following(self) -> TlsKey | None:
        """The certificate that comes next."""
        return None if self._next is None else tls_key(self._next.certificate, self._listed)

    def note_listed(self, sha256: str, at: datetime) -> None:
        """Remembers when a certificate was first seen in the directory."""
        self._listed.note(sha256, at)

    def make_next(self, now: datetime) -> None:
        """Makes a new next pair in place of the one that is there."""
        self._folder.drop_pair(TLS_NEXT)
        self._next = new_tls_pair(self._agency, self._server_name, now)
        self._folder.save_tls_pair(NEXT, self._next)

    def take_over(self) -> None:
        """Puts the next pair in the place of the current one."""
        assert self._next is not None
        self._folder.change_pair(TLS_NEXT, TLS_CURRENT)
        self.pair, self._next = self._next, None


class ListedSince:
    """Since when the directory in force has each key of this node."""

    def __init__(self, folder: DataFolder) -> None:
        """Reads what was noted; a damaged file counts as none."""
        self._file = folder.keys / LISTED_FILE
        try:
            noted = json.loads(self._file.read_bytes())
            self._since = {digest: parse_time(time) for digest, time in noted.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self._since = {}

    def since(self, sha256: str) -> datetime | None:
        """When a certificate was first seen there."""
        return self._since.get(sha256)

    def note(self, sha256: str, at: datetime) -> None:
        """Notes a certificate, once."""
        if sha256 not in self._since:
            self._since[sha256] = at
            times = {digest: time_text(since) for digest, since in self._since.items()}
            write_file_atomic(self._file, json.dumps(times, indent=2).encode() + b"\n")


def new_tls_pair(agency: str, server_name: str, now: datetime) -> TlsPair:
    """Makes a TLS key with its certificate."""
    key = new_private_key()
    der = self_signed_tls(
        key,
        common_name=agency,
        dns_name=server_name,
        not_before=now - BEFORE,
        not_after=now + TLS_LIFE,
    )
    return TlsPair(certificate_pem(der), key_pem(key))
