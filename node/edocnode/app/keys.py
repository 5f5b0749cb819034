"""Builds what keeps the keys of a running node fresh, and ends them."""

import secrets
from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from edoccore.directory.layout import RevocationKind
from edoccore.errors import SealerStoppedError
from edoccore.signing import canonical
from edoccore.signing.seal import SALT_BYTES, SealedStatement
from edoccore.signing.statements import Effect, KeyEnd, time_text
from edocnode.app.ground import Ground
from edocnode.domain.own_keys import Ended, KeyState, key_states
from edocnode.domain.seal_life import Renewed, by_hand
from edocnode.rpc.own_word import end_keys, renew_seal
from edocnode.rpc.peers import Links
from edocnode.storage.folder import NodeIdentity
from edocnode.workers.seal_renewal import SealKeeper, SealRenewalParts
from edocnode.workers.tls_renewal import TlsRenewal

KEY_END = "keyend"  # kind of the own statement
KEYS_ENDED = "admin.keys_ended"  # kind of the effect


def build_tls_renewal(ground: Ground, links: Links) -> TlsRenewal:
    """What keeps TLS certificates fresh; it and the links hear of each new directory."""
    renewal = TlsRenewal(
        ground.context.tls,
        agency=ground.identity.agency,
        directory=ground.directory,
        clock=ground.clock,
    )
    ground.keeper.on_change(links.follow)
    ground.keeper.on_change(renewal.wake)
    return renewal


def build_seal_keeper(ground: Ground) -> SealKeeper:
    """What keeps the seal fresh; it hears of each new directory."""

    async def renew(sealed: SealedStatement) -> Renewed:
        return await renew_seal(ground.directory(), sealed, now=ground.clock())

    keeper = SealKeeper(
        SealRenewalParts(
            network=ground.identity.network,
            agency=ground.identity.agency,
            keys=ground.context.seals,
            in_token=ground.folder.key_places.token is not None,
            sealer=ground.sealing.sealer,
            renew=renew,
            alarms=ground.sealing.store,
            directory=ground.directory,
            clock=ground.clock,
        )
    )
    ground.keeper.on_change(keeper.wake)
    return keeper


class NodeKeys:
    """The keys of a running node; see ``domain.own_keys.OwnKeys``."""

    def __init__(self, ground: Ground) -> None:
        """Takes the parts."""
        self._ground = ground

    def states(self) -> list[KeyState]:
        """TLS, then seal."""
        ground, context = self._ground, self._ground.context
        advice = by_hand(
            ground.directory(),
            ground.identity.agency,
            context.seals.current().sha256,
            in_token=ground.folder.key_places.token is not None,
        )
        return key_states(context.tls, context.seals, advice, ground.clock())

    async def end(
        self,
        kinds: Sequence[RevocationKind],
        *,
        reason: str,
        compromised_since: datetime | None,
        actor: str,
    ) -> Ended:
        """Ends keys for good: sealed, published by the registry, in force here at once."""
        ground, sealer = self._ground, self._ground.sealing.sealer
        sealer.check_seal()
        if not sealer.is_sealing:
            raise SealerStoppedError(sealer.problem or None)
        now, certificates = ground.clock(), self._certificates(kinds)
        word = end_word(ground.identity, certificates, reason=reason, now=now)
        if compromised_since is not None:
            word = structs.replace(word, compromised_since=time_text(compromised_since))
        detail = " ".join(item[:16] for item in certificates) + f" {reason}"
        effect = own_effect(ground.identity, KEYS_ENDED, actor=actor, now=now, detail=detail)
        salt = secrets.token_bytes(SALT_BYTES)
        await ground.sealing.store.add_effect(salt, canonical.encode(effect))
        sealed = await sealer.seal_own(KEY_END, canonical.encode(word))
        version = await end_keys(ground.directory(), sealed, now=now)
        await ground.keeper.refresh()
        return Ended(certificates, version)

    def _certificates(self, kinds: Sequence[RevocationKind]) -> tuple[str, ...]:
        ground = self._ground
        seals = ground.directory().seals.current(ground.identity.agency, ground.clock())
        tls = [ground.context.tls.current().sha256] if RevocationKind.TLS in kinds else []
        if RevocationKind.SEAL in kinds:
            return (*tls, *(item.digests[0] for item in seals))
        return tuple(tls)


def end_word(
    identity: NodeIdentity, certificates: Sequence[str], *, reason: str, now: datetime
) -> KeyEnd:
    """An agency's word that keys of its own end, without any compromise."""
    return KeyEnd(
        network=identity.network,
        agency=identity.agency,
        certificates=tuple(certificates),
        reason=reason,
        created=time_text(now),
    )


def own_effect(
    identity: NodeIdentity, kind: str, *, actor: str, now: datetime, detail: str
) -> Effect:
    """What the journal says of an act of those who run the node, on the node itself."""
    return Effect(
        network=identity.network,
        agency=identity.agency,
        kind=kind,
        subject=identity.agency,
        actor=actor,
        time=time_text(now),
        detail=detail,
    )
