"""Replaces the issuing CA of a ``Nation``, as ``edocregistry ca rotate`` does."""

from datetime import datetime, timedelta
from hashlib import sha256

from edoccore.directory.layout import RetiredAuthority
from edoccore.signing.statements import time_text
from edockit import certificates
from tests.support.agencies import LIFE
from tests.support.nation import Nation


def replace_authority(nation: Nation, since: datetime) -> None:
    """Makes another issuing CA; the one before is retired since a moment, its list stays."""
    last = certificates.build_crl(
        nation.ca_key,
        nation.ca_certificate,
        nation.revoked_serials,
        number=len(nation.revoked_serials) + 1,
        this_update=nation.now,
    )
    nation.former_crls.insert(0, last)
    nation.former.insert(0, nation.ca_certificate)
    digest = sha256(nation.ca_certificate).hexdigest()
    nation.retired.insert(0, RetiredAuthority(sha256=digest, since=time_text(since)))
    nation.ca_key = certificates.new_private_key()
    nation.ca_certificate = certificates.new_ca(
        nation.ca_key,
        name=f"Issuing CA of {nation.network} {len(nation.former) + 1}",
        not_before=since - timedelta(days=1),
        not_after=since + 5 * LIFE,
    )
    nation.forget_lists()
