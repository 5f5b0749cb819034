"""Who watches over the log, in SQL: part of ``domain.ports.Records``."""

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from edoccore.directory.layout import WitnessListing
from edocregistry.storage.tables import LogPolicyRow, WitnessRow

WITNESS = WitnessRow.__table__  # type: ignore[attr-defined]  # set by table=True
LOG_POLICY = LogPolicyRow.__table__  # type: ignore[attr-defined]
_ONLY = 1  # place of the one row


class SqlWitnesses:
    """Witnesses of the log, and how many of them must cosign."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def witnesses(self) -> tuple[WitnessListing, ...]:
        """Who watches over the log, by code."""
        rows = self._connection.execute(select(WITNESS).order_by(WITNESS.c.agency)).all()
        return tuple(WitnessListing(agency=row.agency, key=row.key) for row in rows)

    def put_witness(self, witness: WitnessListing) -> None:
        """Adds one, or replaces its key."""
        values = {"agency": witness.agency, "key": witness.key}
        statement = upsert(WITNESS).values(values)
        self._connection.execute(statement.on_conflict_do_update(["agency"], set_=values))

    def remove_witness(self, agency: str) -> None:
        """Removes one; none is removed when it is not there."""
        self._connection.execute(delete(WITNESS).where(WITNESS.c.agency == agency))

    def witness_threshold(self) -> int:
        """How many witnesses must cosign; 0: none."""
        found = self._connection.execute(select(LOG_POLICY.c.threshold)).scalar()
        return found or 0

    def set_witness_threshold(self, threshold: int) -> None:
        """Replaces how many must cosign."""
        values = {"place": _ONLY, "threshold": threshold}
        statement = upsert(LOG_POLICY).values(values)
        self._connection.execute(statement.on_conflict_do_update(["place"], set_=values))
