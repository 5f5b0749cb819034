"""The checking process: what a part does to it costs that part a verdict, and others nothing."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from edocnode.domain.signatures import PartState, PartVerdict, Reason
from edocnode.signatures.process import CheckingProcess
from edocnode.signatures.trust_settings import StoreSettings, TrustSettings
from tests.integration.signatures.conftest import Stores, part_of
from tests.support import bombs
from tests.support.signing_pki import Authority, sign_pdf

CPU = timedelta(seconds=1)
MOST_KIB = 300 * 1024  # of a process, with its programs (70 MiB) and the largest of these parts

Ask = Callable[..., Awaitable[PartVerdict]]


@pytest.fixture
async def checker(stores: Stores) -> AsyncIterator[CheckingProcess]:
    made = CheckingProcess(stores.settings, largest_bytes=64 << 20, cpu=CPU)
    yield made
    await made.close()


async def test_part_is_checked_in_a_process_of_its_own(
    checker: CheckingProcess, government: Authority, decision: bytes
) -> None:
    verdict = await checker.check(part_of(sign_pdf(decision, government.office())))
    assert verdict.reason is Reason.VALID
    assert checker.pid not in (None, os.getpid())
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, checker.pid or 0) == min(own + 10, 19)


async def test_part_is_read_from_its_file(
    checker: CheckingProcess, government: Authority, decision: bytes, tmp_path: Path
) -> None:
    content = sign_pdf(decision, government.office())
    path = tmp_path / "phần"
    path.write_bytes(content)
    part = msgspec.structs.replace(part_of(content), data=b"", path=str(path))
    assert (await checker.check(part)).reason is Reason.VALID
    path.unlink()
    verdict = await checker.check(part)
    assert (verdict.state, verdict.reason) == (PartState.CHECK_FAILED, Reason.PART_MISSING)


@pytest.mark.parametrize(
    ("bomb", "kind", "state", "reason"),
    [
        (bombs.deep_pdf, "pdf", PartState.CHECKED, Reason.TOO_DEEP),
        (bombs.endless_xref_pdf, "pdf", PartState.CHECKED, Reason.UNREADABLE),
        (bombs.endless_fields_pdf, "pdf", PartState.CHECKED, Reason.UNREADABLE),
        (bombs.unpacking_pdf, "pdf", PartState.CHECKED, Reason.BOMB),
        (bombs.many_objects_pdf, "pdf", PartState.CHECK_FAILED, Reason.TOO_LONG),
        (bombs.deep_xml, "xml", PartState.CHECKED, Reason.TOO_DEEP),
        (bombs.laughing_xml, "xml", PartState.CHECKED, Reason.NOT_XML),
    ],
    ids=["deep", "endless", "circle", "gib", "many", "deep-xml", "laughing"],
)
async def test_part_that_asks_for_too_much_costs_bounded_memory_and_time(
    bomb: Callable[[], bytes],
    kind: str,
    state: PartState,
    reason: Reason,
    checker: CheckingProcess,
    decision: bytes,
) -> None:
    content = bomb()
    await checker.check(part_of(decision))
    before = time.process_time()
    verdict = await checker.check(part_of(content, kind=kind))
    assert (verdict.state, verdict.reason) == (state, reason)
    if checker.pid is not None:
        assert _peak_kib(checker.pid) < MOST_KIB
    assert time.process_time() - before < 1  # of this process: it only waits
    assert (await checker.check(part_of(decision))).reason is Reason.UNSIGNED  # others go on


async def test_part_that_fills_the_memory_is_told(stores: Stores, decision: bytes) -> None:
    checker = CheckingProcess(stores.settings, largest_bytes=64 << 20, memory_bytes=24 << 20)
    try:
        verdict = await checker.check(part_of(bombs.unpacking_pdf()))
        assert (verdict.state, verdict.reason) == (PartState.CHECK_FAILED, Reason.OUT_OF_MEMORY)
        assert (await checker.check(part_of(decision))).reason is Reason.UNSIGNED
    finally:
        await checker.close()


async def test_process_that_is_killed_in_the_middle_costs_one_verdict(
    checker: CheckingProcess, decision: bytes
) -> None:
    asked = asyncio.create_task(checker.check(part_of(bombs.many_objects_pdf())))
    while checker.pid is None:  # noqa: ASYNC110 - a process of the kernel, which sets no event
        await asyncio.sleep(0.01)
    os.kill(checker.pid, signal.SIGKILL)
    verdict = await asked
    assert (verdict.state, verdict.reason) == (PartState.CHECK_FAILED, Reason.CRASHED)
    assert (await checker.check(part_of(decision))).reason is Reason.UNSIGNED


async def test_process_that_is_killed_between_two_parts_costs_nothing(
    checker: CheckingProcess, decision: bytes
) -> None:
    await checker.check(part_of(decision))
    assert checker.pid is not None
    os.kill(checker.pid, signal.SIGKILL)
    assert (await checker.check(part_of(decision))).reason is Reason.UNSIGNED


async def test_check_that_hangs_ends_at_its_limit(stores: Stores, decision: bytes) -> None:
    checker = CheckingProcess(stores.settings, largest_bytes=64 << 20, wall=timedelta(seconds=2))
    try:
        await checker.check(part_of(decision))
        assert checker.pid is not None
        os.kill(checker.pid, signal.SIGSTOP)
        verdict = await checker.check(part_of(decision))
        assert (verdict.state, verdict.reason) == (PartState.CHECK_FAILED, Reason.TOO_LONG)
        assert (await checker.check(part_of(decision))).reason is Reason.UNSIGNED
    finally:
        await checker.close()


async def test_part_over_the_largest_size_is_not_read(stores: Stores, decision: bytes) -> None:
    checker = CheckingProcess(stores.settings, largest_bytes=len(decision) - 1)
    verdict = await checker.check(part_of(decision))
    assert (verdict.state, verdict.reason) == (PartState.NOT_CHECKED, Reason.TOO_LARGE)
    assert checker.pid is None


async def test_without_a_trust_store_nothing_is_started(decision: bytes) -> None:
    checker = CheckingProcess(TrustSettings(), largest_bytes=64 << 20)
    verdict = await checker.check(part_of(decision))
    assert (verdict.state, verdict.reason) == (PartState.NOT_CHECKED, Reason.NO_TRUST_STORE)
    assert checker.pid is None


async def test_root_that_is_added_counts_from_then_on(
    checker: CheckingProcess, stores: Stores, decision: bytes
) -> None:
    stranger = Authority.make("CA mới")
    signed = part_of(sign_pdf(decision, stranger.office()))
    assert (await checker.check(signed)).reason is Reason.NO_PATH
    folder = Path(stores.settings.stores[0].folder)
    (folder / "new.pem").write_bytes(stranger.root.pem())
    assert (await checker.check(signed)).reason is Reason.VALID


async def test_file_that_is_no_certificate_spoils_no_store_and_no_answer(
    checker: CheckingProcess, stores: Stores, government: Authority, decision: bytes
) -> None:
    folder = Path(stores.settings.stores[0].folder)
    for number, junk in enumerate([b"no certificate", b"0\x030\x01\x00", b""]):
        (folder / f"{number}.pem").write_bytes(junk)
        (folder.parent / "crl" / f"{number}.crl").write_bytes(junk)
    verdict = await checker.check(part_of(sign_pdf(decision, government.office())))
    assert verdict.reason is Reason.VALID


async def test_process_can_neither_call_nor_write_nor_start_anything(tmp_path: Path) -> None:
    tries = {
        "call": "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
        "write": f"open({str(tmp_path / 'a')!r}, 'w')",
        "start": "import subprocess; subprocess.run(['true'])",
    }
    for attempt in tries.values():
        script = (
            "from edocnode.signatures import worker as w\n"
            "from edocnode.signatures.trust_settings import TrustSettings, WorkerSettings\n"
            "w._confine(WorkerSettings(trust=TrustSettings(), memory_bytes=1 << 28, cpu_s=5))\n"
            f"try:\n    {attempt}\nexcept PermissionError as error:\n"
            "    assert 'strangers' in str(error)\nelse:\n    raise SystemExit(3)\n"
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
        assert await process.wait() == 0, attempt
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_missing_folder_of_a_store_is_told(tmp_path: Path, decision: bytes) -> None:
    store = StoreSettings(name="a", folder=str(tmp_path / "nowhere"))
    checker = CheckingProcess(TrustSettings(stores=(store,)), largest_bytes=64 << 20)
    try:
        verdict = await checker.check(part_of(decision))
        assert verdict.reason is Reason.NO_TRUST_STORE
        assert "nowhere" in verdict.detail
    finally:
        await checker.close()


async def test_process_has_no_secrets_of_the_node(
    checker: CheckingProcess, decision: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDOCNODE_DATABASE", "postgresql+psycopg://user:secret@host/base")
    await checker.check(part_of(decision))
    environment = await asyncio.to_thread(Path(f"/proc/{checker.pid}/environ").read_bytes)
    assert b"EDOCNODE" not in environment
    assert b"secret" not in environment


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not say what a process used")
