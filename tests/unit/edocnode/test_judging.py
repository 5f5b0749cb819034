"""Parcels of several peers are judged together, each by who sent it and as if it were alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from msgspec import structs

from edoccore.directory.view import Directory
from edoccore.signing import canonical
from edocnode.domain import receiving
from edocnode.domain.checks import Standing
from edocnode.domain.exchange import Parcel, Refused, TryLater
from edocnode.domain.model import Arrival
from edocnode.workers import judging
from edocnode.workers.judging import SMALL, Judging
from tests.support.nation import Agency
from tests.unit.edocnode.conftest import Post


class NoSessions:
    """Knows no newer start of anybody."""

    def check_seal(self, seal: object) -> None:
        """Accepts every seal."""


@dataclass
class Desk:
    """G01 judges; H29 and H30 write to it."""

    post: Post
    other: Post
    together: list[list[str]] = field(default_factory=list)  # peers of what was judged in one step
    directory: Directory = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.post.directory
        self.judging = Judging(
            network=self.post.nation.network,
            agency=self.post.recipient.code,
            sessions=NoSessions(),  # type: ignore[arg-type]
            directory=lambda: self.directory,
            clock=lambda: self.post.now,
        )

    def parcels(self, post: Post, count: int = 1, by: Agency | None = None) -> list[Parcel]:
        return [post.parcel(canonical.encode(post.envelope()), by=by) for _ in range(count)]


@pytest.fixture
def desk(post: Post, monkeypatch: pytest.MonkeyPatch) -> Desk:
    third = post.nation.add_agency("H30", "Ủy ban nhân dân tỉnh Hà Tây")
    post = replace(post, directory=post.nation.directory())
    made = Desk(post, replace(post, sender=third))
    judge = receiving.judge_parcels

    def judge_parcels(
        parcels: Sequence[Parcel], seals: Sequence[object], standings: Sequence[Standing]
    ) -> object:
        made.together.append([standing.peer for standing in standings])
        return judge(parcels, seals, standings)  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "judge_parcels", judge_parcels)
    return made


async def test_t02_parcels_of_peers_judged_together_are_judged_by_who_sent_each(
    desk: Desk,
) -> None:
    """A peer that forwards another's parcel is refused beside that other, who is not."""
    stolen = desk.parcels(desk.other)
    told = await asyncio.gather(
        desk.judging.judge("H29", desk.parcels(desk.post, 2)),
        desk.judging.judge("H29", stolen),
        desk.judging.judge("H30", stolen),
        desk.judging.judge("H30", desk.parcels(desk.post)),
    )
    assert desk.together == [["H29", "H29", "H29", "H30", "H30"]]
    assert [[type(item) for item in batch] for batch in told] == [
        [Arrival, Arrival],
        [Refused],
        [Arrival],
        [Refused],
    ]
    assert {item.reason for batch in (told[1], told[3]) for item in batch} == {"FROM_NOT_OWNED"}
    assert [item.sender for item in (*told[0], *told[2])] == ["H29", "H29", "H30"]


async def test_t41_one_that_cannot_be_read_spoils_no_other(desk: Desk) -> None:
    good, bad = desk.parcels(desk.post), desk.parcels(desk.other)
    sealed = bad[0].envelope
    broken = structs.replace(sealed.seal, signature=b"\x30\x00" + sealed.seal.signature[2:])
    bad[0] = structs.replace(bad[0], envelope=structs.replace(sealed, seal=broken))
    told = await asyncio.gather(
        desk.judging.judge("H29", good),
        desk.judging.judge("H30", bad),
        desk.judging.judge("H30", []),
    )
    assert [[type(item) for item in batch] for batch in told] == [[Arrival], [Refused], []]
    assert len(desk.together) == 1


async def test_revocation_that_comes_between_counts_for_all_that_follow(desk: Desk) -> None:
    """The seal that was accepted a moment ago is looked at anew."""
    parcels = desk.parcels(desk.post)
    (first,) = await desk.judging.judge("H29", parcels)
    assert isinstance(first, Arrival)
    desk.post.nation.revoke("H29")
    desk.directory = desk.post.nation.directory()
    ((later,), (other,)) = await asyncio.gather(
        desk.judging.judge("H29", parcels), desk.judging.judge("H30", desk.parcels(desk.other))
    )
    assert isinstance(later, Refused | TryLater)
    assert isinstance(other, Arrival)


async def test_a_long_batch_is_judged_for_itself(desk: Desk) -> None:
    many = desk.parcels(desk.post, SMALL + 1)
    told = await asyncio.gather(
        desk.judging.judge("H29", many), desk.judging.judge("H30", desk.parcels(desk.other))
    )
    assert sorted(map(len, desk.together)) == [1, SMALL + 1]
    assert [len(batch) for batch in told] == [SMALL + 1, 1]
