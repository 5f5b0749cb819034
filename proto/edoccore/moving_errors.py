"""Errors of a node that moves to another host or ends for good; see ``errors``."""

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


class NodeRetiredError(EdocError):
    """This node has ended for good; its archive can be read, and nothing else."""

    reason = "NODE_RETIRED"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class WorkOpenError(EdocError):
    """A node cannot end yet: something that was acknowledged would be lost."""

    reason = "WORK_OPEN"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED
