"""Commands for those who run a node: status, peers, ping, takeover."""

from typing import Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edocnode.cli.context import CommandContext, operating_system_user
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
            peer["state"],
            peer["waiting"] or "",
            ", ".join(peer["addresses"]),
            peer_trouble(peer) or (f"answered {clock(peer['seen_at'])}" if peer["seen_at"] else ""),
        )
        for peer in found["peers"]
    ]
    options.console.data(
        found,
        table(("agency", "name", "state", "waiting", "address", ""), rows)
        if rows
        else "No other agency has a node yet.",
    )


def ping(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency.")],
) -> None:
    """Calls an agency's node and checks who answers."""
    options: CommandContext = context.obj
    with options.admin() as node:
        found = node.ping(code)
    difference = found["clock_difference_ms"]
    options.console.data(
        found,
        f"{found['agency']} at {found['address']} answered in {found['round_trip_ms']:.0f} ms "
        f"({found['protocol']}, certificate as in the directory).\n"
        f"Its clock is {abs(difference):.0f} ms {'ahead' if difference >= 0 else 'behind'}; it "
        f"holds directory version {found['directory_version']}.",
    )


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
    options.console.data(found, f"This node seals again, in epoch {found['epoch']}.")


def _status_text(found: dict[str, Any]) -> str:
    directory, sealer = found["directory"], found["sealer"]
    lines = [
        f"ALARM {alarm['kind']} ({alarm['subject']}, since {clock(alarm['since'])})\n"
        f"      {alarm['message']}"
        for alarm in found["alarms"]
    ]
    lines += [
        f"node      {found['agency']} {found['name']}, network {found['network']}",
        f"listens   {found['ready']['listen']}, since {clock(found['started_at'])}",
        f"directory {_directory_text(directory)}",
        f"sealer    {_sealer_text(sealer)}",
        f"waiting   {_waiting_text(found)}",
    ]
    lines += [f"          {_queue_text(queue)}" for queue in found["queues"]]
    lines.append(f"late      {_late_text(found['late'])}")
    return "\n".join(lines)


def _directory_text(directory: dict[str, Any]) -> str:
    text = f"{directory['state']}, version {directory['version']}"
    until = f"good until {clock(directory['expires_at'])}"
    return f"{text}, {until}{_because(directory['message'])}"


def _sealer_text(sealer: dict[str, Any]) -> str:
    if sealer["sealing"]:
        return f"seals, {sealer['seals']} seals in epoch {sealer['epoch']}"
    return (
        f"DOES NOT SEAL ({sealer['reason']}): {sealer['message'] or 'it is starting'} "
        f"{sealer['waiting']} statements wait."
    )


def _waiting_text(found: dict[str, Any]) -> str:
    if not found["queues"]:
        return "nothing; every document is delivered or answered"
    count = sum(queue["waiting"] for queue in found["queues"])
    return f"{count} deliveries, the oldest since {clock(found['oldest_undelivered_at'])}"


def _queue_text(queue: dict[str, Any]) -> str:
    head = f"{queue['agency']}: {queue['waiting']} since {clock(queue['oldest_at'])}"
    trouble = peer_trouble(queue)
    return f"{head}; {trouble}" if trouble else head


def _late_text(late: dict[str, int]) -> str:
    shown = [f"{number_text(count)} {kind}" for kind, count in late.items() if count]
    return f"{', '.join(shown)}; see: edocnode late" if shown else "nothing"


def _because(message: str) -> str:
    return f"\n          {sentence(message)}" if message else ""
