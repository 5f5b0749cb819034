"""Judges an evidence file, without a network and without either node.

Trust comes from one fingerprint of a root file (``root``), or from the directory a node holds
(``known``), never from the file itself. The steps and their numbers are those of VERIFY.md; the
first that fails decides, except that all altered members are named.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from msgspec import UNSET

from edoccore.directory.layout import RetiredAuthority
from edoccore.directory.ownership import Ownership
from edoccore.directory.revocations import Revocations
from edoccore.directory.seals import ListedSeal, SealBook
from edoccore.directory.view import Directory
from edoccore.errors import EdocError, EvidenceInvalidError
from edoccore.signing.statements import Effect, Envelope, Receipt, parse_time, time_text
from edocnode.domain.timestamps import TimeProof
from edocnode.evidence import asic, links, reading
from edocnode.evidence.container import Container, invalid, open_container
from edocnode.evidence.directory_extract import (
    Extract,
    RoleFiles,
    fingerprints,
    read_extract,
)
from edocnode.evidence.lives import Lives, check_lives
from edocnode.evidence.manifest import (
    INSTRUCTIONS,
    MANIFEST,
    SIGNATURES,
    Manifest,
    all_digests,
)
from edocnode.evidence.members import NO_RECEIPT, SALT, derived_members
from edocnode.evidence.reading import CheckedStatement
from edocnode.evidence.times import TimeJudge, Witness, check_tokens
from edocnode.evidence.verdict import Finding, Verdict, VerdictKind

MAX_SKEW = timedelta(minutes=5)  # between the clocks of those who sealed and of who checks
_ROLE_FILE = "/file.json"


def verify(
    path: Path,
    *,
    root: str | None,
    now: datetime,
    known: Directory | None = None,
    time_anchors: Sequence[x509.Certificate] = (),
) -> Verdict:
    """Judges an evidence file.

    Args:
        path: The zip.
        root: SHA-256 of a root file of the network, lower hex, from another source than the file.
        now: Aware, UTC; nothing in the evidence may be later.
        known: A directory in hand; its roots are trusted like ``root``, its revocations and
            retired authorities count.
        time_anchors: Certificates of the timestamp authorities that are trusted.

    Returns:
        The verdict; ``NO_ANCHOR`` when neither ``root`` nor ``known`` is given.

    Raises:
        FileNotFoundError: There is no such file.
    """
    trusted = {root} if root else set()
    revocations = Revocations()
    if known is not None:
        trusted.update(_root_digests(known))
        revocations = known.revocations
    owners = () if known is None else (known.ownership,)
    books = () if known is None else (known.seals,)
    retired = () if known is None else known.info.retired_authorities
    reader = _Reader(
        roots=frozenset(trusted),
        revocations=revocations,
        retired=retired,
        owners=owners,
        books=books,
        time_anchors=tuple(time_anchors),
        now=now,
    )
    try:
        with _step(1), open_container(path) as container:
            return _judge(container, reader)
    except _StepFailedError as failed:
        return Verdict(kind=VerdictKind.INVALID, findings=failed.findings, facts={})


@dataclass(frozen=True, slots=True)
class _Reader:
    """What the reader trusts and knows, and the time by its clock."""

    roots: frozenset[str]
    revocations: Revocations
    retired: tuple[RetiredAuthority, ...]
    owners: tuple[Ownership, ...]
    books: tuple[SealBook, ...]
    time_anchors: tuple[x509.Certificate, ...]
    now: datetime


class _StepFailedError(Exception):
    def __init__(self, *findings: Finding) -> None:
        super().__init__()
        self.findings = findings


@contextmanager
def _step(number: int) -> Iterator[None]:
    try:
        yield
    except EdocError as error:
        finding = Finding(number, error.fields.get("member", ""), error.message)
        raise _StepFailedError(finding) from error


def _judge(container: Container, reader: _Reader) -> Verdict:
    with _step(2):
        manifest, data = reading.read_manifest(container)
        _check_listed(container, manifest)
        roles = _role_files(container)
    found = fingerprints(roles)
    if not reader.roots:
        oldest = next(iter(found.values()), "")
        return Verdict(kind=VerdictKind.NO_ANCHOR, fingerprint=oldest, facts={})
    with _step(3):
        anchor = _anchor(found, reader.roots)
    with _step(4):
        extract = read_extract(roles, anchor, known=reader.revocations, retired=reader.retired)
    with _step(6):
        maker = reading.check_manifest(container, manifest, data, extract)
        _check_asic(container, manifest, data, maker)
    with _step(7):
        statements = _statements(container, extract)
        times = reading.read_times(container, statements)
        _check_derived(container, statements, roles, maker=maker, times=times)
        _check_clock(statements, manifest, reader.now)
    lives = Lives((extract.ownership, *reader.owners))
    with _step(8):
        notes = check_lives(statements, lives)
        notes += links.check_all(container, statements, extract)
        if manifest.message_id != _sent(statements).message_id:
            raise invalid(MANIFEST, "it is of another message than the envelope")
    with _step(12):
        tokens, more = check_tokens(times, statements, reader.time_anchors)
    judge = TimeJudge(
        statements=statements,
        manifest=Witness(MANIFEST, maker, parse_time(manifest.time)),
        tokens=tokens,
        revocations=extract.book.revocations,
        lives=lives,
        weak=_weak(statements, manifest, (extract.book, *reader.books)),
        now=reader.now,
    )
    return _verdict(judge, manifest, anchor, notes=(*notes, *more))


def _weak(
    statements: Mapping[str, CheckedStatement], manifest: Manifest, books: Sequence[SealBook]
) -> dict[str, datetime]:
    """Whose suite is below its agency's minimum by now, and since when, by folder."""
    signed = {name: (item.seal.signer, item.seal.suite) for name, item in statements.items()}
    signed[MANIFEST] = manifest.agency, manifest.suite
    found = {}
    for name, (signer, suite) in signed.items():
        ends = [since for book in books if (since := book.weak_since(signer, suite)) is not None]
        if ends:
            found[name] = min(ends)
    return found


def _verdict(
    judge: TimeJudge, manifest: Manifest, anchor: str, *, notes: tuple[str, ...]
) -> Verdict:
    kind, findings = judge.verdict()
    return Verdict(
        kind=kind,
        findings=tuple(findings),
        notes=notes,
        fingerprint=anchor,
        made_by=manifest.agency,
        made_at=manifest.time,
        facts=_facts(judge),
    )


def _anchor(found: Mapping[str, str], trusted: frozenset[str]) -> str:
    """The oldest root file that is trusted."""
    anchor = next((digest for digest in found.values() if digest in trusted), None)
    if anchor is None:
        raise EvidenceInvalidError(
            f"No root file has the trusted fingerprint; found: {', '.join(found.values())}."
        )
    return anchor


def _statements(container: Container, extract: Extract) -> dict[str, CheckedStatement]:
    salt = reading.read_salt(container)
    return {
        folder: reading.check_statement(folder, sealed, extract, salt)
        for folder, sealed in reading.read_statements(container).items()
    }


def _root_digests(directory: Directory) -> set[str]:
    return {sha256(data).hexdigest() for data in directory.chain.files.values()}


def _check_listed(container: Container, manifest: Manifest) -> None:
    """Names every member that is altered, missing or too many."""
    findings = []
    listed = {member.name: member for member in manifest.members}
    names = container.names - {MANIFEST, *SIGNATURES, *asic.MEMBERS}
    for name in sorted(names | listed.keys()):
        member = listed.get(name)
        if member is None:
            findings.append(Finding(2, name, "it is not in the manifest"))
        elif name not in names:
            findings.append(Finding(2, name, "it is missing"))
        elif _digest(container, name) != (member.size, member.sha256):
            findings.append(Finding(2, name, "its bytes were altered"))
    if findings or len(listed) != len(manifest.members):
        raise _StepFailedError(*findings or [Finding(2, MANIFEST, "it names a member twice")])


def _digest(container: Container, name: str) -> tuple[int, str] | None:
    """Size and digest; None when the zip itself says that the member is damaged."""
    try:
        return container.digest(name)
    except EvidenceInvalidError:
        return None


def _role_files(container: Container) -> dict[str, bytes]:
    return {
        name.removeprefix("roles/").removesuffix(_ROLE_FILE): container.read(name)
        for name in sorted(container.names)
        if name.startswith("roles/") and name.endswith(_ROLE_FILE)
    }


def _check_derived(
    container: Container,
    statements: Mapping[str, CheckedStatement],
    roles: RoleFiles,
    *,
    maker: ListedSeal,
    times: Mapping[str, TimeProof],
) -> None:
    """Makes again what follows from the primary members and compares: see ``members``."""
    chains = {folder: item.listed.chain for folder, item in statements.items()}
    sealed = {folder: item.sealed for folder, item in statements.items()}
    expected = derived_members(sealed, roles, {**chains, MANIFEST: maker.chain}, times)
    free = {MANIFEST, *SIGNATURES, INSTRUCTIONS, SALT, *asic.MEMBERS}
    primary = {
        name
        for name in container.names
        if name in free or name.startswith("parts/") or name.endswith("/record.json")
    }
    for name in sorted(container.names - primary | expected.keys()):
        if name not in expected:
            raise invalid(name, "nothing in the evidence leads to it")
        if container.read(name) != expected[name]:
            raise invalid(name, "it is not what the other members lead to")


def _check_asic(container: Container, manifest: Manifest, data: bytes, maker: ListedSeal) -> None:
    """Checks what makes an ASiC-E container of the file; a plain zip has nothing of it."""
    found = {name: container.read(name) for name in container.names & asic.MEMBERS}
    if not found:
        return
    signature = reading.manifest_signature(container)
    expected = asic.manifest_of(all_digests(manifest, data, signature))
    asic.check_container(found, expected)
    asic.check_signature(
        found[asic.SIGNATURE],
        expected,
        maker.key,
        suite=manifest.suite,
        chain=maker.chain,
        at=parse_time(manifest.time),
    )


def _check_clock(
    statements: Mapping[str, CheckedStatement], manifest: Manifest, now: datetime
) -> None:
    moments = {folder: item.time for folder, item in statements.items()}
    moments[MANIFEST] = parse_time(manifest.time)
    for name, moment in moments.items():
        if moment > now + MAX_SKEW:
            raise invalid(name, f"its time {moment.isoformat()} lies in the future")


def _sent(statements: Mapping[str, CheckedStatement]) -> Envelope:
    value = statements["envelope"].value
    if not isinstance(value, Envelope):
        raise invalid("envelope", "it is no envelope")
    return value


def _facts(judge: TimeJudge) -> dict[str, str]:
    """What a person wants to read first."""
    statements = judge.statements
    envelope, sent = statements["envelope"], _sent(statements)
    facts = {
        "message_id": sent.message_id,
        "sender": sent.from_,
        "recipient": sent.to,
        "sealed_by": envelope.seal.signer,
        "sealed_at": envelope.seal.time,
    }
    receipt = statements.get("receipt")
    if receipt is not None and isinstance(receipt.value, Receipt):
        facts["result"] = receipt.value.result.value
        facts["received_at"] = receipt.value.time
        if receipt.value.reason is not UNSET:
            facts["reason"] = str(receipt.value.reason)
    given_up = statements.get(NO_RECEIPT)
    if given_up is not None and isinstance(given_up.value, Effect):
        facts["given_up_at"] = given_up.value.time
        facts["given_up_sealed_at"] = given_up.seal.time
    for folder, prefix in (("envelope", ""), ("receipt", "receipt_")):
        proven = judge.earliest(folder)
        if proven is not None:
            facts[f"{prefix}proven_at"] = time_text(proven.at)
            facts[f"{prefix}proven_by"] = proven.by
    return facts
