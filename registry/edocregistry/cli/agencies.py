"""Commands about agencies: add, delegate, list, show, rename, pause, merge, minimum, close."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edockit.language import _, marked, told
from edocregistry.cli.context import (
    CommandContext,
    moment_of,
    operating_system_user,
    require_yes,
)
from edocregistry.cli.drafts import tell_waiting
from edocregistry.cli.suites import minimum

if TYPE_CHECKING:
    from edocregistry.app.listing import AgencyView
    from edocregistry.domain.model import Agency

AGENCY_SCHEMA = "edoc.registry-agency/v1"
AGENCIES_SCHEMA = "edoc.registry-agencies/v1"
DELEGATE_SCHEMA = "edoc.registry-delegate/v1"
_MOMENTS = ("valid_from", "valid_to", "seal_ends_at")

Code = Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency, such as H29.")]
Yes = Annotated[bool, typer.Option("--yes", help="Really; it cannot be undone.")]
At = Annotated[
    str | None,
    typer.Option("--at", help="When, such as 2025-07-01T00:00:00+07:00; default: now."),
]


def build_app() -> typer.Typer:
    """Puts the commands about agencies together."""
    app = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Adds, shows and ends agencies."
    )
    app.command("add")(add)
    app.command("delegate")(delegate)
    app.command("list")(list_agencies)
    app.command("show")(show)
    app.command("rename")(rename)
    app.command("suspend")(suspend)
    app.command("resume")(resume)
    app.command("merge")(merge)
    app.command("split")(split)
    app.command("close")(close)
    app.command()(minimum)
    return app


def add(
    context: typer.Context,
    code: Code,
    name: Annotated[str, typer.Option("--name", help="Official name.")],
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Another code of it; may be repeated.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Agency whose node and seal serve it.")
    ] = None,
) -> None:
    """Adds an agency, or a sub-agency that another agency's node serves."""
    options: CommandContext = context.obj
    agency = options.registry().add_agency(
        operating_system_user(), code, name, aliases=tuple(alias or ()), owner=owner
    )
    _tell(options, agency)
    tell_waiting(options)
    if owner is None:
        options.console.say(_("Next: edocregistry invite {code}", code=agency.code))


def delegate(
    context: typer.Context,
    code: Code,
    spaces: Annotated[
        list[str],
        typer.Argument(
            metavar="SPACE...",
            help="Codes that it may list itself: 'H29.*', or '*.H29' for old codes.",
        ),
    ],
    end: Annotated[
        bool, typer.Option("--end", help="Take spaces back in which it never listed a code.")
    ] = False,
) -> None:
    """Lets an agency list its sub-agencies itself, on its own node, without officers."""
    options: CommandContext = context.obj
    registry, actor = options.registry(), operating_system_user()
    change = registry.end_spaces if end else registry.give_spaces
    kept = list(change(actor, code, spaces))
    options.console.data(
        {"schema": DELEGATE_SCHEMA, "agency": code, "spaces": kept},
        _("{code} lists codes itself in: {spaces}", code=code, spaces=", ".join(kept))
        if kept
        else _("{code} lists no codes itself", code=code),
    )
    tell_waiting(options)
    if not end:
        options.console.say(
            _(
                "Next, on the node of {code}: edocnode directory accept --yes, then "
                "edocnode subagency add CODE --name TEXT",
                code=code,
            )
        )


def list_agencies(context: typer.Context) -> None:
    """Lists all agencies, closed ones too."""
    from edockit.console import table
    from edocregistry.app.listing import agency_views

    options: CommandContext = context.obj
    views = agency_views(options.registry())
    rows = [
        (
            view.agency.code,
            told(view.agency.state.value.lower()),
            _("yes") if view.seal else _("no"),
            view.agency.owner or "",
            view.agency.name,
        )
        for view in views
    ]
    options.console.data(
        {"schema": AGENCIES_SCHEMA, "agencies": [_view_object(view) for view in views]},
        table((_("code"), _("state"), _("enrolled"), _("owner"), _("name")), rows),
    )


def show(context: typer.Context, code: Code) -> None:
    """Shows one agency: codes, state, keys, where its node is reached."""
    from edocregistry.app.listing import agency_view

    options: CommandContext = context.obj
    view = agency_view(options.registry(), code)
    found = _view_object(view)
    text = "\n".join(
        f"{label:<20}{_shown(key, found[key])}" for key, label in _labels().items() if found[key]
    )
    options.console.data({"schema": AGENCY_SCHEMA, **found}, text)


def rename(
    context: typer.Context,
    code: Code,
    name: Annotated[str | None, typer.Option("--name", help="New official name.")] = None,
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Another code of it; may be repeated.")
    ] = None,
) -> None:
    """Gives an agency another name, or more codes; its own code stays."""
    from edocregistry.app import succession

    options: CommandContext = context.obj
    renamed = succession.rename(
        options.registry(), operating_system_user(), code, name=name, aliases=tuple(alias or ())
    )
    _tell(options, renamed)
    tell_waiting(options)


def merge(
    context: typer.Context,
    codes: Annotated[list[str], typer.Argument(metavar="CODE...", help="Agencies that end.")],
    into: Annotated[str, typer.Option("--into", help="Agency that takes their documents.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Official name of that one, when it is new.")
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", help="Another code of it, when it is new; may be repeated."),
    ] = None,
    at: At = None,
    yes: Yes = False,
) -> None:
    """Merges agencies into one; documents to them then go to its node."""
    from edocregistry.app import succession

    require_yes(given=yes, what=marked(f"Merging {', '.join(codes)}"))
    options: CommandContext = context.obj
    found = succession.merge(
        options.registry(),
        operating_system_user(),
        codes,
        into,
        name=name,
        aliases=tuple(alias or ()),
        at=None if at is None else moment_of(at),
    )
    tell_ends(options, found[:-1])


def split(
    context: typer.Context,
    code: Code,
    into: Annotated[
        list[str], typer.Option("--into", help="Agency that follows it; two or more times.")
    ],
    at: At = None,
    yes: Yes = False,
) -> None:
    """Splits an agency into several; whoever writes to it then chooses one of them."""
    from edocregistry.app import succession

    require_yes(given=yes, what=marked(f"Splitting {code}"))
    options: CommandContext = context.obj
    moment = None if at is None else moment_of(at)
    found = succession.split(options.registry(), operating_system_user(), code, into, moment)
    tell_ends(options, found[:1])


def suspend(context: typer.Context, code: Code) -> None:
    """Suspends an agency: nothing goes to it or comes from it until it is resumed."""
    options: CommandContext = context.obj
    _tell(options, options.registry().suspend_agency(operating_system_user(), code))
    tell_waiting(options)


def resume(context: typer.Context, code: Code) -> None:
    """Ends the suspension of an agency."""
    options: CommandContext = context.obj
    _tell(options, options.registry().resume_agency(operating_system_user(), code))
    tell_waiting(options)


def close(
    context: typer.Context,
    code: Code,
    at: At = None,
    yes: Yes = False,
) -> None:
    """Ends an agency for good; its code is never used again."""
    require_yes(given=yes, what=marked(f"Closing {code}"))
    options: CommandContext = context.obj
    moment = None if at is None else moment_of(at)
    _tell(options, options.registry().close_agency(operating_system_user(), code, moment))
    tell_waiting(options)


def tell_ends(options: CommandContext, ending: "Sequence[Agency]") -> None:
    """Says of each agency that ends who follows it, and what its operator does."""
    from edockit.console import local_time_text

    lines = [
        _(
            "{code} ({name}) ends {moment}; it is followed by {successors}",
            code=agency.code,
            name=agency.name,
            moment=local_time_text(agency.valid_to),
            successors=", ".join(agency.successors),
        )
        for agency in ending
        if agency.valid_to is not None
    ]
    options.console.data(
        {"schema": AGENCIES_SCHEMA, "agencies": [_agency_object(item) for item in ending]},
        "\n".join(lines),
    )
    tell_waiting(options)


def _tell(options: CommandContext, agency: "Agency") -> None:
    text = _(
        "{code} ({name}) is {state}",
        code=agency.code,
        name=agency.name,
        state=told(agency.state.value.lower()),
    )
    options.console.data({"schema": AGENCY_SCHEMA, **_agency_object(agency)}, text)


def _agency_object(agency: "Agency") -> dict[str, Any]:
    from edockit.console import local_time

    return {
        "code": agency.code,
        "name": agency.name,
        "aliases": list(agency.aliases),
        "owner": agency.owner,
        "state": agency.state.value.lower(),
        "valid_from": local_time(agency.valid_from),
        "valid_to": None if agency.valid_to is None else local_time(agency.valid_to),
        "successors": list(agency.successors),
    }


def _view_object(view: "AgencyView") -> dict[str, Any]:
    from edockit.console import local_time

    return {
        **_agency_object(view.agency),
        "enrolled": view.seal is not None,
        "seal_sha256": view.seal,
        "seal_ends_at": None if view.seal_ends_at is None else local_time(view.seal_ends_at),
        "minimum_suite": view.minimum_suite,
        "addresses": list(view.addresses),
        "tls_sha256": list(view.tls),
        "revoked": list(view.revoked),
        "spaces": list(view.spaces),
        "listed": view.listed,
    }


def _labels() -> dict[str, str]:
    """What a person reads before each value that is shown of an agency."""
    return {
        "code": _("code"),
        "name": _("name"),
        "aliases": _("aliases"),
        "owner": _("owner"),
        "state": _("state"),
        "valid_from": _("valid from"),
        "valid_to": _("valid to"),
        "successors": _("followed by"),
        "enrolled": _("enrolled"),
        "seal_sha256": _("seal SHA-256"),
        "seal_ends_at": _("seal ends"),
        "minimum_suite": _("minimum suite"),
        "addresses": _("addresses"),
        "tls_sha256": _("TLS SHA-256"),
        "revoked": _("revoked"),
        "spaces": _("lists codes in"),
        "listed": _("codes in its list"),
    }


def _shown(key: str, value: object) -> str:
    from edockit.console import local_time_text

    if key in _MOMENTS:
        return local_time_text(datetime.fromisoformat(str(value)))
    if isinstance(value, list):
        return ", ".join(value)
    return _("yes") if value is True else told(str(value))
