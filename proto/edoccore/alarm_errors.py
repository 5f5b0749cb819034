"""Errors of acknowledging alarms; see ``errors``."""

from edoccore.errors import EdocError, ExitCode


class AlarmUnknownError(EdocError):
    """No alarm of this node has this id, or this kind and subject."""

    reason = "ALARM_UNKNOWN"
    status = "NOT_FOUND"
    exit_code = ExitCode.NOT_FOUND


class AlarmEndsError(EdocError):
    """The alarm is not acknowledged: it ends by itself when its cause is gone."""

    reason = "ALARM_NOT_LASTING"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED
