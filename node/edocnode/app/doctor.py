"""The probes of ``edocnode doctor``: looks at a node from its folder, and asks it when it runs.

Nothing is changed, but for a small file that is written to see whether the disk keeps it. The
database of a running node is never opened: that it runs says that its tables are as they must be.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.directory.layout import TIMESTAMP
from edoccore.directory.packing import FileWanted
from edoccore.directory.state import judge
from edoccore.directory.view import Directory
from edoccore.errors import EdocError, FolderInUseError, RegistryUnreachableError
from edoccore.identity.certificate import certificate_digest
from edockit.clamd import Clamd
from edockit.files import lock_folder
from edocnode.app.encryption_keys import listed_key, look_at_keys
from edocnode.app.evidence import known_directory
from edocnode.app.scanning import prove
from edocnode.app.timestamps import RemoteAuthority, time_anchors
from edocnode.domain.doctor import (
    Check,
    ClockReading,
    Health,
    judge_alarms,
    judge_clock,
    judge_directory,
    judge_disk,
    judge_fsync,
    judge_scanner,
    judge_seal,
    judge_tls,
)
from edocnode.domain.seal_life import SealKey, by_hand
from edocnode.rpc.directory import GrpcSources
from edocnode.settings import NodeSettings
from edocnode.storage.encryption_keys import SoftwareEncryptionKeys
from edocnode.storage.folder import SEAL_NEXT, DataFolder
from edocnode.storage.migrations import HEAD
from edocnode.storage.seal_key import key_places, seal_signer
from edocnode.workers.scanning import AwayError
from edocnode.workers.timestamping import StampFailedError

MOST_PEERS = 20  # that are called: those with trouble or waiting documents first
_PATIENCE_S = 15.0
_TIMESTAMP_BYTES = 64 * 1024
_PROBE = b"edocnode doctor\n" * 256


class RunningNode(Protocol):
    """What is asked of a running node; answers are the JSON of the commands."""

    def status(self) -> Mapping[str, Any]:
        """``edoc.status/v1``."""

    def peers(self) -> Mapping[str, Any]:
        """``edoc.peers/v1``."""

    def ping(self, agency: str) -> Mapping[str, Any]:
        """``edoc.ping/v1``."""


@dataclass(frozen=True, slots=True)
class Patient:
    """The node that is looked at.

    Attributes:
        running: None: it is stopped.
    """

    folder: DataFolder
    settings: NodeSettings
    running: RunningNode | None
    clock: Callable[[], datetime]

    @property
    def start(self) -> str:
        """How it is started."""
        return f"edocnode serve --data {shlex.quote(str(self.folder.path))}"


def examine(patient: Patient) -> list[Check]:
    """Looks at everything; a check that cannot be done says so."""
    directory, found = _directory(patient)
    checks = [*_disk(patient), *_keys(patient, directory), _database(patient), found]
    if directory is None:
        return checks
    checks += [*_names(patient, directory), _registry(patient, directory)]
    checks += [*_from_running(patient), _timestamps(patient), _scanner(patient)]
    return checks


def _disk(patient: Patient) -> Iterator[Check]:
    path = patient.folder.path
    yield judge_disk(shutil.disk_usage(path).free, str(path))
    begun = time.monotonic()
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        hint = f"Check who owns it and whether it is full: ls -ld {path}; df -h {path}"
        message = f"The disk under {path} keeps no write: {error.strerror}."
        yield Check("fsync", Health.PROBLEM, message, hint)
    else:
        yield judge_fsync(time.monotonic() - begun, str(path))


def _keys(patient: Patient, directory: Directory | None) -> Iterator[Check]:
    path = patient.folder.path
    folder = DataFolder(path, key_places(patient.settings, path))
    agency = folder.identity().agency
    anew = (
        f"Ask the registry's officer for a join string: edocregistry invite {agency}; then run: "
        f"edocnode keys replace JOIN --yes"
    )
    yield from _signing(folder, anew)
    yield from _certificates(patient, folder, directory, anew)
    listed = None if directory is None else listed_key(directory, agency, patient.clock())
    yield look_at_keys(SoftwareEncryptionKeys(folder, agency), listed)


def _signing(folder: DataFolder, anew: str) -> Iterator[Check]:
    """Whether the seal's key signs, and its token takes the PIN.

    A PIN that was refused is remembered and not shown to the token again, here neither.
    """
    token = folder.key_places.token
    if token is None:
        yield Check("token", Health.OFF, "The seal key is a file (seal_token is not set).")
    try:
        with closing(seal_signer(folder)) as signer:
            signer.sign(_PROBE)
    except EdocError as error:
        hint = error.hint or anew
        if token is None:
            yield Check("seal_key", Health.PROBLEM, error.message, hint)
            return
        yield Check("token", Health.PROBLEM, error.message, hint)
        told = "The key in the token could not be tried."
        yield Check("seal_key", Health.UNKNOWN, told, "Mend first what is said of the token.")
        return
    if token is not None:
        yield Check("token", Health.OK, f"The token '{token.token}' takes the PIN.")
    yield Check("seal_key", Health.OK, "The seal key signs.")


def _certificates(
    patient: Patient, folder: DataFolder, directory: Directory | None, anew: str
) -> Iterator[Check]:
    now, running = patient.clock(), patient.running is not None
    try:
        current = _seal_key(folder.seal_chain())
    except EdocError as error:
        yield Check("seal_certificate", Health.PROBLEM, error.message, error.hint or anew)
    else:
        following = folder.key_file(SEAL_NEXT, "pem")
        next_key = _seal_key(following.read_bytes()) if following.exists() else None
        late = "See what it waits for: edocnode status" if running else f"Run: {patient.start}"
        if directory is not None:
            in_token = folder.key_places.token is not None
            agency = folder.identity().agency
            late = by_hand(directory, agency, current.sha256, in_token=in_token) or late
        yield judge_seal(current, next_key, now, late_hint=late, end_hint=anew)
    try:
        ends = _end_of(folder.tls_pair("current").certificate)
        next_ends = _end_of(folder.tls_pair("next").certificate)
    except EdocError as error:
        yield Check("tls_certificate", Health.PROBLEM, error.message, error.hint or anew)
    else:
        yield judge_tls(ends, next_ends, now, running=running, hint=anew)


def _seal_key(chain: bytes) -> SealKey:
    """A seal's certificate, as the rules of renewal know it."""
    leaf = x509.load_pem_x509_certificates(chain)[0]
    return SealKey(
        sha256=certificate_digest(leaf.public_bytes(Encoding.DER)),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        listed_since=None,
    )


def _end_of(certificate: bytes) -> datetime:
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def _database(patient: Patient) -> Check:
    version = f"SQLite {sqlite3.sqlite_version}"
    if patient.settings.database:
        version = "PostgreSQL"
    if patient.running is not None:
        message = f"The running node uses it, {version}; its tables are up to date."
        return Check("database", Health.OK, message)
    if patient.settings.database:
        message = f"{version} is looked at when the node starts."
        return Check("database", Health.UNKNOWN, message, f"Run: {patient.start}")
    try:
        with lock_folder(patient.folder.path):
            return _stopped_database(patient, version)
    except FolderInUseError as error:
        return Check("database", Health.UNKNOWN, error.message, error.hint or "")


def _stopped_database(patient: Patient, version: str) -> Check:
    path = patient.folder.database_file
    if not path.exists():
        return Check("database", Health.OK, f"{version}; tables are made at the first start.")
    restore = "Restore the last backup of the data folder."
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return Check("database", Health.PROBLEM, f"{path} cannot be read: {error}.", restore)
    if found is None or found[0] > HEAD:
        told = "none" if found is None else found[0]
        message = f"{path} has tables of version {told}; this program knows {HEAD}."
        return Check("database", Health.PROBLEM, message, "Install the newer edocnode again.")
    head = found[0]
    return Check("database", Health.OK, f"{version}; tables of version {head}.")


def _directory(patient: Patient) -> tuple[Directory | None, Check]:
    try:
        directory = known_directory(patient.folder)
    except EdocError as error:
        return None, Check("directory", Health.PROBLEM, error.message, error.hint or "")
    found = judge_directory(judge(directory, patient.clock()), directory.mark.version)
    return directory, found


def _names(patient: Patient, directory: Directory) -> Iterator[Check]:
    """Names of the registry and of this node, for others, that must have an address."""
    endpoint = directory.endpoint(directory.info.registry, patient.clock())
    addresses = list(endpoint.addresses) if endpoint is not None else []
    if patient.settings.advertise:
        addresses.append(patient.settings.advertise)
    bad = []
    for address in addresses:
        host = address.rpartition(":")[0].strip("[]")
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            bad.append(f"{host} ({error.strerror or error})")
    if bad:
        message = f"These names have no address: {', '.join(bad)}."
        first = bad[0].split()[0]
        yield Check("dns", Health.PROBLEM, message, f"Run: getent hosts {first}")
    else:
        yield Check("dns", Health.OK, "All names that are needed have an address.")


def _registry(patient: Patient, directory: Directory) -> Check:
    async def fetch() -> None:
        pair = patient.folder.tls_pair("current")
        sources = GrpcSources(lambda: (pair.chain, pair.key), patient.clock)
        async with asyncio.timeout(_PATIENCE_S), sources.registry(directory) as source:
            await source.fetch([FileWanted(f"{TIMESTAMP}.json", _TIMESTAMP_BYTES)])

    try:
        asyncio.run(fetch())
    except TimeoutError:
        error: EdocError = RegistryUnreachableError()
    except EdocError as failed:
        error = failed
    else:
        return Check("registry", Health.OK, "The registry answers.")
    hint = "The exchange goes on without it; on its machine, run: edocregistry serve"
    return Check("registry", Health.PROBLEM, error.message, hint)


def _from_running(patient: Patient) -> Iterator[Check]:
    """What only a running node can tell: alarms, peers, their clocks."""
    node = patient.running
    if node is None:
        told = "The node is stopped."
        for code in ("alarms", "peers", "clock"):
            yield Check(code, Health.UNKNOWN, told, f"Run: {patient.start}")
        return
    found = node.status()
    kinds = [f"{each['kind']} ({each['subject']})" for each in found["alarms"]]
    yield judge_alarms(kinds, acknowledged=found["acknowledged_alarms"])
    peers = sorted(node.peers()["peers"], key=lambda each: (not each["waiting"], each["agency"]))
    called = [each["agency"] for each in peers[:MOST_PEERS]]
    with ThreadPoolExecutor(max_workers=8) as threads:
        answers = list(threads.map(lambda agency: _ping(node, agency), called))
    yield from _judged_peers(answers, known=len(peers))


def _ping(node: RunningNode, agency: str) -> tuple[str, ClockReading | EdocError]:
    try:
        found = node.ping(agency)
    except EdocError as error:
        return agency, error
    return agency, ClockReading(
        timedelta(milliseconds=found["clock_difference_ms"]),
        timedelta(milliseconds=found["round_trip_ms"]),
    )


def _judged_peers(
    answers: Sequence[tuple[str, ClockReading | EdocError]], *, known: int
) -> Iterator[Check]:
    failed = {agency: each for agency, each in answers if isinstance(each, EdocError)}
    if failed:
        first, error = next(iter(failed.items()))
        message = f"{len(failed)} of {len(answers)} peers do not answer: {', '.join(failed)}."
        yield Check(
            "peers", Health.PROBLEM, f"{message} {error.message}", f"Run: edocnode ping {first}"
        )
    elif not known:
        yield Check("peers", Health.OK, "No other agency has a node yet.")
    else:
        yield Check("peers", Health.OK, f"{len(answers)} of {known} peers were called and answer.")
    yield judge_clock(
        {agency: each for agency, each in answers if isinstance(each, ClockReading)}
        if known
        else {}
    )


def _timestamps(patient: Patient) -> Check:
    settings, folder = patient.settings, patient.folder
    if not settings.timestamp_url:
        return Check("timestamps", Health.OFF, "No timestamp authority is set (timestamp_url).")
    authority = RemoteAuthority(settings.timestamp_url, lambda: time_anchors(settings, folder.path))
    try:
        asyncio.run(authority.stamp(bytes(32), patient.clock()))
    except StampFailedError as error:
        message = f"The timestamp authority {authority.name} failed: {error}."
        hint = f"Documents travel all the same. Run: curl -sS -o /dev/null {authority.name}"
        return Check("timestamps", Health.PROBLEM, message, hint)
    return Check("timestamps", Health.OK, f"The timestamp authority {authority.name} answers.")


def _scanner(patient: Patient) -> Check:
    address = patient.settings.scanner
    if not address:
        return Check("scanner", Health.OFF, "Nothing is scanned for malware (scanner).")
    try:
        version = asyncio.run(prove(Clamd(address)))
    except AwayError as error:
        message = f"Documents that arrive wait for the scanner: {error}."
        hint = "They are kept and receipted. Run: systemctl status clamav-daemon"
        return Check("scanner", Health.PROBLEM, message, hint)
    return judge_scanner(version, patient.clock())
