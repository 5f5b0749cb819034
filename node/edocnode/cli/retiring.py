"""The command retire: ends a node for good."""

import asyncio
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import ExitCode, RequestInvalidError
from edockit.language import _, told
from edocnode.cli.context import CommandContext, now, operating_system_user
from edocnode.cli.wording import clock

if TYPE_CHECKING:
    from edocnode.app.retired import Mark
    from edocnode.app.retiring import Retirement
    from edocnode.domain.retiring import OpenItem

RETIRE_SCHEMA = "edoc.retire/v1"


def retire(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: the node never starts again, its keys end.")
    ] = False,
    cancel: Annotated[
        bool,
        typer.Option("--cancel", help="Take back what was begun, while nothing of it is sealed."),
    ] = False,
    actor: Annotated[str, typer.Option("--actor", help="Who decides it; default: you.")] = "",
) -> int:
    """Ends a stopped node for good; without --yes it only says what is still open.

    Its keys end at the registry, its archive stays readable. Refused while anything that was
    acknowledged would be lost.
    """
    if yes and cancel:
        raise RequestInvalidError("Either --yes or --cancel, not both.")
    from edockit.logs import LogFormat, set_up_logs
    from edocnode.app import retiring
    from edocnode.domain.retiring import may_end
    from edocnode.storage.folder import DataFolder
    from edocnode.storage.seal_key import key_places

    set_up_logs(LogFormat.TEXT, "ERROR")  # what is done is told below
    options: CommandContext = context.obj
    settings, path = options.settings(), options.folder().path
    folder = DataFolder(path, key_places(settings, path))
    who = actor or operating_system_user()
    if cancel:
        found = asyncio.run(retiring.cancel(folder, settings, actor=who, clock=now))
    elif yes:
        found = asyncio.run(retiring.retire(folder, settings, actor=who, clock=now))
    else:
        found = asyncio.run(retiring.look(folder, settings, clock=now))
    options.console.data(_as_json(found), _text(found))
    if found.mark is not None and found.mark.retired_at:
        options.console.say(_archiving(str(path)))
    refused = found.cancelled is None and found.mark is None and not may_end(found.items)
    return ExitCode.REFUSED.value if refused else ExitCode.DONE.value


def _text(found: "Retirement") -> str:
    if found.cancelled is not None:
        return _cancel_text(found.agency, cancelled=found.cancelled)
    if found.mark is not None:
        return _mark_text(found.agency, found.mark, found.waits_for_officers)
    stopping = [item for item in found.items if item.stops]
    lines = [_item_text(item) for item in found.items]
    if stopping:
        lines.append(_("The node cannot be retired before that is done. Nothing was changed."))
    else:
        lines.append(
            _(
                "Nothing that was acknowledged would be lost. Nothing was changed; to end the node "
                "of {agency} for good: edocnode retire --yes",
                agency=found.agency,
            )
        )
    return "\n".join(lines)


def _cancel_text(agency: str, *, cancelled: bool) -> str:
    if not cancelled:
        return _("The node of {agency} is not being retired. Nothing was changed.", agency=agency)
    return _(
        "The retirement of {agency} is taken back; its keys are as they were. Start the node: "
        "edocnode serve",
        agency=agency,
    )


def _item_text(item: "OpenItem") -> str:
    head = _("STOPS") if item.stops else _("note")
    return f"{head:<8}{told(item.message)}\n        {told(item.hint)}"


def _mark_text(agency: str, mark: "Mark", waits_for_officers: bool) -> str:
    if mark.retired_at:
        return _(
            "The node of {agency} is retired since {at}. Its keys have ended in directory version "
            "{version}.\nThe journal ends with seal {last} of epoch {epoch}, root {root}. Write "
            "that down.",
            agency=agency,
            at=clock(mark.retired_at),
            version=mark.version,
            last=mark.size - 1,
            epoch=mark.epoch,
            root=mark.root,
        )
    if waits_for_officers:
        return _(
            "The registry has the word that the keys of {agency} end, and its officers must sign "
            "it. The node starts no more. When they have published: edocnode retire --yes",
            agency=agency,
        )
    return _(
        "The retirement of {agency} was begun at {at} and is not finished. Finish it: edocnode "
        "retire --yes. As long as its last word is not sealed it can be taken back: edocnode "
        "retire --cancel",
        agency=agency,
        at=clock(mark.begun_at),
    )


def _archiving(path: str) -> str:
    place = shlex.quote(path)
    return _(
        "Keep the folder as the archive, and a copy of it elsewhere:\n  tar --create --file "
        "edocnode-archive.tar --directory {place} .\nRead it: edocnode inbox, outbox, show, save, "
        "export, evidence export, journal verify.",
        place=place,
    )


def _as_json(found: "Retirement") -> dict[str, Any]:
    mark = found.mark
    return {
        "schema": RETIRE_SCHEMA,
        "agency": found.agency,
        "state": _state(found),
        "waits_for_officers": found.waits_for_officers,
        "open": [
            {
                "code": item.code,
                "count": item.count,
                "stops": item.stops,
                "message": item.message,
                "hint": item.hint,
            }
            for item in found.items
        ],
        "begun_at": "" if mark is None else mark.begun_at,
        "retired_at": "" if mark is None else mark.retired_at,
        "epoch": "" if mark is None else mark.epoch,
        "size": 0 if mark is None else mark.size,
        "root": "" if mark is None else mark.root,
        "directory_version": 0 if mark is None else mark.version,
    }


def _state(found: "Retirement") -> str:
    if found.cancelled is not None:
        return "cancelled" if found.cancelled else "not_begun"
    if found.mark is None:
        return "blocked" if any(item.stops for item in found.items) else "ready"
    return "retired" if found.mark.retired_at else "begun"
