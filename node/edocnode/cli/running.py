"""Commands that make and run a node: init, serve."""

import asyncio
import faulthandler
import gc
import json
import os
import signal
import threading
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import ExitCode, RequestInvalidError, SettingsError
from edockit import allocator, scheduling
from edockit.language import _, told
from edocnode.cli.context import CommandContext, now

if TYPE_CHECKING:
    from edocnode.app.joining import Joined
    from edocnode.app.node import Ready
    from edocnode.settings import NodeSettings
    from edocnode.storage.folder import DataFolder

INIT_SCHEMA = "edoc.init/v1"
GC_AFTER_OBJECTS = 20_000  # more than one batch of documents makes
READY_SCHEMA = "edoc.ready/v1"
STOP_AT_LATEST_S = 20  # twice what an orderly stop may take


def init(
    context: typer.Context,
    join: Annotated[
        str, typer.Argument(metavar="JOIN", help="Join string from the registry's officer.")
    ],
    listen: Annotated[
        str, typer.Option("--listen", help="HOST:PORT to serve on; port 0 picks a free one now.")
    ],
    advertise: Annotated[
        str | None,
        typer.Option("--advertise", help="HOST:PORT by which others reach it; default: --listen."),
    ] = None,
    *,
    suite: Annotated[
        int | None,
        typer.Option(
            "--suite",
            min=1,
            max=2,
            help="Of the seal: 1 (default), ECDSA P-256; 2, that together with ML-DSA-65.",
        ),
    ] = None,
    seal_token: Annotated[
        str | None,
        typer.Option(
            "--seal-token", help="Label of a PKCS#11 token: the seal's key is made there."
        ),
    ] = None,
    seal_module: Annotated[
        Path | None,
        typer.Option("--seal-module", help="PKCS#11 library of the token's maker."),
    ] = None,
    seal_key: Annotated[
        str | None, typer.Option("--seal-key", help="Label of the key in the token.")
    ] = None,
    seal_pin_file: Annotated[
        Path | None,
        typer.Option(
            "--seal-pin-file",
            help="File with its PIN, mode 600; default: systemd credential edocnode-seal-pin.",
        ),
    ] = None,
    key_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--key-passphrase-file",
            help="Encrypt key files with the passphrase in this file, mode 600.",
        ),
    ] = None,
    wait: Annotated[
        int,
        typer.Option(
            "--wait", min=0, help="Seconds to wait for the registry's officers to sign the entry."
        ),
    ] = 0,
) -> None:
    """Joins a network: keys, enrolment, address."""
    from edoccore.directory.join import parse_join
    from edockit.logs import LogFormat, set_up_logs
    from edocnode.app.joining import join_network, join_when_signed
    from edocnode.settings import first_settings
    from edocnode.storage.folder import DataFolder
    from edocnode.storage.seal_key import key_places

    set_up_logs(LogFormat.TEXT, "WARNING")  # what is done is told below
    options: CommandContext = context.obj
    parse_join(join)  # before anything is made
    folder = options.folder()
    first = first_settings(
        listen=_with_port(listen),
        advertise=advertise,
        seal_suite=suite or 1,
        seal_token=_token(seal_token, seal_module, seal_key, seal_pin_file),
        key_passphrase_file=str(key_passphrase_file.absolute()) if key_passphrase_file else "",
    )
    folder.create()
    settings = _in_force(folder, first, suite)

    def attempt() -> Awaitable["Joined"]:
        return join_network(
            DataFolder(folder.path, key_places(settings, folder.path)),
            join,
            advertise=settings.advertise or settings.listen,
            database_url=settings.database_url(folder.database_file),
            clock=now,
        )

    waiting = join_when_signed(
        attempt,
        wait=timedelta(seconds=wait),
        clock=now,
        waiting=lambda error: options.console.say(told(error.message)),
    )
    _tell_joined(options, folder, settings, asyncio.run(waiting))


def _token(
    token: str | None, module: Path | None, key: str | None, pin_file: Path | None
) -> dict[str, str] | None:
    """The setting that options about the token make."""
    if token is None:
        if module or key or pin_file:
            raise RequestInvalidError(
                "--seal-module, --seal-key and --seal-pin-file say more about a token.",
                hint="Name it too: --seal-token LABEL",
            )
        return None
    if module is None:
        raise RequestInvalidError(
            f"No PKCS#11 library was named for the token '{token}'.",
            hint="Add --seal-module, as /usr/lib/softhsm/libsofthsm2.so for SoftHSM.",
        )
    found = {"token": token, "module": str(module.absolute())}
    if key is not None:
        found["key"] = key
    if pin_file is not None:
        found["pin_file"] = str(pin_file.absolute())
    return found


def serve(context: typer.Context) -> None:
    """Runs the node until SIGTERM or Ctrl-C.

    Prints one line of JSON once it can be reached; its log goes to stderr.
    """
    from edockit.logs import LogFormat, set_up_logs
    from edockit.secrets import keep_out_of_dumps

    options: CommandContext = context.obj
    settings = options.settings()
    set_up_logs(LogFormat(settings.log_format), settings.log_level)
    keep_out_of_dumps()
    faulthandler.enable()  # a library that crashes would end the node without a word
    asyncio.run(_serve(options.folder().path, settings))


async def _serve(data: Path, settings: "NodeSettings") -> None:
    from edocnode.app.node import serve as serve_node

    _set_up_interpreter()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_node(
        data, settings, clock=now, stop=stop, ready=_announce, stopping=_stop_at_latest
    )


def _stop_at_latest() -> None:
    """Ends the process when stopping in order takes too long, as with a database that hangs.

    A service manager starts again only what has ended, and nothing that was acknowledged needs
    an orderly end.
    """
    timer = threading.Timer(STOP_AT_LATEST_S, _end_now)
    timer.daemon = True
    timer.start()


def _end_now() -> None:
    import structlog

    structlog.get_logger(__name__).error("stop.forced", after_s=STOP_AT_LATEST_S)
    os._exit(ExitCode.FAILED.value)


def _set_up_interpreter() -> None:
    """Suits Python to a service of many threads and objects: few changes, few pauses."""
    allocator.suit_to_buffers()
    scheduling.suit_to_turns()
    gc.collect()
    gc.freeze()  # what is imported stays; looking through it again and again takes 30 ms
    gc.set_threshold(GC_AFTER_OBJECTS, 20, 20)


def _announce(ready: "Ready") -> None:
    line = {"schema": READY_SCHEMA, "listen": ready.listen, "socket": str(ready.socket)}
    if ready.office is not None:
        line["office_socket"] = str(ready.office)
    print(json.dumps(line), flush=True)


def _in_force(folder: "DataFolder", first: "NodeSettings", suite: int | None) -> "NodeSettings":
    """Writes the first settings, and reads them as every command does: the environment is first.

    Raises:
        SettingsError: A setting cannot be used, or the environment names another suite.
    """
    from edockit.files import write_file_atomic
    from edocnode.settings import read_settings, settings_text

    if folder.is_joined():
        return read_settings(folder.settings_file)
    write_file_atomic(folder.settings_file, settings_text(first).encode())
    settings = read_settings(folder.settings_file)
    if suite is not None and settings.seal_suite != suite:
        raise SettingsError(
            f"--suite {suite} was given, but EDOCNODE_SEAL_SUITE in the environment says "
            f"{settings.seal_suite}. No key was made.",
            hint="Unset EDOCNODE_SEAL_SUITE, or give the same suite.",
            key="seal_suite",
        )
    return settings


def _tell_joined(
    options: CommandContext, folder: "DataFolder", settings: "NodeSettings", joined: "Joined"
) -> None:
    from hashlib import sha256

    from edockit.certificates import certificate_der

    identity = joined.identity
    fingerprint = sha256(certificate_der(folder.seal_chain())).hexdigest()
    found: dict[str, Any] = {
        "schema": INIT_SCHEMA,
        "agency": identity.agency,
        "network": identity.network,
        "listen": settings.listen,
        "advertise": settings.advertise or settings.listen,
        "seal_sha256": fingerprint,
        "already_enrolled": joined.already,
    }
    of = {"agency": identity.agency, "network": identity.network}
    lines = [
        _("{agency} is already enrolled in the network {network}.", **of)
        if joined.already
        else _("{agency} has joined the network {network}.", **of),
        _("Fingerprint of its seal: {fingerprint}", fingerprint=fingerprint),
    ]
    options.console.data(found, "\n".join(lines))
    if not joined.already:
        options.console.say(
            _(
                "Read the fingerprint to the registry's officer over the phone; `edocregistry "
                "agency show {agency}` shows the same.\nNext: edocnode serve",
                agency=identity.agency,
            )
        )


def _with_port(listen: str) -> str:
    """Replaces port 0 by one that is free now, because the address is published."""
    import socket

    from edockit.addresses import split_address

    host, port = split_address(listen)
    if port:
        return listen
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.bind((host, 0))
        return f"{listen.rpartition(':')[0]}:{trial.getsockname()[1]}"
