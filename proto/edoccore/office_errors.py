"""Errors of an office: who may see, do and keep what, packages of edXML; see ``errors``."""

from edoccore.errors import EdocError, ExitCode


class TokenNotAcceptedError(EdocError):
    """The socket for offices takes only calls with the token of an account that has not ended."""

    reason = "ACCESS_TOKEN_REFUSED"
    status = "UNAUTHENTICATED"
    exit_code = ExitCode.REFUSED


class AccessDeniedError(EdocError):
    """The account may not do this; ask the node's administrator."""

    reason = "ACCESS_DENIED"
    status = "PERMISSION_DENIED"
    exit_code = ExitCode.REFUSED


class DocumentHeldError(EdocError):
    """The document is held and is not destroyed; release it first."""

    reason = "DOCUMENT_HELD"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.CONFLICT


class DocumentQuarantinedError(EdocError):
    """The document is kept apart, infected or not scanned, until an administrator decides."""

    reason = "DOCUMENT_QUARANTINED"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED


class ScannerOffError(EdocError):
    """The settings of this node name no scanner for malware."""

    reason = "SCANNER_OFF"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED


class EdxmlInvalidError(EdocError):
    """The edXML package breaks the standard or a bound; mend the file at the line that is named."""

    reason = "EDXML_INVALID"
    status = "INVALID_ARGUMENT"
    exit_code = ExitCode.REFUSED


class EncryptionKeyError(EdocError):
    """A recipient has published no encryption key that can be used; nothing was sent."""

    reason = "ENCRYPTION_KEY_MISSING"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED


class PartNotDecryptedError(EdocError):
    """The encrypted part cannot be read with the keys of this node; ask its sender."""

    reason = "PART_NOT_DECRYPTED"
    status = "FAILED_PRECONDITION"
    exit_code = ExitCode.REFUSED
