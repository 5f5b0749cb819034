"""Runs the demonstration in a folder, tells how it went, and leaves no process behind."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from edoccore.errors import EdocError
from edockit.console import Console, table
from edockit.language import _, told
from edocnode.demo.programs import Json
from edocnode.demo.scenario import Scenario
from edocnode.demo.steps import Steps

DEMO_SCHEMA = "edoc.demo/v1"
SPACE_FACTOR = 6  # the attachment, both nodes' copies, the saved one, the evidence twice


def run_demo(console: Console, *, attachment_mib: int, keep: bool) -> None:
    """Runs every step and prints the totals.

    Args:
        keep: Leaves the folder; it is also left when a step fails.

    Raises:
        EdocError: A step did not hold; says which, why, and where the logs are.
    """
    folder = Path(tempfile.mkdtemp(prefix="edocnode-demo-"))
    steps = Steps(console)
    scenario = Scenario(folder, attachment_mib, steps)
    begin = _(
        "Everything happens in {folder} and on loopback, with real keys and processes.",
        folder=folder,
    )
    console.say(f"{begin}\n")
    try:
        _check_space(folder, attachment_mib)
        with _stopped_by_signals(), _closing(scenario):
            for title, act in scenario.plan():
                with steps.step(title) as step:
                    act(step)
    except EdocError as error:
        raise _failed(error, steps, folder) from error
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _tell(console, scenario, steps, kept=folder if keep else None)
    if not keep:
        shutil.rmtree(folder)


@contextmanager
def _closing(scenario: Scenario) -> Iterator[None]:
    try:
        yield
    finally:
        scenario.close()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Lets SIGTERM end the block as Ctrl-C does, so that the processes are ended too."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_space(folder: Path, attachment_mib: int) -> None:
    needed = SPACE_FACTOR * attachment_mib + 100
    free = shutil.disk_usage(folder).free >> 20
    if free < needed:
        raise EdocError(
            f"{needed} MiB are needed in {folder.parent}, {free} MiB are free",
            hint="Set TMPDIR to a larger disk, or give a smaller --attachment-mib.",
        )


def _failed(error: EdocError, steps: Steps, folder: Path) -> EdocError:
    step = steps.current
    left = _("Logs and data are in {folder}", folder=folder)
    return EdocError(
        f"Step {step.number} ({step.title}) failed: {error.message}"
        if step
        else f"The demonstration failed: {error.message}",
        hint=f"{told(error.hint)}\n{left}".strip(),
        folder=str(folder),
    )


def _tell(console: Console, scenario: Scenario, steps: Steps, *, kept: Path | None) -> None:
    totals = scenario.totals
    shown: Json = {
        "schema": DEMO_SCHEMA,
        "seconds": round(steps.seconds, 2),
        **totals,
        "folder": str(kept) if kept else None,
        "steps": [
            {"number": step.number, "title": step.title, "seconds": round(step.seconds, 3)}
            for step in steps.done
        ],
    }
    memory = ", ".join(f"{code} {mib} MiB" for code, mib in totals["memory_peak_mib"].items())
    rows = [
        (_("steps that held"), f"{len(steps.done)} / {len(scenario.plan())}"),
        (_("time"), f"{steps.seconds:.1f} s"),
        (_("resumed at byte"), totals["resumed_at_bytes"]),
        (_("bytes sent again"), totals["sent_again_bytes"]),
        (_("most memory"), memory),
    ]
    console.data(shown, f"\n{table((_('total'), ''), rows)}\n\n{_next(kept)}")


def _next(kept: Path | None) -> str:
    if kept is None:
        rows = [
            ("edocnode demo --keep", _("the same, and keeps the folder to look into")),
            ("edocregistry --help", _("found a registry of your own")),
            ("edocnode --help", _("join it")),
        ]
        return "\n".join([_("Next:"), *(f"  {command:<24} {why}" for command, why in rows)])
    return "\n".join(
        [
            _("Kept in {kept}. Next:", kept=kept),
            f"  edocregistry serve --data {kept}/registry",
            f"  edocnode serve --data {kept}/H29",
            f"  edocnode outbox --data {kept}/H29",
            f"  {_('sh and openssl, as {kept}/evidence/VERIFY.md says', kept=kept)}",
        ]
    )
