"""A node that answers one command from its folder, without running: nothing is sealed or sent.

It has the folder's lock meanwhile, as a running node has. Whatever such a command may not do is
refused by its call, however it is worded.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from edoccore.errors import EdocError, FolderInUseError
from edockit.files import FolderLock, lock_folder
from edocnode.app.local import local_servers
from edocnode.app.node import ground_of, stop_workers, workers_on
from edocnode.app.parts import open_resting
from edocnode.rpc.rest_gate import RestGate
from edocnode.settings import NodeSettings
from edocnode.storage.folder import DataFolder
from edocnode.storage.seal_key import key_places
from edocnode.workers.sealer import SealerState

DRAIN = timedelta(seconds=5)  # calls under way may finish within it
TURN_S = 30.0  # other commands on the same folder may finish within it
_LOOK_EVERY_S = 0.1


@contextmanager
def at_rest(
    data: Path,
    settings: NodeSettings,
    *,
    clock: Callable[[], datetime],
    allowed: Collection[str],
    refusal: EdocError,
) -> Iterator[None]:
    """Has a stopped node answer on its socket for a block.

    Args:
        allowed: Calls that are answered; see ``RestGate``.
        refusal: What all others are told.

    Raises:
        FolderInUseError: It runs, or another command is at work for longer than ``TURN_S``.
        DataFolderError, KeyUnusableError: The data folder cannot be used.
    """
    gate = RestGate(allowed, refusal)
    with ExitStack() as stack:
        stack.enter_context(_lock(data))
        answering = _Answering(data, settings, clock, gate)
        stack.callback(answering.stop)
        answering.start()
        yield


def _lock(data: Path) -> FolderLock:
    deadline = time.monotonic() + TURN_S
    while True:
        try:
            return lock_folder(data)
        except FolderInUseError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_LOOK_EVERY_S)


class _Answering:
    """The servers of a node at rest, in a thread with a loop of their own."""

    def __init__(
        self, data: Path, settings: NodeSettings, clock: Callable[[], datetime], gate: RestGate
    ) -> None:
        quiet = settings.model_copy(update={"office_socket": ""})
        self._folder = DataFolder(data, key_places(settings, data))
        self._settings = quiet
        self._clock = clock
        self._gate = gate
        self._begun = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="at rest")

    def start(self) -> None:
        """Waits until it answers, or raises why it does not."""
        self._thread.start()
        self._begun.wait()
        self._raise()

    def stop(self) -> None:
        """Ends it; what failed meanwhile is raised here."""
        if self._loop is not None and self._end is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        try:
            asyncio.run(self._answer())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._error = error
        finally:
            self._begun.set()

    async def _answer(self) -> None:
        end = asyncio.Event()
        failed: list[EdocError] = []

        def fail(error: EdocError) -> None:
            failed.append(error)
            end.set()

        identity = self._folder.identity()
        opened = ground_of(self._settings, self._folder, identity, self._clock, opened=open_resting)
        async with opened as ground:
            await ground.keeper.recall()
            sealer = ground.sealing.sealer  # not run; ``status`` says why
            sealer.state, sealer.problem = SealerState.STOPPED, self._gate.refusal.message
            workers = workers_on(ground)
            try:
                async with local_servers(
                    ground, workers, "-", drain=DRAIN, on_failure=fail, gates=[self._gate]
                ):
                    self._loop, self._end = asyncio.get_running_loop(), end
                    self._begun.set()
                    await end.wait()
            finally:
                await workers.overview.counter.stop()
                await stop_workers(workers)
        if failed:
            raise failed[0]
