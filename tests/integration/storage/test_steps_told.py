"""Of what a recipient tells of one delivery, what counts is shown, however much it tells."""

import sqlalchemy as sa

from edoccore.signing.records import DocumentState, StatusStep
from edockit.database import Database
from edocnode.storage.steps import SHOWN, steps_told
from edocnode.storage.tables import StatusGotRow, table_of
from tests.integration.storage.test_scope import filled

STATUS = table_of(StatusGotRow)
DELIVERY, ASKED = b"d" * 16, b"a" * 32


def told(number: int, *, answers: bytes | None = None) -> dict[str, object]:
    return {
        **filled(STATUS, incoming_id=number, message_id=DELIVERY, step_order=number),
        "step": StatusStep.PROCESSING.value,
        "state": DocumentState.PROCESSING.value,
        "answers": answers,
        "still_held": "",
    }


def test_flood_of_steps_shows_the_last_ones_and_the_answer_before_them(database: Database) -> None:
    rows = [told(1, answers=ASKED), *(told(number) for number in range(2, 3 * SHOWN))]
    database.write(lambda connection: connection.execute(sa.insert(STATUS), rows)).result()
    found = database.read(lambda connection: steps_told(connection, [DELIVERY]))
    last = [row["step_order"] for row in rows[-SHOWN:]]
    assert [step.order for step in found[DELIVERY]] == [1, *last]
    assert found[DELIVERY][0].answers == ASKED
