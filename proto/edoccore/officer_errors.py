"""Errors of the registry's officers: drafts, signatures, backups; see ``errors``."""

from edoccore.errors import EdocError, ExitCode


class DraftInvalidError(EdocError):
    """The draft is not what the registry wrote or was altered; do not sign it, make a new one."""

    reason = "DRAFT_INVALID"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.REFUSED


class DraftStaleError(EdocError):
    """What the draft changes was changed meanwhile; make a new draft and have that signed."""

    reason = "DRAFT_STALE"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class SignaturesMissingError(EdocError):
    """Fewer officers have signed than must; have more of them sign the draft."""

    reason = "SIGNATURES_MISSING"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED


class AwaitingOfficersError(EdocError):
    """The registry took the keys; its officers have not signed the new entry yet."""

    reason = "AWAITING_OFFICERS"
    status = "UNAVAILABLE"
    may_retry = True
    exit_code = ExitCode.UNREACHABLE


class BackupInvalidError(EdocError):
    """The file is not a whole backup of a registry, or the passphrase is another one."""

    reason = "BACKUP_INVALID"
    status = "DATA_LOSS"
    exit_code = ExitCode.REFUSED
