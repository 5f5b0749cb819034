"""Errors of a node that moves to another host; see ``errors``."""

from edoccore.errors import EdocError, ExitCode


class NodeMovedError(EdocError):
    """This node was moved to another host and runs no more here."""

    reason = "NODE_MOVED"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class MoveFileError(EdocError):
    """The file is no whole node that was packed; pack it again."""

    reason = "MOVE_FILE_INVALID"
    status = "DATA_LOSS"
    exit_code = ExitCode.REFUSED
