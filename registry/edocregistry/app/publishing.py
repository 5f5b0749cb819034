"""Brings the published files to what the records say, and takes in what officers signed.

A draft that was accepted lies in the data folder until its directory is published: a program that
ends in between leaves it to the next turn of anybody.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec import UNSET
from tuf.api.metadata import Root

from edoccore.directory import layout, loading, trust
from edoccore.directory.layout import NetworkInfo, to_base64
from edoccore.directory.view import Directory
from edoccore.officer_errors import DraftStaleError
from edockit import files
from edocregistry.app.log_book import LogBook
from edocregistry.domain import drafting
from edocregistry.domain.authorities import in_order, retirements
from edocregistry.domain.contents import directory_contents, with_lists_of
from edocregistry.domain.differences import (
    Change,
    changes_between,
    said_in,
    wanted_by,
)
from edocregistry.domain.drafting import Draft
from edocregistry.domain.model import REGISTRY_CODE
from edocregistry.domain.publication import (
    Contents,
    Holders,
    Publication,
    RoleFile,
    Signers,
    is_of_officers,
    plan,
    says_it_already,
    targets_in,
    wanted_roles,
)
from edocregistry.domain.revoking import refresh_crls
from edocregistry.settings import RegistrySettings
from edocregistry.storage.folder import DataFolder, Turn
from edocregistry.storage.keys import FileAuthority

_OFTEN = (layout.ENDPOINTS, layout.SUBAGENCIES, layout.SNAPSHOT, layout.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a draft.

    Attributes:
        version: Of the directory that it became.
        already: It had been published before.
    """

    version: int
    already: bool


class Publisher:
    """The published files of one registry."""

    def __init__(
        self, folder: DataFolder, settings: RegistrySettings, clock: Callable[[], datetime]
    ) -> None:
        """Takes the folder of a registry that was founded."""
        self.folder = folder
        self.settings = settings
        self._clock = clock
        self.log = LogBook(folder, settings.network, clock)
        self._trusted: tuple[tuple[int, ...], Directory] | None = None

    def authority(self) -> FileAuthority:
        """The issuing CA."""
        life = timedelta(days=self.settings.seal_days)
        return self.folder.keys.authority(crl_url=self.settings.crl_url, life=life)

    def authorities(self) -> list[FileAuthority]:
        """All issuing CAs whose key is here, the oldest first; the last one issues."""
        life = timedelta(days=self.settings.seal_days)
        retired = self.folder.keys.retired_authorities(crl_url=self.settings.crl_url, life=life)
        return [*retired, self.authority()]

    def root(self) -> Root:
        """The root in force."""
        root = self.folder.directory.root().signed
        assert isinstance(root, Root)  # it was verified when it was taken in
        return root

    def signers(self) -> Signers:
        """The keys on this machine that the root in force names."""
        return self.folder.keys.signers(self.root())

    def now(self) -> datetime:
        """This moment, as everything here counts."""
        return self._clock()

    def directory(self) -> Directory:
        """The published directory, verified from its first root as every reader does."""
        published = self.folder.directory
        current = published.current()
        # Endpoints and lists change often and do not matter to who may seal.
        versions = (
            max(published.roots()),
            *(
                item.signed.version
                for role, item in sorted(current.items())
                if not role.startswith(_OFTEN)
            ),
        )
        if self._trusted is None or self._trusted[0] != versions:
            self._trusted = (versions, self.newest())
        return self._trusted[1]

    def newest(self) -> Directory:
        """The published directory with everything that is in it now."""
        published = self.folder.directory
        return loading.load(published.bundle(), self._anchor())

    def contents(self, turn: Turn) -> Contents:
        """What the records want the directory to say."""
        now, authorities = self._clock(), self.authorities()
        crls = turn.write(lambda records: refresh_crls(records, authorities, now))
        former = turn.read(lambda records: records.former_authorities())
        chain = [
            *in_order(item.certificate for item in former),
            *(item.certificate for item in authorities),
        ]
        info = NetworkInfo(
            network=self.settings.network,
            registry=REGISTRY_CODE,
            issuing_authorities=tuple(map(to_base64, reversed(chain))),
            retired_authorities=retirements(chain),
            log=turn.read(self.log.wanted) or UNSET,
        )
        return turn.read(lambda records: directory_contents(records, info, crls, now))

    def waiting(self, turn: Turn) -> list[Change]:
        """What the officers have to sign before the directory says it."""
        if self.signers().identity is not None:
            return []
        contents, current = self.contents(turn), self.folder.directory.current()
        found = changes_between(
            said_in(lambda role: targets_in(current, role)), wanted_by(contents)
        )
        old = self._old_roles(contents, current)
        if old and not found:
            found.append(Change("", f"Roles to be signed anew because they grow old: {old}."))
        return found

    def finish(self, turn: Turn) -> None:
        """Publishes a draft that was accepted before the program ended; without one nothing."""
        if self.folder.accepted_draft.exists():
            self.publish(turn)

    def publish(self, turn: Turn, *, renew: bool = False) -> Publication:
        """Brings the published files to what the records say; without need nothing is written.

        Args:
            turn: The open turn.
            renew: Sign everything anew whose key is here, as a restored registry must.

        Raises:
            LogBehindError, LogUnconfirmedError: Nodes hold newer versions, or may; nothing changed.
        """
        self.log.require_newest()
        draft = self._accepted()
        self.log.catch_up()  # with what was published last, before something else is
        publication = self._plan(turn, draft, renew=renew)
        self.folder.directory.publish(publication.files)
        self.log.catch_up()
        if draft is not None:
            self.folder.keys.settle(draft.root)
            digest = drafting.digest(draft)
            turn.write(lambda records: records.add_published_draft(digest, publication.version))
            self.folder.accepted_draft.unlink()
        return publication

    def take(self, turn: Turn, draft: Draft) -> Taken:
        """Publishes what officers signed.

        Raises:
            DraftStaleError: What it changes was changed after it was made.
            DraftInvalidError, SignaturesMissingError: See ``drafting.require_signed``.
            DirectoryInvalidError: No node would take the directory that it would become.
            KeyUnusableError: A new key that the draft names is no longer on this machine.
        """
        digest = drafting.digest(draft)
        version = turn.read(lambda records: records.published_draft(digest))
        if version is not None:
            return Taken(version, already=True)
        self._check_base(draft)
        drafting.require_signed(draft)
        current = self.newest()
        planned = self._plan(turn, draft)
        after = {**self.folder.directory.bundle(), **planned.files}
        trust.may_replace(current, loading.load(after, self._anchor(), current.floor()))
        signed = drafting.encode_draft(drafting.with_roles(draft.file, draft.roles))
        files.write_file_atomic(self.folder.accepted_draft, signed)
        return Taken(self.publish(turn).version, already=False)

    def _plan(self, turn: Turn, draft: Draft | None, *, renew: bool = False) -> Publication:
        now, contents = self._clock(), self.contents(turn)
        current = self.folder.directory.current()
        if draft is None:
            signers = self.signers()
            said = with_lists_of(contents, _network(contents, current, signers))
            return plan(said, current, self.root(), signers, now, renew=renew)
        brought = draft.role_files()
        signers, after = self.folder.keys.signers(draft.root), {**current, **brought}
        said = with_lists_of(contents, _network(contents, after, signers))
        publication = plan(said, after, draft.root, signers, now)
        made = {
            layout.file_name(role, item.signed.version): item.data for role, item in brought.items()
        }
        root = draft.root_file()
        if root is not None:
            made[layout.file_name(layout.ROOT, draft.root.version)] = root
        publication.files = {**made, **publication.files}  # timestamp.json stays the last
        return publication

    def _accepted(self) -> Draft | None:
        try:
            data = self.folder.accepted_draft.read_bytes()
        except FileNotFoundError:
            return None
        return drafting.read_draft(data, self._clock())

    def _check_base(self, draft: Draft) -> None:
        ours = self.newest()
        if draft.before.chain.anchor != ours.chain.anchor:
            raise DraftStaleError(
                f"The draft is of another directory, that of the root {draft.before.chain.anchor}.",
                hint="Publish it in the data folder of the registry that made it.",
            )
        for role in (layout.ROOT, *draft.roles):
            if ours.versions[role] != draft.before.versions[role]:
                raise DraftStaleError(
                    f"The role {role} is version {ours.versions[role]}; the draft was made when "
                    f"it was {draft.before.versions[role]}.",
                    hint="Make a new one and have it signed: edocregistry draft --out FILE",
                    role=role,
                )

    def _old_roles(self, contents: Contents, current: Mapping[str, RoleFile]) -> int:
        holders = Holders.of(self.root())
        return sum(
            not says_it_already(role, current[role], wanted, holders, self._clock())
            for role, wanted in wanted_roles(contents, holders)
            if is_of_officers(role)
        )

    def _anchor(self) -> str:
        return sha256(min(self.folder.directory.roots().items())[1]).hexdigest()


def _network(contents: Contents, current: Mapping[str, RoleFile], signers: Signers) -> NetworkInfo:
    """What the directory will say of the network, which officers may have to sign first."""
    if signers.identity is not None:
        return contents.network
    target = targets_in(current, layout.TARGETS).targets[layout.NETWORK_PATH]
    return layout.read_target(target, NetworkInfo)
