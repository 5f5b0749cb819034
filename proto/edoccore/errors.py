"""Every error of the exchange: its reason, its gRPC status, whether trying again can help.

One tree. The docstring of a class is its default message, so text and code cannot drift apart.
``proto/README.md`` lists the same reasons with who acts on them; a test compares the two.
This module decides nothing and translates nothing: ``edoccore.wire.status`` carries errors over
gRPC, the command lines print them.
"""

from enum import Enum
from typing import ClassVar

ERROR_DOMAIN = "edocnet"  # google.rpc.ErrorInfo.domain


class AnswerKind(Enum):
    """How a receiving node tells the sender of a parcel about an error."""

    REJECTED = "rejected"  # sealed, remembered, final
    REFUSED = "refused"  # unsealed, final for these bytes, nothing stored
    TRY_LATER = "try_later"  # unsealed, the same bytes may succeed later


class ExitCode(Enum):
    """Exit codes of both command lines."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    CONFLICT = 6


class EdocError(Exception):
    """Something in the exchange failed; look at the log of the node for the cause."""

    reason: ClassVar[str] = "INTERNAL"  # UPPER_SNAKE, at most 63 characters, never changed
    status: ClassVar[str] = "INTERNAL"  # name of a grpc.StatusCode
    may_retry: ClassVar[bool] = False  # the same request may succeed later, unchanged
    answer: ClassVar[AnswerKind | None] = None  # None: never an answer to a parcel
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str | None = None, *, hint: str = "", **fields: str) -> None:
        """Builds the error.

        Args:
            message: What happened, to which document or agency; default: the class docstring.
            hint: What to do next, one line.
            fields: Identifiers the text mentions, for ErrorInfo.metadata, logs and JSON.
        """
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        self.fields = fields
        super().__init__(self.message)


# --- Statements and seals -------------------------------------------------------------------


class NotCanonicalError(EdocError):
    """The statement is not in canonical form, so its bytes cannot be trusted; ask the sender."""

    reason = "NOT_CANONICAL"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class StatementTooLargeError(EdocError):
    """The statement is larger than its limit; nothing of it was read."""

    reason = "STATEMENT_TOO_LARGE"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class StatementTypeError(EdocError):
    """The statement is of another type than the place it was found in allows."""

    reason = "STATEMENT_TYPE_UNEXPECTED"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class SealInvalidError(EdocError):
    """Seal, proof and statement do not belong together, so nobody vouches for the statement."""

    reason = "SEAL_INVALID"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class SealCertificateError(EdocError):
    """The certificate of the seal is unknown, of the wrong kind, expired or revoked."""

    reason = "SEAL_CERTIFICATE_REFUSED"
    status = "PERMISSION_DENIED"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class FromNotOwnedError(EdocError):
    """The agency that sealed the envelope does not own the code it sends from."""

    reason = "FROM_NOT_OWNED"
    status = "PERMISSION_DENIED"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class RecipientNotHereError(EdocError):
    """The envelope is addressed to an agency that this node does not serve."""

    reason = "RECIPIENT_NOT_HERE"
    status = "PERMISSION_DENIED"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class LimitExceededError(EdocError):
    """The message is over a limit of the exchange; split it or make it smaller."""

    reason = "LIMIT_EXCEEDED"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REFUSED
    exit_code = ExitCode.REFUSED


class WrongNetworkError(EdocError):
    """The statement was made for another network and is worth nothing here."""

    reason = "WRONG_NETWORK"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REJECTED
    exit_code = ExitCode.REFUSED


class PartNameError(EdocError):
    """A part has a name that is unsafe to write to a disk or to show to a person."""

    reason = "PART_NAME_UNSAFE"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REJECTED
    exit_code = ExitCode.REFUSED


class RecordInvalidError(EdocError):
    """The record of the document is missing, not canonical or disagrees with its envelope."""

    reason = "RECORD_INVALID"
    status = "INVALID_ARGUMENT"
    answer = AnswerKind.REJECTED
    exit_code = ExitCode.REFUSED


class MessageConflictError(EdocError):
    """Another content was already received under the same message id; both are kept as evidence."""

    reason = "MESSAGE_CONFLICT"
    status = "ALREADY_EXISTS"
    answer = AnswerKind.REJECTED
    exit_code = ExitCode.CONFLICT


class EnvelopeExpiredError(EdocError):
    """The envelope had expired when it arrived; send the document again."""

    reason = "ENVELOPE_EXPIRED"
    status = "FAILED_PRECONDITION"
    may_retry = True
    answer = AnswerKind.TRY_LATER
    exit_code = ExitCode.REFUSED


class ClockSkewError(EdocError):
    """A time in the envelope lies in the future; one of the two clocks is wrong."""

    reason = "CLOCK_SKEW"
    status = "UNAVAILABLE"
    may_retry = True
    answer = AnswerKind.TRY_LATER


class DirectoryBehindError(EdocError):
    """The statement names a newer directory than this node has; it is being fetched."""

    reason = "DIRECTORY_BEHIND"
    status = "UNAVAILABLE"
    may_retry = True
    answer = AnswerKind.TRY_LATER


class DirectoryExpiredError(EdocError):
    """The directory has expired, so nobody's keys can be trusted; reach the registry."""

    reason = "DIRECTORY_EXPIRED"
    status = "UNAVAILABLE"
    may_retry = True
    answer = AnswerKind.TRY_LATER
    exit_code = ExitCode.UNREACHABLE


class PartDigestError(EdocError):
    """The bytes of a part do not have the size and digest that the envelope states."""

    reason = "PART_DIGEST_MISMATCH"
    status = "DATA_LOSS"
    may_retry = True
    answer = AnswerKind.TRY_LATER


class DiskFullError(EdocError):
    """There is no room left on the disk; nothing was lost, free some space."""

    reason = "DISK_FULL"
    status = "RESOURCE_EXHAUSTED"
    may_retry = True
    answer = AnswerKind.TRY_LATER


class QuotaError(EdocError):
    """The sender has used up what this node lends it; it can go on when parts are finished."""

    reason = "QUOTA_EXCEEDED"
    status = "RESOURCE_EXHAUSTED"
    may_retry = True
    answer = AnswerKind.TRY_LATER


class SealerStoppedError(EdocError):
    """This node cannot seal at the moment; documents are kept and answered later."""

    reason = "SEALER_STOPPED"
    status = "UNAVAILABLE"
    may_retry = True
    answer = AnswerKind.TRY_LATER
    exit_code = ExitCode.UNREACHABLE


class PoisonMessageError(EdocError):
    """The message could not be processed because of a fault at the recipient's node."""

    reason = "PROCESSING_FAILED"
    status = "INTERNAL"
    may_retry = True
    answer = AnswerKind.TRY_LATER


# --- Peers, directory, registry -------------------------------------------------------------


class PeerNotTrustedError(EdocError):
    """The TLS certificate of the caller is not in the directory in force, or has ended."""

    reason = "PEER_NOT_TRUSTED"
    status = "UNAUTHENTICATED"
    exit_code = ExitCode.REFUSED


class EpochSupersededError(EdocError):
    """A newer start of this agency's node is known: another copy of it is running elsewhere."""

    reason = "EPOCH_SUPERSEDED"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class HelloMissingError(EdocError):
    """The stream did not begin with a hello; update the other node."""

    reason = "HELLO_MISSING"
    status = "FAILED_PRECONDITION"


class PeerUnreachableError(EdocError):
    """The node of the other agency does not answer; delivery is tried again by itself."""

    reason = "PEER_UNREACHABLE"
    status = "UNAVAILABLE"
    may_retry = True
    exit_code = ExitCode.UNREACHABLE


class RegistryUnreachableError(EdocError):
    """The registry does not answer; check its address and the network, then run this again."""

    reason = "REGISTRY_UNREACHABLE"
    status = "UNAVAILABLE"
    may_retry = True
    exit_code = ExitCode.UNREACHABLE


class DirectoryInvalidError(EdocError):
    """The directory is not signed as its root demands, or is older than the one in hand."""

    reason = "DIRECTORY_INVALID"
    status = "PERMISSION_DENIED"
    exit_code = ExitCode.REFUSED


class AgencyUnknownError(EdocError):
    """No agency in the directory has this code."""

    reason = "AGENCY_UNKNOWN"
    status = "NOT_FOUND"
    exit_code = ExitCode.NOT_FOUND


class AgencyExistsError(EdocError):
    """The code or alias already belongs to an agency; codes are never used twice."""

    reason = "AGENCY_EXISTS"
    status = "ALREADY_EXISTS"
    exit_code = ExitCode.CONFLICT


class AgencyInactiveError(EdocError):
    """The agency is suspended, closed or not yet enrolled, so nothing can be sent to it."""

    reason = "AGENCY_INACTIVE"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED


class JoinStringError(EdocError):
    """The join string is damaged; ask the registry's officer for a new one."""

    reason = "JOIN_STRING_INVALID"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.USAGE


class TokenRefusedError(EdocError):
    """The token of the join string is unknown, expired or was used with other keys."""

    reason = "TOKEN_REFUSED"
    status = "PERMISSION_DENIED"
    exit_code = ExitCode.REFUSED


class EndpointRefusedError(EdocError):
    """The endpoint statement is not sealed by the agency it speaks for, or is out of date."""

    reason = "ENDPOINT_REFUSED"
    status = "PERMISSION_DENIED"
    exit_code = ExitCode.REFUSED


class FileUnknownError(EdocError):
    """There is no such file in the directory."""

    reason = "FILE_UNKNOWN"
    status = "NOT_FOUND"
    exit_code = ExitCode.NOT_FOUND


# --- The office and the operator ------------------------------------------------------------


class RequestInvalidError(EdocError):
    """The request lacks something or contradicts itself."""

    reason = "REQUEST_INVALID"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.USAGE


class StateSecretError(EdocError):
    """The document is marked as a state secret, which may not travel here; nothing was kept."""

    reason = "STATE_SECRET"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.REFUSED


class DocumentUnknownError(EdocError):
    """No document or message here has this id."""

    reason = "DOCUMENT_UNKNOWN"
    status = "NOT_FOUND"
    exit_code = ExitCode.NOT_FOUND


class IdAmbiguousError(EdocError):
    """More than one document begins with this id; give more of it."""

    reason = "ID_AMBIGUOUS"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.USAGE


class RequestConflictError(EdocError):
    """The request id was used before for another request; make a new id."""

    reason = "REQUEST_CONFLICT"
    status = "ALREADY_EXISTS"
    exit_code = ExitCode.CONFLICT


class DecisionConflictError(EdocError):
    """Another decision on this document was already taken and sent."""

    reason = "DECISION_CONFLICT"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class DocumentRevokedError(EdocError):
    """Its sender took the document back, and it was destroyed here; ask the sender about it."""

    reason = "DOCUMENT_REVOKED"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED


class FileExistsHereError(EdocError):
    """A file of this name is there already and not overwritten; use --force or another folder."""

    reason = "FILE_EXISTS"
    status = "ALREADY_EXISTS"
    exit_code = ExitCode.CONFLICT


class NodeNotRunningError(EdocError):
    """The node is not running."""

    reason = "NOT_RUNNING"
    status = "UNAVAILABLE"
    exit_code = ExitCode.UNREACHABLE


class FolderInUseError(EdocError):
    """Another process already works on this data folder."""

    reason = "FOLDER_IN_USE"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class AddressInUseError(EdocError):
    """Another program already listens on this address."""

    reason = "ADDRESS_IN_USE"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class DataFolderError(EdocError):
    """The data folder is missing, incomplete or readable by others."""

    reason = "DATA_FOLDER_UNUSABLE"
    status = "FAILED_PRECONDITION"


class KeyUnusableError(EdocError):
    """A private key is missing, readable by others or does not match its certificate."""

    reason = "KEY_UNUSABLE"
    status = "FAILED_PRECONDITION"


class SettingsError(EdocError):
    """A setting is unknown or has a value that cannot be used."""

    reason = "SETTINGS_INVALID"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.USAGE


class StorageDamagedError(EdocError):
    """Stored bytes are not what was written; they are not shown, restore them from a backup."""

    reason = "STORAGE_DAMAGED"
    status = "DATA_LOSS"


class StorageFailedError(EdocError):
    """The disk failed to keep a write; the node stops so that nothing false is acknowledged."""

    reason = "STORAGE_FAILED"
    status = "INTERNAL"


class EvidenceInvalidError(EdocError):
    """The evidence does not hold: a member was altered, is missing or is not signed as it must."""

    reason = "EVIDENCE_INVALID"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.REFUSED


class JournalBrokenError(EdocError):
    """The journal does not agree with itself: a seal was altered, removed or inserted."""

    reason = "JOURNAL_BROKEN"
    status = "DATA_LOSS"
