"""NIST's path validation suite: what the checks say of each case, and why where they differ.

``pkits.tsv`` has every case; its results are those of the code now, so a change of any of them is
seen. Where one differs from NIST's, ``differs`` names the reason in ``REASONS``.
"""

import csv
import warnings
from pathlib import Path

import pytest

from tests.unit.edoccore.identity import pkits

ROWS = list(
    csv.DictReader(
        Path(__file__).with_name("pkits.tsv").read_text(encoding="utf-8").splitlines(),
        delimiter="\t",
    )
)
# Why a case is judged otherwise than by NIST. All but the last two are stricter.
REASONS = {
    "dsa": "DSA keys are refused; FIPS 186-5 no longer has them",
    "time": "a date before 2050 as GeneralizedTime is refused; RFC 5280, 4.1.2.5 forbids it",
    "names": "names are compared byte for byte, not folded; an issuer copies its own name",
    "keys": "lists count by the key that issued, not by another certificate of the same name",
    "self-issued": "no path is built through a certificate that an authority issued to itself",
    "long": "at most two certificates between leaf and anchor are looked at",
    "policies": "critical policy mappings and constraints are not understood, so refused",
    "constraints": "constraints of directory names and addresses are not understood: refused",
    "partial": "lists of some reasons, of others' certificates or of one point never prove absence",
    "undone": "a revocation is never undone, though a later list takes it off",
    "policies-asked": "no policy is asked for: who may vouch for seals is listed by name",
}


@pytest.fixture(autouse=True)
def no_negative_serials_warning() -> None:
    """Two cases have serial numbers that RFC 5280 forbids; the library says so once more."""
    warnings.filterwarnings("ignore", message=".*serial number which wasn't positive.*")


def differs(row: dict[str, str]) -> bool:
    """Whether NIST expects another answer; what is not known to be good is not accepted."""
    return (row["expected"] == "valid") is not (row["path"] == pkits.ACCEPTED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['case']}-{row['leaf']}")
def test_a_case_is_judged_as_it_was(row: dict[str, str]) -> None:
    found = pkits.judge(row["leaf"])
    assert (found.path, "revoked" if found.directory else "-") == (row["path"], row["directory"])


def test_every_case_of_the_suite_is_in_the_table_once() -> None:
    listed = [row["leaf"] for row in ROWS]
    assert sorted(listed) == sorted(pkits.leaves())
    assert len({row["case"] for row in ROWS}) == len(ROWS) == 223


def test_every_difference_has_a_reason_and_no_other_case_has_one() -> None:
    for row in ROWS:
        assert (row["differs"] != "-") is differs(row), row
    assert {row["differs"] for row in ROWS} - {"-"} == set(REASONS)


def test_nothing_that_nist_refuses_is_accepted_but_for_policies() -> None:
    loose = {row["case"] for row in ROWS if differs(row) and row["expected"] == "invalid"}
    assert loose == {"4.8.4", "4.8.5", "4.8.12"}
