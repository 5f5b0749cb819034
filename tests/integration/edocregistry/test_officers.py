"""What officers sign offline becomes the directory, and nothing else does."""

import json
from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest

from edoccore.directory import layout, loading, trust
from edoccore.errors import DirectoryInvalidError, KeyUnusableError, RequestInvalidError
from edoccore.officer_errors import DraftInvalidError, DraftStaleError, SignaturesMissingError
from edocregistry.app.officers import DraftOrder, make_draft, read_drafts
from edocregistry.app.registry import Registry
from edocregistry.app.signing import check_root
from edocregistry.app.status import registry_status
from edocregistry.domain.differences import changes_of
from edocregistry.domain.drafting import DraftFile, encode_draft, signings
from edocregistry.domain.model import REGISTRY_CODE
from edocregistry.domain.rotation import RootChange
from tests.support.officers import Ceremony, new_keys, public
from tests.support.registry import OFFICER, enrol_node


@pytest.fixture
def ceremony(registry, clock) -> Ceremony:
    return Ceremony(registry, clock)


@pytest.fixture
def identity(ceremony):
    """Three officers who say who exists, two of whom must sign; auto_publish is off."""
    keys = new_keys(3)
    ceremony.turn_off(keys, 2)
    return keys


def add(registry, code: str, name: str | None = None) -> None:
    registry.add_agency(OFFICER, code, name or f"Agency {code}", aliases=(), owner=None)


def anchor(registry) -> str:
    return sha256(registry.folder.directory.roots()[1]).hexdigest()


def seen(registry, before=None):
    """The directory as a node takes it that has an earlier one, from the very first root."""
    floor = {} if before is None else {"floor": before.floor()}
    found = loading.load(registry.folder.directory.bundle(), anchor(registry), **floor)
    if before is not None:
        trust.may_replace(before, found)
    return found


def test_t21_without_enough_officers_no_agency_enters_the_directory(registry, ceremony, identity):
    add(registry, "H29")
    assert not registry.publishes_alone()
    assert not (registry.folder.path / "keys" / "identity.pem").exists()
    assert [change.text for change in registry.waiting()] == ["H29 (Agency H29) is added."]
    draft = ceremony.draft()
    for signed in (draft, ceremony.sign(draft, identity[0])):
        with pytest.raises(SignaturesMissingError):
            ceremony.publish(signed)
    assert "H29" not in seen(registry).identities
    with pytest.raises(DraftInvalidError, match="may sign nothing"):
        ceremony.sign(draft, *new_keys(1))
    before = seen(registry)
    ceremony.publish(ceremony.sign(draft, identity[0], identity[2]))
    assert "H29" in seen(registry, before).identities
    assert registry.waiting() == []


def test_one_officer_who_signs_twice_counts_once(registry, ceremony, identity):
    add(registry, "H29")
    everything = DraftOrder(renew=True)  # 66 roles, each with a signature of the one officer
    for order in (DraftOrder(), everything):
        draft = ceremony.draft(order)
        once, apart = ceremony.sign(draft, identity[0]), ceremony.sign(draft, identity[0])
        for copies in ([ceremony.sign(once, identity[0])], [once, apart], [once, once]):
            with pytest.raises(SignaturesMissingError):
                ceremony.publish(*copies)


def test_copies_that_officers_signed_apart_are_joined(registry, ceremony, identity):
    add(registry, "H29")
    draft = ceremony.draft()
    ceremony.publish(ceremony.sign(draft, identity[1]), ceremony.sign(draft, identity[2]))
    assert "H29" in seen(registry).identities


def test_copies_of_different_drafts_are_not_joined(registry, ceremony, identity, clock):
    add(registry, "H29")
    first = ceremony.sign(ceremony.draft(), identity[0])
    clock.move(timedelta(minutes=1))
    second = ceremony.sign(ceremony.draft(), identity[1])
    with pytest.raises(DraftInvalidError, match="different drafts"):
        ceremony.publish(first, second)


def test_published_again_it_is_done_already(registry, ceremony, identity):
    add(registry, "H29")
    signed = ceremony.sign(ceremony.draft(), *identity)
    first = ceremony.publish(signed)
    add(registry, "H30")
    again = ceremony.publish(signed)
    assert (again.version, again.already) == (first.version, True)


def test_draft_of_what_was_changed_meanwhile_is_stale(registry, ceremony, identity, clock):
    add(registry, "H29")
    old = ceremony.sign(ceremony.draft(), *identity)
    clock.move(timedelta(minutes=1))
    add(registry, "H31")
    registry.suspend_agency(OFFICER, "H29")
    ceremony.hold(DraftOrder(), *identity)
    with pytest.raises(DraftStaleError):
        ceremony.publish(old)
    assert seen(registry).identities["H29"].state == "SUSPENDED"


def test_draft_older_than_its_roles_is_refused(registry, ceremony, identity, clock):
    add(registry, "H29")
    signed = ceremony.sign(ceremony.draft(), *identity)
    clock.move(timedelta(days=46))
    with pytest.raises(DraftInvalidError, match="too old"):
        ceremony.publish(signed)


def altered(data: bytes, role: str, change) -> bytes:
    """A draft in which one role file says something else, signatures kept."""
    file = msgspec.json.decode(data, type=DraftFile)
    roles = dict(file.roles)
    name = next(name for name in roles if name.split(".")[1] == role)
    content = json.loads(roles[name])
    change(content["signed"])
    roles[name] = json.dumps(content)
    return encode_draft(msgspec.structs.replace(file, roles=roles))


def test_t09_content_altered_after_an_officer_signed_is_refused(registry, ceremony, identity):
    add(registry, "H29")
    signed = ceremony.sign(ceremony.draft(), *identity)
    role = layout.bin_of(layout.IDENTITY, "H29")

    def another_day(said) -> None:
        day = "01" if "-01T" not in said["expires"] else "02"
        said["expires"] = f"{said['expires'][:8]}{day}{said['expires'][10:]}"

    spoilt = altered(signed, role, another_day)
    with pytest.raises(DraftInvalidError, match="not of the bytes"):
        ceremony.publish(spoilt)
    with pytest.raises(DraftInvalidError, match="not of the bytes"):
        signings(read_drafts([spoilt], ceremony.clock()))


def test_what_is_shown_comes_from_the_bytes_and_not_from_the_summary(registry, ceremony, identity):
    add(registry, "H29")
    file = msgspec.json.decode(ceremony.draft(), type=DraftFile)
    lying = encode_draft(msgspec.structs.replace(file, summary=("Nothing is changed.",)))
    texts = [change.text for change in changes_of(read_drafts([lying], ceremony.clock()))]
    assert texts[0] == "H29 (Agency H29) is added."


def test_t06_bins_handed_to_other_keys_than_the_root_names_are_refused(
    registry, ceremony, identity
):
    rogue = new_keys(1)[0].public_key
    draft = ceremony.draft(DraftOrder(renew=True))

    def hand_over(said) -> None:
        said["delegations"]["keys"][rogue.keyid] = rogue.to_dict()
        said["delegations"]["succinct_roles"]["keyids"] = [rogue.keyid]
        said["delegations"]["succinct_roles"]["threshold"] = 1

    with pytest.raises(DraftInvalidError, match="other keys"):
        read_drafts([altered(draft, "identity", hand_over)], ceremony.clock())


def test_draft_upon_a_root_that_the_officer_does_not_know_is_refused(registry, ceremony, identity):
    add(registry, "H29")
    opened = read_drafts([ceremony.draft()], ceremony.clock())
    check_root(opened, anchor(registry))
    with pytest.raises(DraftInvalidError, match="No root in the draft"):
        check_root(opened, "a" * 64)


def test_every_difference_is_told(registry, ceremony, identity, clock):
    node = enrol_node(registry, "H29", clock)
    ceremony.hold(DraftOrder(), *identity)
    clock.move(timedelta(minutes=1))
    key_before = sha256(node.seal_certificate).hexdigest()
    enrol_node(registry, "H29", clock)
    registry.add_agency(OFFICER, "H29.5", "Sở Nội vụ", aliases=(), owner="H29")
    registry.suspend_agency(OFFICER, "H29")
    texts = [change.text for change in registry.waiting()]
    assert texts[:2] == [
        "H29 is suspended, no longer active.",
        "H29 owns H29.5 (Sở Nội vụ).",
    ]
    assert texts[2].startswith("H29 gets the seal certificate ")
    assert key_before not in texts[2]
    drafted = changes_of(read_drafts([ceremony.draft()], ceremony.clock()))
    assert [change.text for change in drafted][:3] == texts


def test_nothing_waits_so_there_is_no_draft(registry, ceremony, identity, clock):
    assert make_draft(registry, DraftOrder(), actor=OFFICER, now=clock()) is None
    clock.move(timedelta(days=15))
    assert registry.waiting()[0].text == "Roles to be signed anew because they grow old: 66."
    ceremony.hold(DraftOrder(), *identity)
    assert registry.waiting() == []


def test_status_says_what_waits_and_for_whom(registry, ceremony, identity, clock):
    add(registry, "H29")
    found = registry_status(registry, clock.now)
    assert "AWAITING_OFFICERS" in {problem.code for problem in found.problems}
    assert "AUTO_PUBLISH" not in {problem.code for problem in found.problems}
    assert found.waiting == ["H29 (Agency H29) is added."]
    assert [(item.role, item.threshold, len(item.keys)) for item in found.officers] == [
        ("root", 2, 3),
        ("identity", 2, 3),
    ]


def test_auto_publish_can_be_turned_on_again(registry, ceremony, identity):
    add(registry, "H29")
    before = seen(registry)
    ceremony.hold(DraftOrder(auto_publish=True), *ceremony.root_keys()[1:])
    assert registry.publishes_alone()
    assert "H29" in seen(registry, before).identities
    add(registry, "H30")
    assert "H30" in seen(registry).identities


def test_t35_officers_change_twice_and_nodes_of_before_follow(registry, ceremony, clock):
    old = seen(registry)
    first = new_keys(3)
    change = RootChange(officers=public(first), threshold=2)
    ceremony.hold(DraftOrder(change=change), *ceremony.root_keys()[:2], *first[:2])
    second = new_keys(5)
    change = RootChange(officers=public(second), threshold=3)
    ceremony.hold(DraftOrder(change=change), *first[1:], *second[2:])
    found = seen(registry, old)
    assert found.chain.root.version == 3
    assert found.chain.anchor == old.chain.anchor
    with pytest.raises(SignaturesMissingError):  # the officers of before count no longer
        ceremony.hold(DraftOrder(change=RootChange(renew=True)), *second[:2], *second[:2])
    with pytest.raises(DraftInvalidError, match="may sign nothing"):
        ceremony.sign(ceremony.draft(DraftOrder(change=RootChange(renew=True))), first[0])


def test_t35_new_root_needs_the_old_officers_and_the_new_ones(registry, ceremony):
    new = new_keys(3)
    draft = ceremony.draft(DraftOrder(change=RootChange(officers=public(new), threshold=2)))
    old = ceremony.root_keys()
    for signers in (old, new, [old[0], *new], [*old, new[0]]):
        with pytest.raises(SignaturesMissingError):
            ceremony.publish(ceremony.sign(draft, *signers))


def test_lost_officer_is_replaced_by_those_who_are_left(registry, ceremony):
    kept, new = ceremony.root_keys()[1:], new_keys(1)
    change = RootChange(officers=[*public(kept), *public(new)])
    ceremony.hold(DraftOrder(change=change), *kept)
    held = seen(registry).chain.root.roles["root"]
    assert set(held.keyids) == {signer.public_key.keyid for signer in (*kept, *new)}


@pytest.mark.parametrize("threshold", [0, 4, -1])
def test_threshold_that_cannot_be_met_is_refused(registry, ceremony, threshold):
    change = RootChange(officers=public(new_keys(3)), threshold=threshold)
    with pytest.raises(RequestInvalidError):
        ceremony.draft(DraftOrder(change=change))


def test_online_key_is_replaced_and_the_old_one_leaves(registry, ceremony, clock):
    old, before = registry.publisher.signers().online.public_key.keyid, seen(registry)
    ceremony.hold(DraftOrder(new_online_key=True), *ceremony.root_keys()[:2])
    assert registry.publisher.signers().online.public_key.keyid != old
    assert old not in seen(registry, before).chain.root.keys
    assert sorted(path.name for path in (registry.folder.path / "keys").glob("online*")) == [
        "online.pem"
    ]
    clock.move(timedelta(hours=7))
    registry.publish_due()
    seen(registry, before)


def test_new_key_that_is_gone_before_its_draft_is_published_is_told(registry, ceremony):
    signed = ceremony.sign(ceremony.draft(DraftOrder(new_online_key=True)), *ceremony.root_keys())
    ceremony.draft(DraftOrder(new_online_key=True))  # makes another one
    with pytest.raises(KeyUnusableError, match="not on this machine"):
        ceremony.publish(signed)
    registry.publish_due()
    seen(registry)


def test_draft_cut_off_after_it_was_accepted_is_made_up_by_the_next_turn(
    registry, ceremony, clock, monkeypatch
):
    """The disk fails just before the first file of the new directory is written."""
    identity = new_keys(3)
    change = RootChange(identity=public(identity), identity_threshold=2)
    order = DraftOrder(change=change, new_online_key=True)
    signed = ceremony.sign(ceremony.draft(order), *ceremony.root_keys()[:2], *identity[:2])
    with monkeypatch.context() as broken:
        publish = registry.folder.directory.publish

        def fail(files) -> None:
            if "2.root.json" in files:
                raise OSError("the machine went down")
            publish(files)

        broken.setattr(registry.folder.directory, "publish", fail)
        with pytest.raises(OSError, match="went down"):
            ceremony.publish(signed)
    again = Registry(registry.folder, registry.settings, clock)
    before = seen(again)
    again.publish_due()
    assert seen(again, before).chain.root.version == 2
    assert not again.publishes_alone()
    assert ceremony.publish(signed).already


def test_own_seal_that_is_renewed_waits_for_the_officers_and_is_made_once(
    registry, ceremony, identity, clock
):
    clock.move(timedelta(days=671))  # of the 730 that a seal lasts
    ceremony.hold(DraftOrder(), *identity)
    registry.publish_due()
    seals = len(seen(registry).identities[REGISTRY_CODE].seals)
    registry.keep_own_entry()
    registry.keep_own_entry()
    waiting = [change.text for change in registry.waiting()]
    assert len([text for text in waiting if "gets the seal certificate" in text]) == 1
    assert len(seen(registry).identities[REGISTRY_CODE].seals) == seals
    assert seen(registry).endpoint(REGISTRY_CODE, clock.now) is not None
    ceremony.hold(DraftOrder(), *identity)
    assert registry.keep_own_entry() is True
    assert registry.keep_own_entry() is False


def test_t35_root_that_skips_a_version_or_lacks_signatures_is_refused_by_nodes(registry, ceremony):
    old = seen(registry)
    for _ in range(2):
        ceremony.hold(DraftOrder(change=RootChange(renew=True)), *ceremony.root_keys())
    files = registry.folder.directory.bundle()
    skipped = {name: data for name, data in files.items() if name != "2.root.json"}
    assert loading.load(skipped, anchor(registry)).chain.root.version == 1  # 3 is not looked at
    root = json.loads(files["2.root.json"])
    root["signatures"] = root["signatures"][:1]
    weak = {**files, "2.root.json": json.dumps(root).encode()}
    with pytest.raises(DirectoryInvalidError, match="root"):
        loading.load(weak, anchor(registry), old.floor())
    renamed = {**skipped, "2.root.json": files["3.root.json"]}
    with pytest.raises(DirectoryInvalidError, match="says version 3"):
        loading.load(renamed, anchor(registry), old.floor())
