"""Commands about who may see what, and who saw it: access add, list, restrict, history, ..."""

from datetime import datetime
from typing import Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import VIET_NAM, _, told
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import clock, plain

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.")]
Agencies = Annotated[
    list[str] | None,
    typer.Option("--agency", help="Code whose documents it sees; give it once for each."),
]
Subtree = Annotated[
    bool, typer.Option("--subtree", help="It sees all that this node serves, now and later.")
]
May = Annotated[
    str,
    typer.Option(
        "--may", help="read, process, decide, send, statistics, separated by commas, or all."
    ),
]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters.")
]
Actor = Annotated[str, typer.Option("--actor", help="Who decides; default: you.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without it nothing is done.")]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Says which offices may see and do what, and shows what they did.")
    app.command()(add)
    app.command("list")(list_accounts)
    app.command()(show)
    app.command()(change)
    app.command()(renew)
    app.command()(end)
    app.command()(restrict)
    app.command("open")(open_document)
    app.command()(history)
    return app


def add(
    context: typer.Context,
    name: Name,
    agency: Agencies = None,
    subtree: Subtree = False,
    may: May = "all",
    actor: Actor = "",
) -> None:
    """Makes an account for an office and prints its token, once."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.add(
            name,
            agencies=agency or (),
            subtree=subtree,
            may=may.split(","),
            actor=actor or operating_system_user(),
        )
    _tell_token(options, found)


def list_accounts(context: typer.Context) -> None:
    """Lists the accounts, also those that have ended."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.accounts()
    options.console.data(found, "\n".join(map(_line, found["accounts"])) or _("No accounts."))


def show(context: typer.Context, name: Name) -> None:
    """Shows one account, and the documents on which it is named."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.account(name)
    named = [f"{each['document_id']}  {_rights(each['may'])}" for each in found["named"]]
    more = found["named_count"] - len(named)
    if named:
        named.insert(0, _("Named on documents, and may there:"))
    if more:
        named.append(_("{more} more documents", more=more))
    options.console.data(found, "\n".join([_line(found), *named]))


def change(
    context: typer.Context,
    name: Name,
    agency: Agencies = None,
    subtree: Subtree = False,
    may: Annotated[str, typer.Option("--may", help="New rights; default: as before.")] = "",
    actor: Actor = "",
) -> None:
    """Changes what an account sees and may do.

    It holds at once, also for calls that are open. What is not given stays.
    """
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.change(
            name,
            agencies=agency or (),
            subtree=subtree,
            may=may.split(",") if may else (),
            actor=actor or operating_system_user(),
        )
    options.console.data(found, _line(found))


def renew(context: typer.Context, name: Name, actor: Actor = "") -> None:
    """Prints a new token; the old one ends at once."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.renew(name, actor or operating_system_user())
    _tell_token(options, found)


def end(context: typer.Context, name: Name, yes: Yes = False, actor: Actor = "") -> None:
    """Ends an account for good, at once."""
    options: CommandContext = context.obj
    if not yes:
        raise RequestInvalidError(
            f"The account {name} would end for good, and its name would not be used again.",
            hint="Add --yes to do it.",
        )
    with options.access() as node:
        found = node.end(name, actor or operating_system_user())
    options.console.data(found, _line(found))


def restrict(
    context: typer.Context,
    document: Id,
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="NAME[=RIGHTS]",
            help="Account that sees it, once for each; RIGHTS: read (default), process, decide, "
            "send, or all.",
        ),
    ],
    actor: Actor = "",
) -> None:
    """Lets only the named accounts see a document, whatever their agencies.

    They may read it, and do what is said of each, if the account may do it anyway; and deal with it
    while it is assigned to them.
    """
    options: CommandContext = context.obj
    named = {
        name: [right for right in rights.split(",") if right]
        for name, __, rights in (each.partition("=") for each in to)
    }
    with options.access() as node:
        found = node.restrict(document, named, actor or operating_system_user())
    options.console.data(
        found,
        _(
            "{document_id} is seen by {accounts} alone.",
            document_id=found["document_id"],
            accounts=", ".join(
                f"{each['name']} ({_rights(each['may'])})" for each in found["accounts"]
            ),
        ),
    )


def open_document(context: typer.Context, document: Id, actor: Actor = "") -> None:
    """Lets whoever its agencies let see a document again."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.restrict(document, {}, actor or operating_system_user())
    text = _("{document_id} is seen by whoever its agencies let.", document_id=found["document_id"])
    options.console.data(found, text)


def history(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="[ID]", help="Document id, message id, or its first 8 characters."),
    ] = "",
    account: Annotated[
        str, typer.Option("--account", help="Only of this account; operator: without token.")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", help="Only from this day or moment on, Viet Nam time.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="At most this many.")
    ] = 100,
    after: Annotated[str, typer.Option("--after", help="Where the page before ended.")] = "",
) -> None:
    """Shows who saw and did what, newest first."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.history(
            document, account=account, since=moment_of(since), limit=limit, after=after
        )
    lines = [_entry(item) for item in found["entries"]]
    options.console.data(found, "\n".join(lines) or _("Nobody has."))
    if found["next"]:
        options.console.say(_("More: add --after {next}", next=found["next"]))


def moment_of(text: str) -> datetime | None:
    """Reads a day or moment as people write it, in Viet Nam's time; empty: None.

    Raises:
        RequestInvalidError: It is neither.
    """
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise RequestInvalidError(
            f"{text[:40]!r} is no moment.", hint="Write it like 2026-12-01 or 2026-12-01T08:00."
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=VIET_NAM)


def _tell_token(options: CommandContext, found: dict[str, Any]) -> None:
    options.console.data(found, found["token"])
    options.console.say(_line(found))
    options.console.say(
        _(
            "This is its token; it is shown this once and kept nowhere. Put it into a file that "
            "only the office's program may read, and name that file with --token-file or "
            "EDOCNODE_TOKEN_FILE."
        )
    )


def _line(account: dict[str, Any]) -> str:
    if account["ended_at"]:
        return _("{name}: ended {at}", name=account["name"], at=clock(account["ended_at"]))
    everything = _("all that the node serves")
    return _(
        "{name}: sees {agencies}; may {rights}",
        name=account["name"],
        agencies=everything if account["subtree"] else ", ".join(account["agencies"]),
        rights=_rights(account["may"]),
    )


def _rights(may: list[str]) -> str:
    return ", ".join(map(_, may))


def _entry(item: dict[str, Any]) -> str:
    who = f"{item['account']} ({plain(item['actor'])})" if item["actor"] else item["account"]
    rest = " ".join(text for text in (item["document_id"], plain(told(item["detail"]))) if text)
    return f"{clock(item['time'])}  {who}  {_(item['action'])}  {rest}".rstrip()
