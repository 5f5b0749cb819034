"""Work on many items step by step, each step for all of them, instead of one item after another.

A processor keeps only so much of a program at hand. Where the work on one item is a long way
through a program, going it anew for each costs a fifth to a quarter more than taking each step for
a few dozen items.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from edoccore.errors import StorageFailedError

Result = TypeVar("Result")
Failure = TypeVar("Failure", bound=Exception)


def of_each(
    step: Callable[..., Result],
    items: Sequence[Any],
    *others: Sequence[Any],
    failures: type[Failure],
) -> list[Result | Failure]:
    """What a step makes of each item, in order.

    Args:
        step: Gets an item, and what stands in its place in each of ``others``.
        items: A failure of an earlier step among them stays as it is.
        failures: What a step may raise over one item; it then stands in the place of its result.

    Raises:
        StorageFailedError: The disk failed; the node must stop.
    """
    results: list[Result | Failure] = []
    for row in zip(items, *others, strict=True):
        if isinstance(row[0], failures):
            results.append(row[0])
            continue
        try:
            results.append(step(*row))
        except StorageFailedError:
            raise
        except failures as error:
            results.append(error)
    return results
