"""What is timed of an exchange: sealing alone, delivering what is sealed, and both at once."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tests.benchmarks.filling import fill
from tests.benchmarks.observing import Mark, Progress, Span, mark, memory_mib, wait_until
from tests.benchmarks.pair import RECIPIENT, SENDER, BenchNode, Pair, pair
from tests.benchmarks.profiling import Profiling, looked_at
from tests.benchmarks.used_memory import use_memory
from tests.support.nation import Nation
from tests.support.nodes import TestNode

PATIENCE_S, SLOWEST = 300, 100  # so long, and as long as so many documents a second take
MANY = 100_000  # documents, which write more than what of an idle machine's memory is at hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is exchanged, and how the nodes run.

    Attributes:
        databases: URLs of sender and recipient, made anew by each call; empty: SQLite.
        settings: Of both nodes, by name without prefix.
        profile: Where profiles of the nodes go; none: nobody looks.
        prepare: Changes the folders of sender and recipient before anything starts.
        apart: Each node is held to a processor of its own.
    """

    count: int
    size: int
    options: Mapping[str, str] = field(default_factory=dict)
    databases: Callable[[], tuple[str, str]] = lambda: ("", "")
    settings: Mapping[str, str] = field(default_factory=dict)
    profile: Profiling | None = None
    prepare: Callable[[Nation, TestNode, TestNode], None] = lambda *_: None
    apart: bool = False

    @property
    def patience_s(self) -> float:
        """How long anything may take."""
        return PATIENCE_S + self.count / SLOWEST


def sealing_then_delivery(load: Load) -> tuple[Span, Span]:
    """The sender seals a full outbox while its peer is down, then the peer starts.

    Raises:
        AssertionError: A document was lost, doubled or left without its receipt.
    """
    with pair(load.options, load.databases()) as nodes:
        _fill(nodes, load)
        sealing = _sealing(nodes.sender, load)
        nodes.recipient.start()
        return sealing, _until_all_are_here(nodes, load, "delivery")


def both_at_once(load: Load) -> Span:
    """The sender starts with a full outbox of which nothing is sealed; its peer waits for it."""
    with pair(load.options, load.databases(), load.prepare, apart=load.apart) as nodes:
        _fill(nodes, load)
        nodes.recipient.start()
        nodes.sender.start()
        return _until_all_are_here(nodes, load, "sealing-and-delivery")


def _fill(nodes: Pair, load: Load) -> None:
    for node in (nodes.sender, nodes.recipient):
        node.settings.update(load.settings)
    fill(
        nodes.sender.database,
        nodes.nation.directory(),
        sender=SENDER,
        recipient=RECIPIENT,
        count=load.count,
        size=load.size,
    )
    if load.count >= MANY:
        use_memory(nodes.sender.data.parent)


def _sealing(sender: BenchNode, load: Load) -> Span:
    sender.start()
    progress = sender.progress()
    try:
        wait_until(
            lambda: alive(sender) and progress.sealed_rows() > 1,
            within_s=load.patience_s,
            what="the first seal",
        )
        with _profiled(load, "sealing", sender):
            left = progress.unsealed()
            before = mark([sender.pid])
            wait_until(
                lambda: alive(sender) and progress.is_sealed(),
                within_s=load.patience_s,
                what="all are sealed",
            )
            after = mark([sender.pid])
        return _span(before, after, left, sender)
    finally:
        progress.close()


def _until_all_are_here(nodes: Pair, load: Load, name: str) -> Span:
    outbox, inbox = nodes.sender.progress(), nodes.recipient.progress()
    both = (nodes.sender, nodes.recipient)
    try:
        wait_until(
            lambda: alive(*both) and inbox.received(),
            within_s=load.patience_s,
            what="the first document",
        )
        with _profiled(load, name, *both):
            before = mark(nodes.process_ids, inbox.received())
            wait_until(
                lambda: alive(*both) and inbox.received() >= load.count and outbox.is_done(),
                within_s=load.patience_s,
                what="all receipts",
            )
            after = mark(nodes.process_ids)
        check(outbox, inbox, load.count)
        return _span(before, after, load.count - before.documents, *both)
    finally:
        outbox.close()
        inbox.close()


def alive(*nodes: BenchNode) -> bool:
    """Nobody waits for a node that has ended.

    Raises:
        AssertionError: One has; with the end of its log.
    """
    for node in nodes:
        assert node.running, f"{node.code} ended: {node.log.read_text()[-1000:]}"
    return True


def check(outbox: Progress, inbox: Progress, count: int) -> None:
    """Every document arrived once and has its receipt.

    Raises:
        AssertionError: Not so.
    """
    found = (inbox.in_inbox(), inbox.distinct_received(), outbox.delivered())
    assert found == (count, count, count), f"inbox, different, receipts: {found} of {count}"


def _span(before: Mark, after: Mark, documents: int, *nodes: BenchNode) -> Span:
    assert documents > 0, "all was over before the first look: take more documents"
    peak = tuple(memory_mib(node.pid, "VmHWM") for node in nodes)
    return replace(before.until(after, documents), peak_mib=peak)


def _profiled(load: Load, name: str, *nodes: BenchNode) -> contextlib.AbstractContextManager[None]:
    """Profiles nodes in a block, if that is wanted."""
    return looked_at(load.profile, name, {node.code: node.pid for node in nodes}, load.count)
