"""How numbers read in either language."""

from collections.abc import Iterator

import pytest

from edockit.language import Language, speak
from edocnode.cli.wording import grouped, percentage


@pytest.fixture
def vietnamese() -> Iterator[None]:
    speak(Language.VIETNAMESE, ())
    yield
    speak(Language.ENGLISH, ())


def test_numbers_have_the_signs_of_english() -> None:
    assert (grouped(1_239_000), grouped(9), percentage(0.975)) == ("1,239,000", "9", "97.5%")


@pytest.mark.usefixtures("vietnamese")
def test_numbers_have_the_signs_of_vietnamese() -> None:
    assert (grouped(1_239_000), grouped(9), percentage(0.975)) == ("1.239.000", "9", "97,5%")
