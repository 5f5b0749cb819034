"""Drafts: what waits for the officers, in one file that is signed on machines without a network.

A draft carries the directory in force and the role files to come, unsigned at first. Whoever signs
needs nothing else: the directory is verified from its first root, the new roles are held against
it, and what one is about to sign is computed from the bytes, never read from the summary. Officers
sign one after the other, or each a copy; ``join_signatures`` brings copies together.

Source: TUF specification 1.0.33, 4.2 (signatures over the canonical form of ``signed``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
from securesystemslib.signer import Signer
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Signed, Targets
from tuf.api.serialization import DeserializationError

from edoccore.directory import layout, loading, roles
from edoccore.directory.roles import RootChain
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryInvalidError, EdocError
from edoccore.officer_errors import DraftInvalidError, SignaturesMissingError
from edoccore.signing.readers import reader_of
from edocregistry.domain.publication import (
    Contents,
    Holders,
    RoleFile,
    Signers,
    give_version,
    is_of_officers,
    says_it_already,
    wanted_roles,
)
from edocregistry.domain.rotation import RootChange, next_root

SCHEMA = "edoc.registry-draft/v1"
MAX_DRAFT_BYTES = 2 * layout.MAX_DIRECTORY_BYTES
_LIFE = {layout.ROOT: layout.ROOT_LIFE}

_Anything = TypeVar("_Anything", bound=Signed)


class DraftFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A draft as it lies in its file, JSON: role files as text, so that their bytes are kept.

    Attributes:
        network: For people; the directory says it too.
        made_at: When the registry made it, RFC 3339.
        summary: For people who open the file; ``sign`` computes its own.
        roles: To be signed, by file name.
        directory: In force, by file name, all roots too.
    """

    schema: str
    network: str
    made_at: str
    summary: tuple[str, ...]
    roles: dict[str, str]
    directory: dict[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft that was checked.

    Attributes:
        roles: To come, by role name; ``root`` may be among them.
        before: The directory in force.
        root: That will be in force.
        file: As it was read.
    """

    roles: Mapping[str, Metadata[Any]]
    before: Directory
    root: Root
    file: DraftFile

    def role_files(self) -> dict[str, RoleFile]:
        """The roles below the root as a publication takes them."""
        return {
            name: RoleFile.read(metadata.to_bytes())
            for name, metadata in self.roles.items()
            if name != layout.ROOT
        }

    def root_file(self) -> bytes | None:
        """The next root; None when it stays."""
        metadata = self.roles.get(layout.ROOT)
        return None if metadata is None else metadata.to_bytes()

    def targets(self, role: str) -> Targets:
        """What a role of the officers will say."""
        if role in self.roles:
            found: Targets = self.roles[role].signed
            return found
        return self.targets_before(role)

    def targets_before(self, role: str) -> Targets:
        """What a role of the officers says in the directory in force."""
        signed = RoleFile.read(_file_of(self.before, role)).signed
        if not isinstance(signed, Targets):
            raise roles.invalid(role, "it is another role.")
        return signed


@dataclass(frozen=True, slots=True)
class Signing:
    """Who has signed, of one group of roles.

    Attributes:
        what: ``root`` or ``identity``.
        signed: Key ids that signed every role of the group.
        needed: How many must; of a root, each of the old and the new officers.
        missing: How many more must sign; 0: enough.
    """

    what: str
    signed: tuple[str, ...]
    needed: int
    missing: int


def make_draft(
    contents: Contents,
    before: Directory,
    signers: Signers,
    change: RootChange,
    now: datetime,
    *,
    renew: bool = False,
) -> dict[str, Metadata[Any]]:
    """Makes the roles that wait for the officers, unsigned; nothing waits: none.

    Args:
        contents: What the directory is to say.
        before: The directory in force.
        signers: Keys on this machine, as the root to come names them.
        change: Of the root.
        now: From here on the roles last.
        renew: Also those that say already what they must.
    """
    made: dict[str, Metadata[Any]] = {}
    root = before.chain.root
    if change.is_wanted():
        made[layout.ROOT] = next_root(root, change, now)
        root = made[layout.ROOT].signed
    if signers.identity is not None:
        return made
    holders = Holders.of(root)
    for role, wanted in wanted_roles(contents, holders):
        if not is_of_officers(role):
            continue
        known = RoleFile.read(_file_of(before, role))
        if renew or not says_it_already(role, known, wanted, holders, now):
            give_version(role, wanted, known, now)
            made[role] = Metadata(wanted)
    return made


def encode_draft(file: DraftFile) -> bytes:
    """Writes a draft as people can open it."""
    return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"


def with_roles(file: DraftFile, made: Mapping[str, Metadata[Any]]) -> DraftFile:
    """The same draft with these role files."""
    named = {
        layout.file_name(role, metadata.signed.version): metadata.to_bytes().decode("utf-8")
        for role, metadata in made.items()
    }
    return msgspec.structs.replace(file, roles=named)


def with_summary(file: DraftFile, lines: Sequence[str]) -> DraftFile:
    """The same draft with these lines for people who open it."""
    return msgspec.structs.replace(file, summary=tuple(lines))


def read_draft(data: bytes, now: datetime) -> Draft:
    """Reads a draft and holds it against the directory that it carries; signatures may be missing.

    Raises:
        DraftInvalidError: It was altered, is no draft, or has expired; says what is wrong.
    """
    try:
        file = reader_of(DraftFile).decode(data)
        if file.schema != SCHEMA or len(data) > MAX_DRAFT_BYTES:
            raise _invalid(f"it is no {SCHEMA}")
        files = {name: text.encode("utf-8") for name, text in file.directory.items()}
        chain = _first_root(files)
        before = loading.load(files, chain)
    except (msgspec.DecodeError, DirectoryInvalidError, ValueError) as error:
        raise _invalid(str(error)) from error
    if file.network != before.network:
        raise _invalid("it names another network than its directory")
    made = {}
    for name, text in file.roles.items():
        role, metadata = _read_role(name, text)
        made[role] = metadata
    draft = Draft(made, before, _root_to_come(before.chain, made), file)
    _check_roles(draft, now)
    return draft


def digest(draft: Draft) -> str:
    """Names what a draft says, whoever has signed it: SHA-256 over all that is signed."""
    found = sha256()
    for role in sorted(draft.roles):
        found.update(sha256(draft.roles[role].signed_bytes).digest())
    return found.hexdigest()


def sign_draft(draft: Draft, signers: Sequence[Signer]) -> dict[str, list[str]]:
    """Signs each role with each key that may sign it; a key that signed before changes nothing.

    Returns:
        Key id -> names of the roles it signed.

    Raises:
        DraftInvalidError: A key may sign nothing in the draft.
        KeyUnusableError: A token does not sign.
    """
    done: dict[str, list[str]] = {}
    for signer in signers:
        keyid = signer.public_key.keyid
        mine = [role for role in draft.roles if keyid in allowed_keys(draft, role)]
        if not mine:
            raise DraftInvalidError(
                f"The key {keyid[:16]} may sign nothing in this draft.",
                hint="Take the key file of an officer that the root names, or another draft.",
                key=keyid,
            )
        for role in mine:
            _sign(draft.roles[role], signer)
        done[keyid] = mine
    return done


def allowed_keys(draft: Draft, role: str) -> set[str]:
    """Key ids whose signature on a role counts."""
    if role == layout.ROOT:
        both = (draft.before.chain.root, draft.root)
        return {keyid for root in both for keyid in root.roles[layout.ROOT].keyids}
    return {key.keyid for key in Holders.of(draft.root).identity}


def signings(draft: Draft) -> list[Signing]:
    """How far the draft is signed, root first.

    Raises:
        DraftInvalidError: A signature is not of the bytes it stands by.
    """
    found = []
    for role, metadata in draft.roles.items():
        _check_signatures(draft, role, metadata)
    if layout.ROOT in draft.roles:
        found.append(_root_signing(draft))
    below = [metadata for role, metadata in draft.roles.items() if role != layout.ROOT]
    if below:
        threshold = Holders.of(draft.root).threshold
        allowed = allowed_keys(draft, layout.TARGETS)
        signed = allowed.intersection(*(metadata.signatures for metadata in below))
        missing = max(0, threshold - len(signed))
        found.append(Signing("identity", tuple(sorted(signed)), threshold, missing))
    return found


def require_signed(draft: Draft) -> None:
    """Lets a draft pass that enough officers have signed.

    Raises:
        DraftInvalidError: A signature is not of the bytes it stands by.
        SignaturesMissingError: Too few; says how many more of which keys.
    """
    for item in signings(draft):
        if item.missing:
            raise SignaturesMissingError(
                f"Of the officers that the {item.what} needs, {len(item.signed)} have signed the "
                f"draft; {item.missing} more must.",
                hint="Have more officers run: edocregistry sign FILE --key KEYFILE",
                missing=str(item.missing),
            )


def join_signatures(drafts: Sequence[Draft]) -> Draft:
    """Brings copies of one draft together that several officers signed.

    Raises:
        DraftInvalidError: They are not copies of one draft.
    """
    first, *others = drafts
    for other in others:
        if digest(other) != digest(first):
            raise DraftInvalidError(
                "The files are copies of different drafts.",
                hint="Publish each draft by itself, in the order in which they were made.",
            )
        for role, metadata in other.roles.items():
            first.roles[role].signatures.update(metadata.signatures)
    return first


# --- How ---------------------------------------------------------------------------------------


def _sign(metadata: Metadata[Any], signer: Signer) -> None:
    try:
        metadata.sign(signer, append=True)
    except UnsignedMetadataError as error:
        if isinstance(error.__cause__, EdocError):  # of a token, with what to do
            raise error.__cause__ from error
        raise


def _root_signing(draft: Draft) -> Signing:
    metadata = draft.roles[layout.ROOT]
    signed = set(metadata.signatures)
    missing = needed = 0
    for root in (draft.before.chain.root, draft.root):
        role = root.roles[layout.ROOT]
        needed = max(needed, role.threshold)
        missing = max(missing, role.threshold - len(signed.intersection(role.keyids)))
    counted = sorted(signed & allowed_keys(draft, layout.ROOT))
    return Signing("root", tuple(counted), needed, max(0, missing))


def _check_signatures(draft: Draft, role: str, metadata: Metadata[Any]) -> None:
    keys = draft.before.chain.root.keys | draft.root.keys
    for keyid, signature in metadata.signatures.items():
        key = keys.get(keyid)
        if key is None or keyid not in allowed_keys(draft, role):
            raise _invalid(f"the role {role} is signed by {keyid[:16]}, which may not sign it")
        try:
            key.verify_signature(signature, metadata.signed_bytes)
        except Exception as error:
            raise _invalid(
                f"the signature of {keyid[:16]} is not of the bytes of the role {role}"
            ) from error


def _check_roles(draft: Draft, now: datetime) -> None:
    delegations = Holders.of(draft.root).delegations()
    if not draft.roles:
        raise _invalid("there is nothing in it to sign")
    for role, metadata in draft.roles.items():
        signed = metadata.signed
        last = draft.before.versions.get(role, 0)
        longest = _LIFE.get(role, layout.ROLE_LIFE)
        if signed.version <= last:
            raise _invalid(f"version {signed.version} of the role {role} is not above {last}")
        if not now < signed.expires <= now + longest + layout.TIMESTAMP_LIFE:
            raise _invalid(
                f"the role {role} would hold until {signed.expires.isoformat()}; "
                "the draft is too old, or the clock of this machine is wrong"
            )
        if role == layout.ROOT:
            continue
        if signed.delegations != delegations.get(role):
            raise _invalid(f"the role {role} hands its work to other keys than the root names")
        if role not in delegations:
            _check_places(role, signed)


def _check_places(role: str, signed: Targets) -> None:
    for path in signed.targets:
        code = path.removeprefix(f"{layout.IDENTITY}/")
        if path == code or layout.bin_of(layout.IDENTITY, code) != role:
            raise _invalid(f"the entry {path} lies in {role}, where nobody looks for it")


def _root_to_come(chain: RootChain, made: Mapping[str, Metadata[Any]]) -> Root:
    metadata = made.get(layout.ROOT)
    if metadata is None:
        return chain.root
    root: Root = metadata.signed
    if root.version != chain.root.version + 1 or not root.consistent_snapshot:
        raise _invalid(f"root {root.version} cannot follow root {chain.root.version}")
    return root


def _read_role(name: str, text: str) -> tuple[str, Metadata[Any]]:
    role = name.removesuffix(".json").partition(".")[2]
    kind: type[Signed] = Root if role == layout.ROOT else Targets
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(text.encode("utf-8"))
    except DeserializationError as error:
        raise _invalid(f"{name} is no role file") from error
    known = role == layout.ROOT or (role in set(layout.role_names()) and is_of_officers(role))
    named = layout.file_name(role, metadata.signed.version) == name
    if not (known and named and isinstance(metadata.signed, kind)):
        raise _invalid(f"{name} is not for officers to sign")
    return role, metadata


def _first_root(files: Mapping[str, bytes]) -> str:
    numbered = {
        int(name.partition(".")[0]): data
        for name, data in files.items()
        if name.endswith(f".{layout.ROOT}.json")
    }
    if not numbered:
        raise _invalid("the directory in it has no root")
    return sha256(numbered[min(numbered)]).hexdigest()


def _file_of(directory: Directory, role: str) -> bytes:
    return directory.files[layout.file_name(role, directory.versions[role])]


def _invalid(why: str) -> DraftInvalidError:
    return DraftInvalidError(
        f"The draft cannot be used: {why}.",
        hint="Sign nothing; ask who made it for a new one: edocregistry draft --out FILE",
    )
