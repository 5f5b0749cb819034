"""The trust stores: folders of roots with a kind and a name, and the rules that tell signers apart.

Read from the disk, and again when a folder has changed. Nothing is fetched.
"""

import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from asn1crypto import crl, pem, x509

from edoccore.errors import SettingsError
from edocnode.domain.signatures import SignerKind
from edocnode.signatures.trust_settings import (
    CERTIFICATE_ENDINGS,
    StoreSettings,
    TrustSettings,
)

OWN_RULES = Path(__file__).with_name("signer_rules.toml")
_MAX_FILE_BYTES = 64 * 1024 * 1024  # of a revocation list; national ones have some ten MiB

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignerRule:
    """One rule; see ``signer_rules.toml``."""

    kind: SignerKind
    attribute: str
    begins: tuple[str, ...] = ()
    same_as: str = ""

    def fits(self, subject: dict[str, list[str]]) -> bool:
        """Whether a subject, its texts by object identifier, is of this kind."""
        texts = [_folded(text) for text in subject.get(self.attribute, ())]
        if self.same_as:
            return bool({_folded(text) for text in subject.get(self.same_as, ())} & set(texts))
        begins = tuple(map(_folded, self.begins))
        return any(text.startswith(begins) for text in texts) if begins else bool(texts)


@dataclass(frozen=True, slots=True)
class Trust:
    """All that is trusted.

    Attributes:
        stores: The store that vouches for a root, by SHA-256 of the root.
        roots: Anchors for signers; ``timestamp_roots``: for timestamps.
        intermediates: Other certificates that lay in the folders.
    """

    stores: dict[bytes, StoreSettings]
    roots: tuple[Any, ...]
    timestamp_roots: tuple[Any, ...]
    intermediates: tuple[Any, ...]
    crls: tuple[Any, ...]
    rules: tuple[SignerRule, ...]
    strict: bool

    def kind_of(self, subject: dict[str, list[str]], root: bytes) -> SignerKind:
        """Whether a signer is a person or an organisation.

        Args:
            root: SHA-256 of the root behind its certificate; empty: none is trusted.
        """
        store = self.stores.get(root)
        if store is not None and store.kind in ("personal", "organisation"):
            return SignerKind(store.kind)
        fitting = (rule.kind for rule in self.rules if rule.fits(subject))
        return next(fitting, SignerKind.UNKNOWN)


@dataclass(slots=True)
class TrustShelf:
    """The trust in force; read again when a file was added, changed or removed."""

    settings: TrustSettings
    _seen: tuple[Any, ...] = ()
    _trust: Trust | None = field(default=None)

    def current(self) -> Trust:
        """The trust in force.

        Raises:
            SettingsError: A folder is missing, or the rules cannot be read.
        """
        seen = tuple(_fingerprint(self.settings))
        if self._trust is None or seen != self._seen:
            self._trust, self._seen = read_trust(self.settings), seen
        return self._trust


def read_trust(settings: TrustSettings) -> Trust:
    """Reads all trust stores, revocation lists and rules.

    Raises:
        SettingsError: A folder is missing, or the rules cannot be read.
    """
    stores: dict[bytes, StoreSettings] = {}
    roots: list[Any] = []
    timestamp_roots: list[Any] = []
    intermediates: list[Any] = []
    for store in settings.stores:
        for certificate in _certificates(store):
            if certificate.self_issued:
                stores.setdefault(certificate.sha256, store)
                for_time = store.kind in ("timestamp", "any")
                timestamp_roots += [certificate] * for_time
                roots += [certificate] * (store.kind != "timestamp")
            else:
                intermediates.append(certificate)
    return Trust(
        stores=stores,
        roots=tuple(roots),
        timestamp_roots=tuple(timestamp_roots),
        intermediates=tuple(intermediates),
        crls=tuple(_crls(settings.crl_folder)),
        rules=read_rules(Path(settings.signer_rules) if settings.signer_rules else OWN_RULES),
        strict=settings.strict,
    )


def read_rules(path: Path) -> tuple[SignerRule, ...]:
    """Reads rules that tell signers apart.

    Raises:
        SettingsError: The file is missing or is not as ``signer_rules.toml``.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(
            SignerRule(
                kind=SignerKind(rule["kind"]),
                attribute=str(rule["attribute"]),
                begins=tuple(map(str, rule.get("begins", ()))),
                same_as=str(rule.get("same_as", "")),
            )
            for rule in table["rule"]
        )
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"The rules in {path} that tell persons from organisations cannot be read: {error}.",
            hint="Write them as in signer_rules.toml of this program, or leave signer_rules out.",
            key="signer_rules",
        ) from error


def _certificates(store: StoreSettings) -> Iterator[Any]:
    for path in _files(store.folder, CERTIFICATE_ENDINGS, key="trust_stores"):
        try:
            yield from [_certificate(der) for der in _pieces(path)]
        except (ValueError, TypeError) as error:
            log.warning(
                "trust_store.unreadable", path=str(path), store=store.name, cause=str(error)
            )


def _crls(folder: str) -> Iterator[Any]:
    for path in _files(folder, (".crl",), key="crl_folder") if folder else ():
        try:
            yield from [_list(der) for der in _pieces(path)]
        except (ValueError, TypeError) as error:
            log.warning("crl.unreadable", path=str(path), cause=str(error))


def _certificate(der: bytes) -> Any:  # noqa: ANN401 - asn1crypto is untyped
    """A certificate whose names can be read; asn1crypto by itself reads nothing before it must.

    Raises:
        ValueError, TypeError: These bytes are none.
    """
    certificate = x509.Certificate.load(der, strict=True)
    _ = (certificate.self_issued, certificate.subject.hashable, certificate.public_key.algorithm)
    return certificate


def _list(der: bytes) -> Any:  # noqa: ANN401
    """A revocation list whose issuer and times can be read.

    Raises:
        ValueError, TypeError: These bytes are none.
    """
    revoked = crl.CertificateList.load(der, strict=True)
    _ = (revoked.issuer.hashable, revoked["tbs_cert_list"]["next_update"].native)
    return revoked


def _files(folder: str, endings: Sequence[str], *, key: str) -> list[Path]:
    path = Path(folder)
    if not path.is_dir():
        raise SettingsError(
            f"The folder {path} is not there.",
            hint=f"Make it, or correct {key} in edocnode.toml.",
            key=key,
        )
    found = (each for each in path.iterdir() if each.suffix.lower() in endings)
    return sorted(each for each in found if each.stat().st_size <= _MAX_FILE_BYTES)


def _pieces(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    if pem.detect(content):
        yield from (der for _, _, der in pem.unarmor(content, multiple=True))
    else:
        yield content


def _fingerprint(settings: TrustSettings) -> Iterator[tuple[str, int, int]]:
    folders = [store.folder for store in settings.stores]
    for folder in [*folders, *filter(None, [settings.crl_folder])]:
        for path in _files(folder, (*CERTIFICATE_ENDINGS, ".crl"), key="trust_stores"):
            status = path.stat()
            yield str(path), status.st_mtime_ns, status.st_size


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
