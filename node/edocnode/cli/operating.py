"""Commands for those who run a node: status, peers, ping, takeover."""

from typing import Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _, told
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.key_files import key_text
from edocnode.cli.late import number_text
from edocnode.cli.wording import clock, peer_trouble, sentence


def status(context: typer.Context) -> None:
    """Shows alarms, directory, sealer and queues."""
    options: CommandContext = context.obj
    with options.admin() as node:
        found = node.status()
    options.console.data(found, _status_text(found))


def peers(context: typer.Context) -> None:
    """Lists other nodes and how they answer."""
    from edockit.console import table

    options: CommandContext = context.obj
    with options.admin() as node:
        found = node.peers()
    rows = [
        (
            peer["agency"],
            peer["name"],
            told(peer["state"]),
            peer["waiting"] or "",
            ", ".join(peer["addresses"]),
            peer_trouble(peer) or _answered(peer["seen_at"]),
        )
        for peer in found["peers"]
    ]
    if found["directory"]["advice"]:
        options.console.say(_("directory {text}", text=directory_text(found["directory"])))
    options.console.data(
        found,
        table((_("agency"), _("name"), _("state"), _("waiting"), _("address"), ""), rows)
        if rows
        else _("No other agency has a node yet."),
    )


def ping(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency.")],
) -> None:
    """Calls an agency's node and checks who answers."""
    options: CommandContext = context.obj
    with options.admin() as node:
        found = node.ping(code)
    options.console.data(found, _ping_text(found))


def takeover(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: every other copy is refused from then on.")
    ] = False,
    actor: Annotated[str, typer.Option("--actor", help="Who decides it; default: you.")] = "",
) -> None:
    """Lets this copy of the node speak, no other.

    Needed after an alarm that another copy of the data folder was started later.
    """
    if not yes:
        raise RequestInvalidError(
            "After a takeover peers refuse every other copy of this node.",
            hint="Stop the other copies, then add --yes.",
        )
    options: CommandContext = context.obj
    with options.admin() as node:
        found = node.take_over(actor or operating_system_user())
    text = _("This node seals again, in epoch {epoch}.", epoch=found["epoch"])
    options.console.data(found, text)


def _answered(seen_at: str | None) -> str:
    return _("answered {seen_at}", seen_at=clock(seen_at)) if seen_at else ""


def _ping_text(found: dict[str, Any]) -> str:
    difference = found["clock_difference_ms"]
    clock_text = (
        _("Its clock is {difference} ms ahead", difference=f"{difference:.0f}")
        if difference >= 0
        else _("Its clock is {difference} ms behind", difference=f"{-difference:.0f}")
    )
    holds = _(
        "it holds directory version {directory_version}.",
        directory_version=found["directory_version"],
    )
    answered = _(
        "{agency} at {address} answered in {round_trip_ms} ms ({protocol}, certificate as in the "
        "directory).",
        agency=found["agency"],
        address=found["address"],
        round_trip_ms=f"{found['round_trip_ms']:.0f}",
        protocol=found["protocol"],
    )
    return f"{answered}\n{clock_text}; {holds}"


def _status_text(found: dict[str, Any]) -> str:
    directory, sealer = found["directory"], found["sealer"]
    lines = [_alarm_text(alarm) for alarm in found["alarms"]]
    if found["acknowledged_alarms"]:
        count = found["acknowledged_alarms"]
        lines.append(_("alarms    {count} acknowledged; see: edocnode alarms list", count=count))
    lines += [
        _(
            "node      {agency} {name}, network {network}",
            **{name: found[name] for name in ("agency", "name", "network")},
        ),
        _(
            "listens   {listen}, since {started_at}",
            listen=found["ready"]["listen"],
            started_at=clock(found["started_at"]),
        ),
        _("directory {text}", text=directory_text(directory)),
        _("sealer    {text}", text=_sealer_text(sealer)),
        *(
            _("{kind} key  {text}", kind=told(key["kind"]), text=key_text(key))
            for key in found["keys"]
        ),
        _("waiting   {text}", text=_waiting_text(found)),
    ]
    lines += [f"          {_queue_text(queue)}" for queue in found["queues"]]
    lines.append(_("late      {text}", text=_late_text(found["late"])))
    return "\n".join(lines)


def _alarm_text(alarm: dict[str, Any]) -> str:
    head = _(
        "ALARM {kind} ({subject}, since {since})",
        kind=alarm["kind"],
        subject=alarm["subject"],
        since=clock(alarm["since"]),
    )
    text = f"{head}\n      {told(alarm['message'])}"
    if not alarm["lasts"]:
        return text
    command = f"edocnode alarms acknowledge {alarm['id']} --reason TEXT"
    return f"{text}\n      {_('When you have seen to it: {command}', command=command)}"


def directory_text(directory: dict[str, Any]) -> str:
    """What a person must know about a directory: its state, since when, until when, what to do."""
    values = {
        "state": told(directory["state"]),
        "version": directory["version"],
        "since": clock(directory["since"]) if directory["since"] else "",
        "expires_at": clock(directory["expires_at"]),
    }
    if directory["state"] == "expired":
        text = _("{state} since {expires_at}, version {version}", **values)
    elif directory["since"]:
        text = _("{state} since {since}, version {version}, good until {expires_at}", **values)
    else:
        text = _("{state}, version {version}, good until {expires_at}", **values)
    return f"{text}{_because(directory['message'])}{_because(directory['advice'])}"


def _sealer_text(sealer: dict[str, Any]) -> str:
    if sealer["sealing"]:
        return _(
            "seals, {seals} seals in epoch {epoch}", seals=sealer["seals"], epoch=sealer["epoch"]
        )
    stopped = _(
        "DOES NOT SEAL ({reason}): {message}",
        reason=sealer["reason"],
        message=sentence(told(sealer["message"] or "it is starting")),
    )
    return f"{stopped} {_('{waiting} statements wait.', waiting=sealer['waiting'])}"


def _waiting_text(found: dict[str, Any]) -> str:
    if not found["queues"]:
        return _("nothing; every document is delivered or answered")
    return _(
        "{count} deliveries, the oldest since {since}",
        count=sum(queue["waiting"] for queue in found["queues"]),
        since=clock(found["oldest_undelivered_at"]),
    )


def _queue_text(queue: dict[str, Any]) -> str:
    head = _(
        "{agency}: {waiting} since {oldest_at}",
        agency=queue["agency"],
        waiting=queue["waiting"],
        oldest_at=clock(queue["oldest_at"]),
    )
    trouble = peer_trouble(queue)
    return f"{head}; {trouble}" if trouble else head


def _late_text(late: dict[str, int]) -> str:
    shown = [f"{number_text(count)} {told(kind)}" for kind, count in late.items() if count]
    kinds = ", ".join(shown)
    return _("{kinds}; see: edocnode late", kinds=kinds) if shown else _("nothing")


def _because(message: str) -> str:
    return f"\n          {sentence(told(message))}" if message else ""
