"""Loops that work on no single document or peer go on after a fault of the program."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from edockit.blobs import BlobFolder
from edocnode.app import announcing, resting
from edocnode.domain import directory as directory_rules
from edocnode.domain import own_entry as entry_rules
from edocnode.domain.quotas import CallQuotas
from edocnode.rpc.peers import Links
from edocnode.storage import outbox
from edocnode.storage.part_repair import SqlRepair
from edocnode.storage.schedule import SqlSchedule
from edocnode.workers import encryption_keys, monthly, seal_renewal, setting_aside, tls_renewal
from edocnode.workers.access_log import AccessRecorder
from edocnode.workers.scanning import QuarantineWatch
from edocnode.workers.signature_checks import AsideWatch
from edocnode.workers.staging import Staging
from edocnode.workers.subagencies import SubagencyDesk
from tests.support.faults import Faulty, Later, told
from tests.support.nodes import TestNode, make_pair, running, until

PLACES: dict[str, tuple[Any, str]] = {
    "access": (AccessRecorder, "_flush"),
    "address": (announcing, "_may_speak"),
    "cleaning": (BlobFolder, "iter_stored"),
    "directory": (directory_rules, "alarms_of"),
    "encryption_keys": (encryption_keys.EncryptionKeyWatch, "look"),
    "links": (Links, "rest"),
    "memory": (resting.Rest, "is_due"),
    "own_entry": (entry_rules, "foreign"),
    "reporting": (monthly, "due_reports"),
    "scanning": (QuarantineWatch, "look"),
    "schedule": (SqlSchedule, "next_due"),
    "scrubbing": (SqlRepair, "blobs_after"),
    "seal": (seal_renewal, "seal_step"),
    "sending": (outbox, "_queues"),
    "signatures": (AsideWatch, "look"),
    "subagencies": (SubagencyDesk, "_directory_list"),
    "suspensions": (CallQuotas, "shut_out"),
    "sweep": (Staging, "_places_on_disk"),
    "tls": (tls_renewal, "tls_step"),
}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop has passed its fault soon; faults are written as programs do, which is faster."""
    monkeypatch.setattr(setting_aside, "WELL_AFTER", timedelta(seconds=2))
    formatter = structlog.dev.plain_traceback
    structlog.configure([structlog.dev.ConsoleRenderer(exception_formatter=formatter)])


def resting_works(node: TestNode) -> set[str]:
    """The works that rest; the node is alive."""
    told(node)
    return {
        subject
        for subject, message in node.rows("SELECT subject, message FROM alarm WHERE kind = ?", KIND)
        if "rests after a fault of this program: KeyError" in message
    }


KIND = setting_aside.SET_ASIDE


async def test_loops_that_meet_a_fault_rest_and_go_on_when_it_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sender, recipient = make_pair(tmp_path, statistics_to="G09")
    recipient.clock = clock = Later()
    faults = {name: planted(monkeypatch, *place) for name, place in PLACES.items()}
    async with running(recipient):
        await until(lambda: resting_works(recipient) == PLACES.keys(), within_s=60)
        for fault in faults.values():
            fault.mended = True
        async with running(sender):  # what loops do not do goes on
            await sender.delivered(await sender.send(b"%PDF", to=[recipient.agency.code]))
        clock.pass_by(minutes=1)
        await until(lambda: not resting_works(recipient), within_s=60)


def planted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Faulty:
    """A fault in a rule of a module, or a method of a class."""
    rule: Callable[..., Any] = getattr(owner, name)
    fault = Faulty(rule, lambda *_, **__: True)
    monkeypatch.setattr(owner, name, fault.method)
    return fault
