"""What officers order about the suites of seals."""

from edocregistry.app.registry import Registry
from edocregistry.domain import suites
from edocregistry.domain.model import SuiteMinimum


def set_minimum_suite(registry: Registry, actor: str, code: str, suite: int) -> SuiteMinimum:
    """Sets the weakest suite of an agency's seals; see ``domain.suites.set_minimum``."""
    return registry.act(
        actor,
        f"agency minimum {code} --suite {suite}",
        lambda records, now: suites.set_minimum(records, code, suite, now),
    )[0]
