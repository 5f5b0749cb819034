"""Errors about what officers and peers say of the directory and of journals; see ``errors``."""

from edoccore.errors import DirectoryInvalidError, EdocError, ExitCode


class ExtensionInvalidError(DirectoryInvalidError):
    """The officers' extension of the directory does not hold; ask them for another one."""

    reason = "EXTENSION_INVALID"
    status = "PERMISSION_DENIED"
    exit_code = ExitCode.REFUSED


class DirectoryFileError(EdocError):
    """The file is neither a directory nor an extension of one."""

    reason = "DIRECTORY_FILE_UNKNOWN"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.REFUSED


class ProofInvalidError(EdocError):
    """The file proves nothing against the registry; believe nobody who says that it does."""

    reason = "DIRECTORY_PROOF_INVALID"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.REFUSED


class JournalTooShortError(EdocError):
    """The node has not so many seals of that epoch; it was restored, or they are not its own."""

    reason = "JOURNAL_TOO_SHORT"
    status = "OUT_OF_RANGE"
    exit_code = ExitCode.REFUSED


class SubagencyRefusedError(EdocError):
    """The list of sub-agencies, or a code in it, is not that agency's to say; nothing changed."""

    reason = "SUBAGENCY_REFUSED"
    status = "PERMISSION_DENIED"
    exit_code = ExitCode.REFUSED


class NoteInvalidError(DirectoryInvalidError):
    """A signed note of the directory's log does not hold; nothing was changed."""

    reason = "NOTE_INVALID"


class LogBehindError(EdocError):
    """Nodes hold more of the registry's log than it has here: its folder is an older copy."""

    reason = "LOG_BEHIND"
    status = "UNAVAILABLE"
    may_retry = True
    exit_code = ExitCode.REFUSED


class LogUnconfirmedError(EdocError):
    """Nodes may hold more of the registry's log: it waits for them before it publishes."""

    reason = "LOG_UNCONFIRMED"
    status = "UNAVAILABLE"
    may_retry = True
    exit_code = ExitCode.REFUSED


class LogInvalidError(DirectoryInvalidError):
    """The directory's log does not hold; the one in hand stays, and the exchange goes on."""

    reason = "LOG_INVALID"
