"""Who watches over the log of published versions, as officers order it.

The list and the number stand in the directory under the signatures of those who say who exists,
so the machine that signs the log does not choose who watches over it, but with auto_publish.
"""

from datetime import datetime

from edoccore.directory.layout import MAX_WITNESSES, WitnessListing
from edoccore.directory.transparency import witness_name
from edoccore.directory_errors import NoteInvalidError
from edoccore.errors import RequestInvalidError
from edoccore.signing.notes import Kind, read_verifier_key
from edocregistry.domain.agencies import active_agency, check_has_node
from edocregistry.domain.ports import Records


def add_witness(
    records: Records, code: str, key: str, network: str, now: datetime
) -> WitnessListing:
    """Lets the node of an agency watch over the log, or replaces its key.

    Args:
        code: Of the agency.
        key: Verifier key, as the node printed it.
        network: Name of the network.
        now: Moment of the order.

    Raises:
        AgencyUnknownError, AgencyInactiveError: There is no such agency, or it has ended.
        RequestInvalidError: It has no node, the key is not its witness's, or there are too many.
    """
    agency = active_agency(records, code, now)
    check_has_node(agency)
    try:
        name = read_verifier_key(key, Kind.COSIGNATURE).name
    except NoteInvalidError as error:
        raise RequestInvalidError(error.message, hint=_WHERE) from error
    if name != witness_name(network, code):
        raise RequestInvalidError(f"The key is that of {name}, not of {code}.", hint=_WHERE)
    known = {item.agency for item in records.witnesses()}
    if code not in known and len(known) >= MAX_WITNESSES:
        raise RequestInvalidError(f"There are {MAX_WITNESSES} witnesses already.")
    witness = WitnessListing(agency=code, key=key)
    records.put_witness(witness)
    return witness


def remove_witness(records: Records, code: str) -> None:
    """Ends the watch of an agency; repeating it changes nothing.

    Raises:
        RequestInvalidError: Fewer would be left than must cosign.
    """
    left = {item.agency for item in records.witnesses()} - {code}
    needed = records.witness_threshold()
    if len(left) < needed:
        raise RequestInvalidError(
            f"{needed} witnesses must cosign, and {len(left)} would be left.",
            hint="First ask for fewer: edocregistry witness require NUMBER",
        )
    records.remove_witness(code)


def require_witnesses(records: Records, threshold: int) -> None:
    """Sets how many witnesses must cosign each checkpoint; 0: none.

    Raises:
        RequestInvalidError: There are not so many.
    """
    known = len(records.witnesses())
    if not 0 <= threshold <= known:
        raise RequestInvalidError(
            f"{threshold} of {known} witnesses cannot be asked for.",
            hint="Add witnesses first: edocregistry witness add CODE KEY",
        )
    records.set_witness_threshold(threshold)


_WHERE = "Take the line that the agency's node prints: edocnode witness enable"
