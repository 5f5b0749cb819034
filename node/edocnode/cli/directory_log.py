"""What the log of published directories says here, and the commands of a witness."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import _, marked, told
from edocnode.cli.context import CommandContext, now
from edocnode.cli.key_files import folder_of, utc_text
from edocnode.cli.wording import clock

if TYPE_CHECKING:
    from edoccore.directory.transparency import DirectoryLog, LogState
    from edocnode.storage.directory_log import DirectoryLogFiles, WitnessFiles

LOG_SCHEMA = "edoc.directory_log/v1"
WITNESS_SCHEMA = "edoc.witness/v1"
_STATES = {
    "missing": marked("the directory in force is not in the log"),
    "covered": marked("in the log, and enough have cosigned it"),
    "uncovered": marked("in the log, and too few have cosigned it yet"),
}


def build_witness_app() -> typer.Typer:
    """Puts the commands of a witness together."""
    app = new_app("Lets this node watch over the registry's log, and shows what it cosigned.")
    app.command()(enable)
    app.command()(disable)
    app.command("show")(show_witness)
    return app


def files(options: CommandContext) -> "DirectoryLogFiles":
    """The log in the data folder."""
    from edocnode.storage.directory_log import DirectoryLogFiles

    folder = options.folder()
    return DirectoryLogFiles(folder.directory, folder.identity().root_sha256)


def show(context: typer.Context) -> None:
    """Shows the log of published directories: its newest checkpoint, and who cosigned it."""
    from edoccore.directory.bundle import open_log
    from edoccore.directory.transparency import judge_log
    from edocnode.app.evidence import known_directory

    options: CommandContext = context.obj
    kept, directory = files(options).kept_log(), known_directory(options.folder())
    if kept is None:
        version = directory.mark.version
        options.console.data(
            {"schema": LOG_SCHEMA, "log": None, "version": version, "state": "missing"},
            _("This node has no log of the directory yet."),
        )
        return
    log = open_log(kept)
    found = _log_json(log, judge_log(log, directory.mark, now()), directory.mark.version)
    lines = [
        _("log        {log}", log=found["log"]),
        _("versions   {size}, root {root}", size=found["size"], root=found["root"]),
        _(
            "directory  {version}: {state}",
            version=found["version"],
            state=told(_STATES[found["state"]]),
        ),
        *_cosigned_lines(found),
    ]
    options.console.data({"schema": LOG_SCHEMA, **found}, "\n".join(lines))


def enable(
    context: typer.Context,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make another key, after a restore of this node.")
    ] = False,
) -> None:
    """Makes this node a witness, and prints its key for the registry's officer."""
    options: CommandContext = context.obj
    witness = _witness(options)
    signer = witness.make_key() if new_key else witness.enable()
    code = options.folder().identity().agency
    options.console.data({"schema": WITNESS_SCHEMA, "key": signer.key.text()}, signer.key.text())
    options.console.say(
        _(
            "Give this line to the registry's officer, who runs: edocregistry witness add {code} "
            "KEY. Once the directory lists it, this node cosigns the log, also without a restart.",
            code=code,
        )
    )


def disable(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Really: the key is removed.")] = False,
) -> None:
    """Ends the watch: this node cosigns nothing any more."""
    if not yes:
        raise RequestInvalidError(
            "The key is removed, and the registry misses its cosignatures.",
            hint="Tell the registry's officer first, then add --yes.",
        )
    options: CommandContext = context.obj
    _witness(options).disable()
    options.console.data(
        {"schema": WITNESS_SCHEMA, "key": None}, _("This node is no witness any more.")
    )


def show_witness(context: typer.Context) -> None:
    """Shows the key of this witness, whether the directory lists it, and what it cosigned last."""
    from edoccore.directory.layout import LogInfo
    from edocnode.app.evidence import known_directory

    options: CommandContext = context.obj
    witness = _witness(options)
    signer = witness.witness_signer()
    if signer is None:
        options.console.data(
            {"schema": WITNESS_SCHEMA, "key": None},
            _("This node is no witness. To make it one: edocnode witness enable"),
        )
        return
    info, last = known_directory(options.folder()).info.log, witness.cosigned(signer.key)
    listed = isinstance(info, LogInfo) and signer.key.text() in {w.key for w in info.witnesses}
    found = {
        "schema": WITNESS_SCHEMA,
        "key": signer.key.text(),
        "listed": listed,
        "size": last.size,
        "root": last.root.hex(),
        "cosigned_at": _time(last.time) if last.size else None,
    }
    options.console.data(found, _witness_text(found))


def _log_json(log: "DirectoryLog", state: "LogState", version: int) -> dict[str, Any]:
    from edoccore.directory.transparency import cosignatures, log_key
    from edoccore.signing.notes import read_note
    from edocnode.domain.directory_log import state_text

    note = read_note(log.checkpoint) if log.checkpoint else None
    times = {} if note is None else cosignatures(note, log.info)
    return {
        "log": log_key(log.info).name,
        "key": log.info.key,
        "size": log.size,
        "root": log.frontier.root().hex(),
        "version": version,
        "state": state_text(state),
        "threshold": log.info.threshold,
        "witnessed_size": state.witnessed_size,
        "witnesses": [
            {"agency": item.agency, "cosigned_at": _time(times.get(item.agency))}
            for item in log.info.witnesses
        ],
        "checkpoint": log.checkpoint.decode("utf-8"),
    }


def _cosigned_lines(found: dict[str, Any]) -> list[str]:
    if not found["witnesses"]:
        return [_("witnesses  none: nobody outside the registry watches over the log")]
    lines = [
        _(
            "witnesses  {threshold} of {count} must cosign; they have cosigned {size} versions",
            threshold=found["threshold"],
            count=len(found["witnesses"]),
            size=found["witnessed_size"],
        )
    ]
    for item in found["witnesses"]:
        at = item["cosigned_at"]
        since = clock(at) if at else _("not this checkpoint")
        lines.append(f"  {item['agency']}  {since}")
    return lines


def _witness_text(found: dict[str, Any]) -> str:
    listed = _("listed in the directory") if found["listed"] else _("not in the directory yet")
    if not found["size"]:
        return _("{key}: {listed}; has cosigned nothing yet", key=found["key"], listed=listed)
    return _(
        "{key}: {listed}; last cosigned {size} versions at {at}",
        key=found["key"],
        listed=listed,
        size=found["size"],
        at=clock(found["cosigned_at"]),
    )


def _time(seconds: int | None) -> str | None:
    from datetime import UTC, datetime

    return None if seconds is None else utc_text(datetime.fromtimestamp(seconds, UTC))


def _witness(options: CommandContext) -> "WitnessFiles":
    from edocnode.storage.directory_log import WitnessFiles

    folder = folder_of(options)
    return WitnessFiles(folder, folder.identity())
