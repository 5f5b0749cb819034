"""The command doctor: what is wrong with a node, running or stopped, and what mends it."""

from typing import TYPE_CHECKING

import typer

from edoccore.errors import ExitCode, NodeNotRunningError
from edockit.language import _, told
from edocnode.cli.context import CommandContext, now

if TYPE_CHECKING:
    from edocnode.domain.doctor import Check

DOCTOR_SCHEMA = "edoc.doctor/v1"


def doctor(context: typer.Context) -> int:
    """Says what is wrong with the node, and what mends it.

    Works on a running node, which it asks, and on a stopped one. Exit code 1: something is wrong.
    """
    from edocnode.app.doctor import Patient, examine
    from edocnode.domain.doctor import has_problem

    options: CommandContext = context.obj
    settings, folder = options.settings(), options.folder()
    try:
        with options.admin() as node:
            node.status()
            checks, running = examine(Patient(folder, settings, node, now)), True
    except NodeNotRunningError:
        checks, running = examine(Patient(folder, settings, None, now)), False
    is_bad = has_problem(checks)
    found = {
        "schema": DOCTOR_SCHEMA,
        "ok": not is_bad,
        "running": running,
        "checks": [
            {
                "code": check.code,
                "health": check.health.value,
                "message": check.message,
                "hint": check.hint,
            }
            for check in checks
        ],
    }
    options.console.data(found, _text(checks))
    return ExitCode.FAILED.value if is_bad else ExitCode.DONE.value


def _text(checks: "list[Check]") -> str:
    labels = {
        "disk": _("disk"),
        "fsync": _("disk writes"),
        "token": _("token"),
        "seal_key": _("seal key"),
        "seal_certificate": _("seal certificate"),
        "tls_certificate": _("TLS certificate"),
        "encryption_keys": _("encryption keys"),
        "database": _("database"),
        "directory": _("directory"),
        "dns": _("names"),
        "registry": _("registry"),
        "alarms": _("alarms"),
        "peers": _("peers"),
        "clock": _("clock"),
        "timestamps": _("timestamps"),
        "scanner": _("scanner"),
    }
    healths = {
        "OK": _("ok"),
        "OFF": _("off"),
        "UNKNOWN": _("not checked"),
        "PROBLEM": _("PROBLEM"),
    }
    lines = []
    for check in checks:
        label, health = labels.get(check.code, check.code), healths[check.health.name]
        lines.append(f"{health:<14} {label}: {told(check.message)}")
        if check.hint and check.health.value != "ok":
            lines.append(f"{'':<14} -> {told(check.hint)}")
    return "\n".join(lines)
