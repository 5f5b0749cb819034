"""What a third party concludes from an evidence file, and what no file can make it believe."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
import pytest

from edoccore.directory.layout import RevocationKind
from edoccore.errors import EvidenceInvalidError, ExitCode, StorageDamagedError
from edoccore.signing import canonical
from edocnode.evidence import manifest as manifests
from edocnode.evidence.manifest import MANIFEST, MANIFEST_SIGNATURE, Manifest, Member
from edocnode.evidence.verdict import Verdict, VerdictKind
from edocnode.evidence.verify import verify
from tests.integration.evidence.conftest import flipped, members, packed
from tests.support.evidence import Exchange, exchange

ROUNDS = 8  # bits tried per member, besides the first and the last


def judge(made: Exchange, data: bytes, folder: Path, **options: object) -> Verdict:
    path = folder / "evidence.zip"
    path.write_bytes(data)
    asked: dict[str, object] = {"root": made.nation.anchor, "now": made.made_at, **options}
    asked.setdefault("time_anchors", made.time_anchors)
    return verify(path, **asked)  # type: ignore[arg-type]


def signed_anew(made: Exchange, content: dict[str, bytes]) -> bytes:
    """What a dishonest maker can do: list altered members and sign the list."""
    old = canonical.decode(content[MANIFEST], Manifest, limit=manifests.MAX_MANIFEST_BYTES)
    listed = tuple(
        Member(name=name, size=len(data), sha256=sha256(data).hexdigest())
        for name, data in sorted(content.items())
        if name not in (MANIFEST, MANIFEST_SIGNATURE)
    )
    data = canonical.encode(
        msgspec.structs.replace(old, members=listed), limit=manifests.MAX_MANIFEST_BYTES
    )
    signature = made.sender.signer.sign(data)
    return packed({**content, MANIFEST: data, MANIFEST_SIGNATURE: signature})


def test_evidence_of_an_honest_exchange_is_valid(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    verdict = judge(made, file, tmp_path)
    assert verdict.findings == ()
    assert verdict.notes == ()
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.VALID, ExitCode.DONE)
    assert verdict.facts["sender"] == "H26.5"
    assert verdict.facts["result"] == "received"
    assert verdict.made_by == "H26"


def test_same_content_gives_the_same_bytes(made: Exchange) -> None:
    directory = made.nation.directory()
    assert made.bundle(directory=directory) == made.bundle(directory=directory)


def test_recipient_can_make_the_evidence_too(made: Exchange, tmp_path: Path) -> None:
    verdict = judge(made, made.bundle(maker=made.recipient), tmp_path)
    assert (verdict.kind, verdict.made_by) == (VerdictKind.VALID, "H29")


def test_directory_in_hand_is_an_anchor(made: Exchange, file: bytes, tmp_path: Path) -> None:
    known = made.nation.directory()
    assert judge(made, file, tmp_path, root=None, known=known).kind is VerdictKind.VALID


def test_without_an_anchor_only_the_fingerprint_found_is_told(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    verdict = judge(made, file, tmp_path, root=None)
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.NO_ANCHOR, ExitCode.REFUSED)
    assert verdict.fingerprint == made.nation.anchor


def test_another_network_s_root_is_not_believed(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    verdict = judge(made, file, tmp_path, root="0" * 64)
    assert (verdict.kind, verdict.findings[0].number) == (VerdictKind.INVALID, 3)


def test_every_member_altered_by_one_bit_is_found_and_named(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    chance = random.Random(7)
    for name, data in members(file).items():
        size = max(len(data) * 8, 1)
        for bit in {0, size - 1, *(chance.randrange(size) for _ in range(ROUNDS))}:
            altered = packed({**members(file), name: flipped(data, bit)})
            verdict = judge(made, altered, tmp_path)
            assert verdict.kind is VerdictKind.INVALID, (name, bit)
            if name not in (MANIFEST, MANIFEST_SIGNATURE):
                assert [finding.member for finding in verdict.findings] == [name]


def test_every_member_altered_by_its_maker_is_found_though_the_manifest_is_signed_anew(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    chance = random.Random(8)
    content = members(file)
    for name, data in content.items():
        if name in (MANIFEST, MANIFEST_SIGNATURE, manifests.INSTRUCTIONS):
            continue
        if name.endswith((".tsr", "time-leaf")):  # see the tests of time, and those by hand
            continue
        for bit in {0, chance.randrange(max(len(data) * 8, 1))}:
            altered = signed_anew(made, {**content, name: flipped(data, bit)})
            assert judge(made, altered, tmp_path).kind is VerdictKind.INVALID, (name, bit)


def test_every_member_left_out_by_its_maker_is_missed(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    content = members(file)
    may_be_absent = {"parts/00", "parts/01", "parts/02", "status-01/record.json", "VERIFY.md"}
    for name in content.keys() - may_be_absent - {MANIFEST, MANIFEST_SIGNATURE}:
        rest = {key: data for key, data in content.items() if key != name}
        assert judge(made, signed_anew(made, rest), tmp_path).kind is VerdictKind.INVALID, name


def test_destroyed_parts_are_told_and_the_rest_still_proves(made: Exchange, tmp_path: Path) -> None:
    evidence = replace(made.evidence, inline={}, blobs=frozenset())
    verdict = judge(made, made.bundle(evidence=evidence), tmp_path)
    assert verdict.kind is VerdictKind.VALID
    assert len(verdict.notes) == 3


def test_envelope_without_receipt_proves_no_arrival(made: Exchange, tmp_path: Path) -> None:
    evidence = replace(made.evidence, receipt=None, statuses=())
    verdict = judge(made, made.bundle(evidence=evidence), tmp_path)
    assert verdict.kind is VerdictKind.VALID
    assert "no receipt" in verdict.notes[0]


def test_receipt_for_another_envelope_is_found(made: Exchange, tmp_path: Path) -> None:
    other = exchange(made.made_at)
    assert other.evidence.receipt is not None
    evidence = replace(made.evidence, receipt=made.evidence.statuses[0].receipt, statuses=())
    verdict = judge(made, made.bundle(evidence=evidence), tmp_path)
    assert (verdict.kind, verdict.findings[0].member) == (VerdictKind.INVALID, "receipt")


def test_part_that_is_stored_damaged_is_not_exported(made: Exchange) -> None:
    evidence = replace(made.evidence, inline={**made.evidence.inline, 2: b"other"})
    with pytest.raises(StorageDamagedError):
        made.bundle(evidence=evidence)


def test_time_in_the_future_is_found(made: Exchange, file: bytes, tmp_path: Path) -> None:
    verdict = judge(made, file, tmp_path, now=made.made_at - timedelta(minutes=10))
    assert verdict.kind is VerdictKind.INVALID


def revoked(since_minutes: int | None, code: str = "H26") -> Exchange:
    """An exchange whose one agency's seal is revoked an hour after it."""
    made = exchange(datetime.now(UTC))
    made.nation.now = made.made_at - timedelta(minutes=10)
    since = None if since_minutes is None else made.made_at - timedelta(minutes=since_minutes)
    made.nation.revoke(code, RevocationKind.SEAL, compromised_since=since)
    return made


def test_signer_revoked_later_is_valid_when_the_other_side_shows_it_is_older(
    tmp_path: Path,
) -> None:
    made = revoked(None)
    verdict = judge(made, made.bundle(maker=made.recipient), tmp_path)
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.REVOKED_LATER, ExitCode.DONE)


def test_without_another_agency_s_word_the_time_is_not_proven(tmp_path: Path) -> None:
    made = revoked(None)
    evidence = replace(made.evidence, receipt=None, statuses=())
    verdict = judge(made, made.bundle(evidence=evidence), tmp_path)
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.TIME_NOT_PROVEN, ExitCode.REFUSED)


def test_seal_made_after_its_key_was_lost_is_worth_nothing(tmp_path: Path) -> None:
    made = revoked(90)
    verdict = judge(made, made.bundle(maker=made.recipient), tmp_path)
    assert verdict.kind is VerdictKind.INVALID


def test_revocation_that_only_the_reader_knows_counts(
    file: bytes, made: Exchange, tmp_path: Path
) -> None:
    fresh = exchange(made.made_at)
    old = fresh.bundle()
    fresh.nation.now = fresh.made_at - timedelta(minutes=10)
    fresh.nation.revoke("H29", RevocationKind.SEAL)
    verdict = judge(fresh, old, tmp_path, root=None, known=fresh.nation.directory())
    assert verdict.kind is VerdictKind.TIME_NOT_PROVEN


Spoil = Callable[[dict[str, bytes]], bytes]


def deflated(content: dict[str, bytes]) -> bytes:
    from io import BytesIO

    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file.getvalue()


def doubled(content: dict[str, bytes]) -> bytes:
    from io import BytesIO

    file = BytesIO(packed(content))
    with ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("parts/00", b"another")
    return file.getvalue()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: b"not a zip", id="no zip"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: packed({**content, "../x": b""}), id="traversal"),
        pytest.param(lambda content: packed({**content, "/etc/x": b""}), id="absolute"),
        pytest.param(lambda content: packed({**content, "parts\\03": b""}), id="backslash"),
        pytest.param(lambda content: packed({**content, "parts/100": b""}), id="unknown name"),
        pytest.param(
            lambda content: packed({**content, "crls/00.der": bytes(9 * 1024 * 1024)}),
            id="large member",
        ),
        pytest.param(
            lambda content: packed({f"parts/{n:02d}": b"" for n in range(100)}), id="no manifest"
        ),
        pytest.param(deflated, id="compressed"),
        pytest.param(doubled, id="twice"),
    ],
)
def test_harmful_zip_is_refused(spoil: Spoil, made: Exchange, file: bytes, tmp_path: Path) -> None:
    verdict = judge(made, spoil(members(file)), tmp_path)
    assert verdict.kind is VerdictKind.INVALID
    assert verdict.findings[0].why


def test_too_many_statuses_are_not_exported(made: Exchange) -> None:
    evidence = replace(made.evidence, statuses=made.evidence.statuses * 51)
    with pytest.raises(EvidenceInvalidError):
        made.bundle(evidence=evidence)


def test_damage_anywhere_in_the_file_is_judged_and_never_a_crash(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    chance = random.Random(9)
    content = members(file)
    for _ in range(400):
        damaged = flipped(file, chance.randrange(len(file) * 8))
        if chance.random() < 0.2:
            damaged = damaged[: chance.randrange(len(damaged))]
        if judge(made, damaged, tmp_path).kind is VerdictKind.VALID:
            assert members(damaged) == content  # only what a zip says besides, such as times


def test_hostile_root_before_the_anchor_is_refused_and_never_a_crash(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    content = members(file)
    root = content["roles/root-1/file.json"]
    for old, new in (
        (b'"sig":"', b'"sig":"zz'),
        (b'"public":"', b'"public":"\\u00e9'),
        (b"{", b"["),
    ):
        hostile = {**content, "roles/root-0/file.json": root.replace(old, new)}
        assert judge(made, signed_anew(made, hostile), tmp_path).kind is VerdictKind.INVALID
