"""The weakest suite that an agency may seal with, as officers decide it.

It is raised only when the agency has gone over already: its node's endpoint statement must be under
a seal of that suite, for that is the first thing every reader would refuse. What was sealed before
stays good where somebody else shows that it is older.
"""

from datetime import datetime

from edoccore.errors import DecisionConflictError, RequestInvalidError
from edoccore.identity.suites import Suite, is_at_least
from edoccore.signing import canonical
from edoccore.signing.statements import Seal
from edocregistry.domain.agencies import check_has_node, known_agency
from edocregistry.domain.model import REGISTRY_CODE, SuiteMinimum
from edocregistry.domain.ports import Records

ONE_KEY = Suite.ECDSA_P256_SHA256  # what holds for an agency of which nothing else was decided
SUITES = (ONE_KEY, Suite.ECDSA_P256_MLDSA65)  # RSA is no stronger than ECDSA: no minimum of its own


def set_minimum(records: Records, code: str, suite: int, now: datetime) -> SuiteMinimum:
    """Sets an agency's minimum; the one in force again changes nothing.

    Args:
        records: Where it is kept.
        code: The agency, or an alias.
        suite: 1 or 2.
        now: A higher one counts from here on.

    Raises:
        AgencyUnknownError: There is no such agency.
        RequestInvalidError: There is no such minimum, or the agency has no seal of its own.
        DecisionConflictError: Its node still seals with a weaker suite.
    """
    agency = known_agency(records, code)
    check_has_node(agency)
    if agency.code == REGISTRY_CODE:
        raise RequestInvalidError("The registry's own seal has one key; it has no minimum.")
    if suite not in SUITES:
        raise RequestInvalidError(
            f"There is no minimum {suite}.",
            hint="1: ECDSA P-256 or RSA. 2: ECDSA P-256 together with ML-DSA-65.",
        )
    known = records.suite_minimums(agency.code).get(
        agency.code, SuiteMinimum(ONE_KEY, agency.valid_from)
    )
    if known.suite == suite:
        return known
    if is_at_least(suite, known.suite):
        _check_has_gone_over(records, agency.code, suite)
    minimum = SuiteMinimum(suite, now)
    records.put_suite_minimum(agency.code, minimum)
    return minimum


def _check_has_gone_over(records: Records, code: str, suite: int) -> None:
    endpoint = records.endpoint(code)
    used = 0 if endpoint is None else canonical.decode(endpoint.seal, Seal).suite
    if not is_at_least(used, suite):
        raise DecisionConflictError(
            f"The node of {code} does not seal with suite {suite} yet; nobody would take anything "
            "from it any more.",
            hint=f"Write seal_suite = {suite} into its settings: it goes over by itself in some 45 "
            "days, or at once with a new join string and edocnode keys replace.",
            agency=code,
        )
