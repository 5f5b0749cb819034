"""Which deliveries the sealer takes next: urgent lanes first, and equal parts for all recipients.

What waits for one node holds up no other: each node of a lane gives its oldest deliveries, as many
as every other. However much waits, a look costs one step of an index for each node, and names at
most as many nodes as there are places; the next look goes on behind them.
"""

from collections.abc import MutableMapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edocnode.domain.lanes import shared
from edocnode.domain.model import Lane

# The first of an order, not the least: PostgreSQL reads all of an index for a ``min`` when it takes
# few to wait.
_NODES = """
WITH RECURSIVE nodes(node) AS (
  SELECT (SELECT to_node FROM delivery
    WHERE state = 'unsealed' AND lane = :lane AND to_node > :after ORDER BY to_node LIMIT 1)
  UNION ALL
  SELECT (SELECT to_node FROM delivery
    WHERE state = 'unsealed' AND lane = :lane AND to_node > node ORDER BY to_node LIMIT 1)
  FROM nodes WHERE node IS NOT NULL)
"""
_LISTED = "SELECT node FROM nodes WHERE node IS NOT NULL LIMIT :limit"
_NODES_OF_LANE = sa.text(f"{_NODES} {_LISTED}")
_WAITING = (
    "SELECT waiting.id FROM delivery AS waiting WHERE state = 'unsealed' AND lane = :lane "
    "AND to_node = listed.node ORDER BY waiting.id LIMIT :share"
)
_OLDEST_OF_EACH = {  # each by what its planner does well
    "sqlite": sa.text(
        f"{_NODES} SELECT delivery.id FROM ({_LISTED}) AS listed, delivery "  # noqa: S608 - no values
        f"WHERE delivery.id IN ({_WAITING})"
    ),
    "postgresql": sa.text(
        f"{_NODES} SELECT oldest.id FROM ({_LISTED}) AS listed "  # noqa: S608
        f"CROSS JOIN LATERAL ({_WAITING}) AS oldest"
    ),
}
_ANY_OF_LANE = sa.text(
    "SELECT id FROM delivery WHERE state = 'unsealed' AND lane = :lane "
    "ORDER BY to_node, id LIMIT :limit"
)


def next_unsealed(
    connection: Connection, limit: int, after: MutableMapping[Lane, str]
) -> list[int]:
    """Rows of the deliveries to seal next; fewer than ``limit`` only when no more wait.

    Args:
        after: By lane, behind which node the last look ended; changed by this one.
    """
    taken: list[int] = []
    last = Lane.HOA_TOC
    for last in Lane:
        taken += _of_lane(connection, last, limit - len(taken), after)
        if len(taken) == limit:
            break

    def below(lane: Lane, count: int) -> list[int]:
        found: list[int] = []
        for lower in Lane:
            if lower > lane:
                found += _of_lane(connection, lower, count - len(found), after)
        return found

    return shared(taken, limit, below, last=last)


def _of_lane(
    connection: Connection, lane: Lane, count: int, after: MutableMapping[Lane, str]
) -> list[int]:
    if not count:
        return []
    place = {"lane": lane.value, "after": after.get(lane, ""), "limit": count}
    nodes = connection.scalars(_NODES_OF_LANE, place).all()
    if not nodes and place["after"]:
        place["after"] = ""
        nodes = connection.scalars(_NODES_OF_LANE, place).all()
    after[lane] = nodes[-1] if len(nodes) == count else ""
    if not nodes:
        return []
    share = {"share": count // len(nodes)}
    oldest = _OLDEST_OF_EACH[connection.dialect.name]
    taken = list(connection.scalars(oldest, place | share))
    if len(taken) < count:  # what is over, and what some nodes have no use for
        known = set(taken)
        rest = [row for row in connection.scalars(_ANY_OF_LANE, place) if row not in known]
        taken += rest[: count - len(taken)]
    return taken
