"""The working calendar that is in force: public holidays from a library, the rest from files.

The ``holidays`` package knows the holidays of Viet Nam, lunar ones computed, and many days that
were exchanged. What it does not know stands in ``working_days.toml`` beside this module and in a
file of the operator's, which goes before it: each notice of the Government is data.
"""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edoccore.errors import SettingsError
from edocnode.domain.calendar import WorkingCalendar, day_in_viet_nam
from edocnode.domain.deadlines import DeadlineRules
from edocnode.settings import NodeSettings

FIRST_YEAR = 2018  # Decision 28/2018 came into force
YEARS_AHEAD = 5
SHIPPED = "working_days.toml"
MAX_FILE_BYTES = 256 * 1024


class _Year(BaseModel):
    """What a file says of one year."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    year: Annotated[int, Field(ge=FIRST_YEAR, le=2200)]
    source: Annotated[str, Field(min_length=1, max_length=1000)]
    verified: bool
    days_off: Annotated[tuple[date, ...], Field(max_length=366)] = ()
    working_days: Annotated[tuple[date, ...], Field(max_length=366)] = ()


class _Years(BaseModel):
    """A file of days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    year: Annotated[tuple[_Year, ...], Field(max_length=300)] = ()


class WorkingDays:
    """Gives the rules for deadlines, with the calendar of the years around a moment."""

    def __init__(self, settings: NodeSettings, folder: Path) -> None:
        """Takes the settings and the data folder, in which the operator's file is looked for."""
        self._settings = settings
        self._folder = folder
        self._year = 0
        self._rules: DeadlineRules | None = None

    def rules(self, now: datetime) -> DeadlineRules:
        """The rules in force; reads files and counts holidays at first and in each new year.

        Raises:
            SettingsError: The operator's file cannot be read, or says something impossible.
        """
        year = day_in_viet_nam(now).year
        if self._rules is None or self._year != year:
            self._rules, self._year = read_rules(self._settings, self._folder, year), year
        return self._rules


def read_rules(settings: NodeSettings, folder: Path, year: int) -> DeadlineRules:
    """Reads files and counts holidays up to some years after one.

    Raises:
        SettingsError: The operator's file cannot be read, or says something impossible.
    """
    own = _read(folder / settings.calendar_file) if settings.calendar_file else {}
    known = {**_shipped(), **own}
    off, worked = _public_holidays(year + YEARS_AHEAD)
    days_off = {day for one in known.values() for day in one.days_off}
    working_days = {day for one in known.values() for day in one.working_days}
    calendar = WorkingCalendar(
        days_off=off | days_off,
        working_days=(worked - days_off) | working_days,
        hours=settings.working_spans,
    )
    calendar.next_working_day(date(year, 1, 1))
    return settings.deadline_rules(calendar)


def _public_holidays(last_year: int) -> tuple[frozenset[date], frozenset[date]]:
    """Days off, and weekend days worked for them, as the library knows them."""
    import holidays  # noqa: PLC0415 - only when deadlines are judged

    known = holidays.country_holidays("VN", years=range(FIRST_YEAR, last_year + 1))
    return frozenset(known), frozenset(known.weekend_workdays)


def _shipped() -> Mapping[int, _Year]:
    text = files(__package__).joinpath(SHIPPED).read_text(encoding="utf-8")
    return _by_year(tomllib.loads(text), SHIPPED)


def _read(file: Path) -> Mapping[int, _Year]:
    try:
        content = file.read_bytes()
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
        return _by_year(tomllib.loads(content.decode("utf-8")), str(file))
    except OSError as error:
        raise SettingsError(
            f"The calendar in {file} cannot be read: {error.strerror}.",
            hint="Correct the setting calendar_file, or who may read the file.",
            file=str(file),
        ) from error
    except (ValueError, RecursionError) as error:  # neither TOML nor UTF-8
        raise SettingsError(
            f"The calendar in {file} is not valid TOML: {error}.",
            hint="Correct that line; days are written like 2026-01-02, without quotes.",
            file=str(file),
        ) from error


def _by_year(content: Mapping[str, object], name: str) -> Mapping[int, _Year]:
    """What a file says, by year.

    Raises:
        SettingsError: A key is unknown, or a day is not of its year or both off and worked.
    """
    try:
        years = _Years.model_validate(content).year
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"{key} in the calendar {name} cannot be used: {first['msg']}.",
            hint="Each [[year]] has year, source, verified, days_off and working_days.",
            file=name,
        ) from error
    for one in years:
        strange = {day for day in one.days_off + one.working_days if day.year != one.year}
        strange |= set(one.days_off) & set(one.working_days)
        if strange:
            raise SettingsError(
                f"{min(strange)} in the calendar {name} is not a day of {one.year}, or both off "
                f"and worked.",
                hint="Correct that day.",
                file=name,
            )
    return {one.year: one for one in years}
