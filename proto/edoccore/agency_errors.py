"""Errors about agencies that have ended, and nodes that are being retired; see ``errors``."""

from edoccore.errors import AgencyInactiveError, AnswerKind, EdocError, ExitCode


class AgencyEndedError(AgencyInactiveError):
    """The agency has ended: it seals no new documents, and takes none."""

    reason = "AGENCY_ENDED"
    status = "FAILED_PRECONDITION"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class RecipientMovedError(EdocError):
    """The agency of this node has ended; its sender's directory says where its documents go now."""

    reason = "RECIPIENT_MOVED"
    status = "UNAVAILABLE"
    may_retry = True
    answer = AnswerKind.TRY_LATER
