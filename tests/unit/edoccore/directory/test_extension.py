from datetime import UTC, datetime, timedelta

import pytest
from securesystemslib.signer import CryptoSigner

from edoccore.directory.extension import MAX_EXTENSION, require_in_force
from edoccore.directory.state import EXTENSION, Freshness, judge
from edoccore.directory.trust import carry_extension, prolong
from edoccore.directory.view import Directory
from edoccore.directory_errors import ExtensionInvalidError
from edoccore.errors import DirectoryExpiredError
from edoccore.signing.statements import DirectoryMark
from tests.support.nation import Nation

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def expired(nation: Nation) -> Directory:
    """A directory whose roles have all ended; the officers' clock stands three days later."""
    directory = nation.directory()
    nation.now += 48 * DAY
    return directory


def test_t34_an_extension_opens_an_expired_directory_and_its_end_closes_it_again(
    nation: Nation, expired: Directory
) -> None:
    signed_at = nation.now
    assert judge(expired, signed_at).freshness is Freshness.EXPIRED
    extended = prolong(expired, nation.extend(20 * DAY))
    state = judge(extended, signed_at)
    assert state.freshness is Freshness.EMERGENCY
    assert (state.since, state.expires, state.expiring_role) == (
        signed_at,
        signed_at + 20 * DAY,
        EXTENSION,
    )
    state.require_usable()
    assert judge(extended, signed_at + 20 * DAY - DAY / 86400).freshness is Freshness.EMERGENCY
    closed = judge(extended, signed_at + 20 * DAY)
    assert (closed.freshness, closed.since) == (Freshness.EXPIRED, signed_at + 20 * DAY)
    with pytest.raises(DirectoryExpiredError):
        closed.require_usable()


def test_an_extension_changes_nothing_while_the_roles_hold(nation: Nation) -> None:
    directory = nation.directory()
    extended = prolong(directory, nation.extend(90 * DAY))
    for days, freshness in ((0, Freshness.FRESH), (2, Freshness.STALE)):
        state = judge(extended, nation.now + days * DAY)
        assert state.freshness is freshness
    assert judge(extended, nation.now + 46 * DAY).freshness is Freshness.EMERGENCY


@pytest.mark.parametrize("officers", [0, 1])
def test_fewer_officers_than_a_new_root_needs_extend_nothing(
    nation: Nation, expired: Directory, officers: int
) -> None:
    with pytest.raises(ExtensionInvalidError, match="signed by"):
        prolong(expired, nation.extend(DAY, officers=officers))


def test_keys_that_are_not_the_root_s_extend_nothing(nation: Nation, expired: Directory) -> None:
    nation.officers = [CryptoSigner.generate_ed25519() for _ in range(3)]
    with pytest.raises(ExtensionInvalidError, match="signed by 0/2"):
        prolong(expired, nation.extend(DAY, officers=3))
    nation.officers = [nation.identity, nation.online, nation.freshness]
    with pytest.raises(ExtensionInvalidError, match="signed by 0/2"):
        prolong(expired, nation.extend(DAY, officers=3))


def test_an_extension_of_another_network_holds_nowhere_else(
    nation: Nation, expired: Directory
) -> None:
    with pytest.raises(ExtensionInvalidError, match="network vn-other"):
        prolong(expired, nation.extend(DAY, network="vn-other"))


def test_an_extension_brings_back_no_older_directory_and_holds_for_newer_ones(
    nation: Nation, expired: Directory
) -> None:
    nation.add_agency("H30", "Another")
    newer = nation.directory()
    data = nation.extend(90 * DAY)
    with pytest.raises(ExtensionInvalidError, match="is for directory version"):
        prolong(expired, data)
    prolong(newer, data)
    nation.now += DAY
    nation.add_agency("H31", "One more")
    newest = carry_extension(prolong(newer, data), nation.directory())
    assert newest.extension is not None
    named = DirectoryMark(version=newer.mark.version, hash="0" * 64)
    with pytest.raises(ExtensionInvalidError):
        prolong(newer, nation.extend(DAY, mark=named))


def test_a_root_whose_officers_left_takes_their_extension_with_them(nation: Nation) -> None:
    directory = prolong(nation.directory(), nation.extend(90 * DAY))
    leaving, nation.officers = nation.officers, [CryptoSigner.generate_ed25519() for _ in range(3)]
    nation.now += DAY
    nation.new_root(old_officers=leaving)
    assert carry_extension(directory, nation.directory()).extension is None


@pytest.mark.parametrize("life", [timedelta(0), -DAY, MAX_EXTENSION + timedelta(seconds=1)])
def test_an_extension_lasts_at_most_90_days(
    nation: Nation, expired: Directory, life: timedelta
) -> None:
    with pytest.raises(ExtensionInvalidError, match="lasts longer than 90 days"):
        prolong(expired, nation.extend(life))


def test_an_extension_is_brought_neither_after_its_end_nor_before_its_time(
    nation: Nation, expired: Directory
) -> None:
    extension = prolong(expired, nation.extend(DAY)).extension
    assert extension is not None
    require_in_force(extension, nation.now)
    for moment in (nation.now + DAY, nation.now - timedelta(minutes=6)):
        with pytest.raises(ExtensionInvalidError):
            require_in_force(extension, moment)


def test_a_file_that_is_altered_anywhere_extends_nothing(
    nation: Nation, expired: Directory
) -> None:
    data = nation.extend(DAY)
    for place in range(0, len(data), 7):
        altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ExtensionInvalidError):
            prolong(expired, altered)
