"""The command agency minimum: the weakest suite of seals that is accepted from an agency."""

from typing import Annotated

import typer

from edockit.language import _
from edocregistry.cli.context import CommandContext, operating_system_user
from edocregistry.cli.drafts import tell_waiting

MINIMUM_SCHEMA = "edoc.registry-minimum/v1"


def minimum(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency, such as H29.")],
    suite: Annotated[
        int,
        typer.Option(
            "--suite", help="1: ECDSA P-256 or RSA; 2: ECDSA P-256 together with ML-DSA-65."
        ),
    ],
) -> None:
    """Sets the weakest suite of seals that is accepted from an agency."""
    from edockit.console import local_time
    from edocregistry.app.suites import set_minimum_suite

    options: CommandContext = context.obj
    found = set_minimum_suite(options.registry(), operating_system_user(), code, suite)
    options.console.data(
        {
            "schema": MINIMUM_SCHEMA,
            "code": code,
            "minimum_suite": found.suite,
            "since": local_time(found.since),
        },
        _("From {code} seals of suite {suite} at least are accepted.", code=code, suite=suite),
    )
    tell_waiting(options)
