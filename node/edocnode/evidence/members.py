"""Which members an evidence file has, and which bytes.

What follows from statements, role files and certificates alone is made by one function: the writer
stores its result, the reader makes it again and compares, so no member can be altered, added or
left out even by the agency that made the file.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from edoccore.identity.keys import halves_of
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Seal
from edocnode.domain.timestamps import TimeProof
from edocnode.evidence.cms import detached_signature
from edocnode.evidence.directory_extract import RoleFiles, role_members
from edocnode.evidence.halves import lattice_key_pem

Chains = Mapping[str, Sequence[bytes]]  # by folder or manifest: DER, seal certificate first


NO_RECEIPT = "no-receipt"  # folder of what the sender said when it gave the delivery up
SALT = f"{NO_RECEIPT}/salt"
SUBAGENCIES = "subagencies"  # folder of the sender's own list, when its code is in that alone
TIMESTAMP = "time.tsr"  # in the folder of a statement whose seal was timestamped


def part_name(index: int) -> str:
    """Where the bytes of a part are; its real name stands in the envelope."""
    return f"parts/{index:02d}"


def status_folder(number: int) -> str:
    """Folder of a status's own envelope; they count from 1."""
    return f"status-{number:02d}"


def record_name(number: int) -> str:
    """Where the record of a status is."""
    return f"{status_folder(number)}/record.json"


def derived_members(
    statements: Mapping[str, SealedStatement],
    roles: RoleFiles,
    chains: Chains,
    times: Mapping[str, TimeProof],
) -> dict[str, bytes]:
    """All members that follow from statements, role files and certificates.

    Args:
        statements: By folder: ``envelope``, ``receipt``, ``status-01``, ``status-01-receipt``, ...
            ``subagencies``, and ``no-receipt``, whose salt is a member of its own.
        roles: Role files of the directory.
        chains: Of every folder, and of the manifest.
        times: Of the folders whose seal was timestamped.

    Raises:
        EvidenceInvalidError: A role file or a suite is of a kind that openssl cannot check.
    """
    members = role_members(roles)
    for folder, sealed in statements.items():
        members.update(_sealed_members(folder, sealed, chains[folder]))
    for folder, time in times.items():
        members.update(_time_members(folder, time))
    for chain in chains.values():
        members.update({f"certificates/{sha256(der).hexdigest()}.der": der for der in chain})
        if pem := lattice_key_pem(chain[0]):
            members[f"certificates/{sha256(chain[0]).hexdigest()}.mldsa.pem"] = pem
    return members


def _sealed_members(
    folder: str, sealed: SealedStatement, chain: Sequence[bytes]
) -> dict[str, bytes]:
    suite = canonical.decode(sealed.seal.data, Seal).suite
    classical, lattice = halves_of(sealed.seal.signature, suite)
    return {
        f"{folder}/statement.json": sealed.statement,
        f"{folder}/leaf": b"%d\n" % sealed.leaf,
        f"{folder}/seal.json": sealed.seal.data,
        f"{folder}/seal.sig": classical,
        **({f"{folder}/seal.mldsa": lattice} if lattice else {}),
        f"{folder}/seal.p7s": detached_signature(sealed.seal.data, classical, suite, chain),
        **{f"{folder}/proof-{step:02d}": node for step, node in enumerate(sealed.proof)},
    }


def _time_members(folder: str, time: TimeProof) -> dict[str, bytes]:
    return {
        f"{folder}/{TIMESTAMP}": time.token,
        f"{folder}/time-leaf": b"%d %d\n" % (time.leaf, time.size),
        f"{folder}/time-root": time.root,
        **{f"{folder}/time-proof-{step:02d}": node for step, node in enumerate(time.proof)},
    }
