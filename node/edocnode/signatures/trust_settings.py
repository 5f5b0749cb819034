"""What is trusted and what a check may cost, as the node hands it to its checking process.

Imports nothing of the extra: the node reads it at its start.
"""

from msgspec import Struct

CERTIFICATE_ENDINGS = (".pem", ".crt", ".cer", ".der")  # of files in a trust store


class StoreSettings(Struct, frozen=True, kw_only=True):
    """A trust store as the operator names it.

    Attributes:
        kind: ``personal`` or ``organisation``: all its signers are; ``any``: rules tell;
            ``timestamp``: its roots vouch for the time alone.
    """

    name: str
    folder: str
    kind: str = "any"


class TrustSettings(Struct, frozen=True, kw_only=True):
    """What is trusted, and how strictly.

    Attributes:
        crl_folder: Revocation lists as files ending in .crl; empty: none.
        signer_rules: File of rules instead of the own ones; empty: the own ones.
        strict: A certificate that no revocation list speaks of makes a signature invalid.
    """

    stores: tuple[StoreSettings, ...] = ()
    crl_folder: str = ""
    signer_rules: str = ""
    strict: bool = False


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """What a checking process is told first.

    Attributes:
        memory_bytes: Address space beyond what its programs take.
        cpu_s: Processor time of one part, seconds.
    """

    trust: TrustSettings
    memory_bytes: int
    cpu_s: int
