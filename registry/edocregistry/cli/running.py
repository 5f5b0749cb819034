"""Commands that found, run and look at a registry: init, serve, status."""

import faulthandler
import json
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edockit.language import _, told
from edocregistry.cli.context import CommandContext, now, operating_system_user
from edocregistry.cli.witnesses import log_lines, log_object

if TYPE_CHECKING:
    from edocregistry.app.founding import Founded
    from edocregistry.app.status import OfficerRole, RegistryStatus
    from edocregistry.settings import RegistrySettings

READY_SCHEMA = "edoc.ready/v1"
INIT_SCHEMA = "edoc.registry-init/v1"
STATUS_SCHEMA = "edoc.registry-status/v1"


def init(
    context: typer.Context,
    network: Annotated[
        str, typer.Option("--network", help="Name of the network, such as vn-edoc; for ever.")
    ],
    listen: Annotated[
        str, typer.Option("--listen", help="HOST:PORT to serve on; port 0 picks a free one now.")
    ],
    advertise: Annotated[
        str | None,
        typer.Option("--advertise", help="HOST:PORT by which nodes reach it; default: --listen."),
    ] = None,
) -> None:
    """Founds a registry in an empty data folder."""
    from edocregistry.app.founding import found
    from edocregistry.settings import first_settings

    options: CommandContext = context.obj
    folder = options.folder()
    address = _with_port(listen)
    settings = first_settings(network=network, listen=address, advertise=advertise)
    founded = found(folder, settings, actor=operating_system_user(), clock=now)
    _tell_founded(options, settings, founded)


def serve(context: typer.Context) -> None:
    """Answers nodes and keeps the directory fresh, until SIGTERM or Ctrl-C."""
    from edockit.logs import LogFormat, set_up_logs
    from edocregistry.app.serving import Serving

    options: CommandContext = context.obj
    registry = options.registry()
    set_up_logs(LogFormat(registry.settings.log_format), registry.settings.log_level)
    faulthandler.enable()  # a library that crashes would end the registry without a word
    serving = Serving(registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: serving.stop())
    serving.run(_announce)


def status(context: typer.Context) -> None:
    """Shows problems first, then the directory, the agencies and the keys on this machine."""
    from edocregistry.app.status import registry_status

    options: CommandContext = context.obj
    found = registry_status(options.registry(), now())
    options.console.data(_status_object(found), _status_text(found))


def _tell_founded(
    options: CommandContext, settings: "RegistrySettings", founded: "Founded"
) -> None:
    from edocregistry.app.founding import THRESHOLD

    officers = [str(path) for path in founded.officer_files]
    options.console.data(
        {
            "schema": INIT_SCHEMA,
            "network": settings.network,
            "listen": settings.listen,
            "advertise": settings.advertise,
            "root_sha256": founded.root_sha256,
            "version": founded.version,
            "officer_keys": officers,
            "threshold": THRESHOLD,
            "auto_publish": True,
        },
        _(
            "The registry of {network} is founded; nodes will reach it at {advertise}.\n"
            "Fingerprint of its root: {root_sha256}",
            network=settings.network,
            advertise=settings.advertise,
            root_sha256=founded.root_sha256,
        ),
    )
    options.console.say("")
    options.console.say(
        _(
            "The directory's root keys are in {path}: any {threshold} of {officers} can replace "
            "every other key.\n"
            "Give each officer one file, keep it offline, and remove the files from this machine.\n"
            "auto_publish is on: this machine holds the identity key and can replace the key of "
            "any agency. registry/README.md says what that means.\n"
            "Next: edocregistry serve, then: edocregistry agency add CODE --name TEXT",
            path=options.folder().path / "officers",
            threshold=THRESHOLD,
            officers=len(officers),
        )
    )


def _announce(listen: str) -> None:
    print(json.dumps({"schema": READY_SCHEMA, "listen": listen}), flush=True)


def _with_port(listen: str) -> str:
    """Replaces port 0 by one that is free now, because the address is published for ever."""
    import socket

    from edockit.addresses import split_address

    host, port = split_address(listen)
    if port:
        return listen
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.bind((host, 0))
        return f"{listen.rpartition(':')[0]}:{trial.getsockname()[1]}"


def _status_object(found: "RegistryStatus") -> dict[str, Any]:
    from edockit.console import local_time

    return {
        "schema": STATUS_SCHEMA,
        "problems": [
            {"code": problem.code, "message": problem.message, "hint": problem.hint}
            for problem in found.problems
        ],
        "network": found.network,
        "listen": found.listen,
        "advertise": found.advertise,
        "answers": found.answers,
        "auto_publish": found.auto_publish,
        "version": found.version,
        "published_at": local_time(found.published_at),
        "roles": [
            {
                "role": age.role,
                "version": age.version,
                "expires": local_time(age.expires),
                "days_left": (age.expires - now()).days,
            }
            for age in found.roles
        ],
        "agencies": found.agencies,
        "enrolled": found.enrolled,
        "keys": found.keys,
        "root_sha256": found.root_sha256,
        "waiting": found.waiting,
        "officers": [
            {"role": item.role, "keys": list(item.keys), "threshold": item.threshold}
            for item in found.officers
        ],
        "log": log_object(found.log),
    }


def _status_text(found: "RegistryStatus") -> str:
    from edockit.console import local_time_text, table

    lines = [
        f"{_('PROBLEM')} {told(problem.message)}\n        {told(problem.hint)}"
        for problem in found.problems
    ]
    states = ", ".join(f"{count} {told(state)}" for state, count in found.agencies.items() if count)
    roles = [
        (age.role, age.version, local_time_text(age.expires), (age.expires - now()).days)
        for age in found.roles
    ]
    lines += [
        _("network   {network}, at {advertise}", network=found.network, advertise=found.advertise),
        _("root      {root_sha256}", root_sha256=found.root_sha256),
        _(
            "directory version {version}, signed {published_at}",
            version=found.version,
            published_at=local_time_text(found.published_at),
        ),
        _(
            "agencies  {states}; {enrolled} with a seal",
            states=states or _("none"),
            enrolled=found.enrolled,
        ),
        _("keys here {keys}", keys=", ".join(found.keys)),
        *(_officers_text(item) for item in found.officers),
        *log_lines(found.log),
        *(_("waiting   {change}", change=told(text)) for text in found.waiting),
        table((_("role"), _("version"), _("expires"), _("days left")), roles),
    ]
    return "\n".join(lines)


def _officers_text(item: "OfficerRole") -> str:
    return _(
        "signs     {role}: {threshold} of {keys}",
        role=item.role,
        threshold=item.threshold,
        keys=", ".join(keyid[:16] for keyid in item.keys),
    )
