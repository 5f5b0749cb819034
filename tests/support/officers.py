"""Officers of a registry under test: their keys in this process, a ceremony in one call."""

from collections.abc import Sequence
from dataclasses import dataclass

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Key

from edocregistry.app.officers import DraftOrder, make_draft, publish_draft, read_drafts
from edocregistry.app.publishing import Taken
from edocregistry.app.registry import Registry
from edocregistry.app.signing import signed_file
from edocregistry.domain.drafting import sign_draft
from edocregistry.domain.rotation import RootChange
from edocregistry.storage.officer_keys import load_key
from tests.support.registry import OFFICER, Clock

NOTHING = DraftOrder()


def new_keys(count: int) -> list[Signer]:
    """Keys of that many officers."""
    return [CryptoSigner.generate_ecdsa() for _ in range(count)]


def public(signers: Sequence[Signer]) -> list[Key]:
    """Their public keys."""
    return [signer.public_key for signer in signers]


@dataclass
class Ceremony:
    """The officers of one registry, and what they do."""

    registry: Registry
    clock: Clock

    def root_keys(self) -> list[Signer]:
        """The keys that ``init`` made."""
        paths = self.registry.folder.keys.officer_files()
        return [CryptoSigner(load_key(path, None)) for path in paths]

    def draft(self, order: DraftOrder = NOTHING) -> bytes:
        """Drafts what waits; something must."""
        made = make_draft(self.registry, order, actor=OFFICER, now=self.clock())
        assert made is not None
        return made.data

    def sign(self, data: bytes, *signers: Signer) -> bytes:
        """Has officers sign a draft."""
        opened = read_drafts([data], self.clock())
        sign_draft(opened, signers)
        return signed_file(opened)

    def publish(self, *copies: bytes) -> Taken:
        """Takes a draft in."""
        opened = read_drafts(copies, self.clock())
        return publish_draft(self.registry, opened, actor=OFFICER, now=self.clock())

    def hold(self, order: DraftOrder, *signers: Signer) -> Taken:
        """Drafts, signs and publishes."""
        return self.publish(self.sign(self.draft(order), *signers))

    def turn_off(self, identity: Sequence[Signer], threshold: int) -> None:
        """Gives the identity keys to officers."""
        change = RootChange(identity=public(identity), identity_threshold=threshold)
        self.hold(DraftOrder(change=change), *self.root_keys()[:2], *identity[:threshold])
