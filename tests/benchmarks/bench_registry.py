"""What the registry of a whole nation costs: 3,500 agencies, each with seal and endpoint.

Run: python -m tests.benchmarks.bench_registry [AGENCIES]. Prints medians; asserts nothing.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from edoccore.directory.layout import AgencyState
from edoccore.directory.packing import pack
from edoccore.identity.certificate import certificate_digest
from edockit import certificates
from edockit.logs import set_up_logs
from edocregistry.app.registry import Registry
from edocregistry.domain.enrolment import requested_key
from edocregistry.domain.model import Agency, Endpoint, SealCertificate
from edocregistry.storage.folder import DataFolder
from tests.support.registry import Clock, found_registry, new_token, node_of

AGENCIES = 3_500
ROUNDS = 7
CALLERS = 16
CALLER = "ipv4:10.0.0.1"


def main() -> None:
    """Fills a registry and measures what happens every day."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else AGENCIES
    clock = Clock()
    set_up_logs(level="WARNING")
    with tempfile.TemporaryDirectory() as folder:
        registry = found_registry(Path(folder) / "registry", clock)
        nodes = fill(registry, clock, count)
        show(f"sign and write everything, {count} agencies", [seconds(registry.publish_due)])
        show_download("the directory", {}, registry.folder.directory.bundle())
        show("verify it as a reader does", [seconds(registry.directory)])
        show("a turn in which nothing is due", repeat(registry.publish_due))
        before = registry.folder.directory.bundle()
        show("one endpoint, server at work", [change(registry, nodes[0], clock)])
        show_download("one changed endpoint", before, registry.folder.directory.bundle())
        show("six more", [change(registry, node, clock) for node in nodes[1:7]])
        many = [node.endpoint("10.0.0.3:7443", time=clock.now) for node in nodes[20:120]]
        begun = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda sealed: registry.publish_endpoint(CALLER, sealed), many))
        each = (time.perf_counter() - begun) / len(many)
        show(f"one endpoint, {CALLERS} callers at once", [each])
        show("one node joins: enrolment and endpoint", [join(registry, clock, n) for n in range(5)])
        show("one endpoint, process just started", [cold(registry, nodes[8], clock)])
        clock.move(timedelta(days=15))
        show("sign and write everything again", [seconds(registry.publish_due)])


def fill(registry, clock, count):
    """Puts agencies with certificates and sealed endpoints into the records, in one turn."""
    authority = registry.authority()
    rows = [one_agency(authority, clock, f"H10.{number}") for number in range(count)]

    def put(records):
        for _, agency, seal, endpoint in rows:
            records.save_agency(agency)
            records.add_seal_certificate(seal)
            records.put_endpoint(endpoint)

    with registry.folder.turn() as turn:
        turn.write(put)
    return [row[0] for row in rows]


def one_agency(authority, clock, code):
    """The keys of a node and what the registry keeps of it."""
    agency = Agency(
        code=code,
        name=f"Ủy ban nhân dân {code}",
        aliases=(),
        owner=None,
        state=AgencyState.ACTIVE,
        valid_from=clock.now,
        valid_to=None,
    )
    key = certificates.new_private_key()
    request = certificates.seal_request(key, code)
    der = authority.issue(request, agency, clock.now)
    seal = SealCertificate(
        sha256=certificate_digest(der),
        agency=code,
        key_sha256=requested_key(request),
        certificate=der,
        issued_at=clock.now,
    )
    node = node_of(code, key, der, authority.certificate, clock)
    sealed = node.endpoint("10.0.0.1:7443", time=clock.now)
    endpoint = Endpoint(
        agency=code,
        counter=node.counter,
        statement=sealed.statement,
        leaf=sealed.leaf,
        proof=sealed.proof,
        seal=sealed.seal.data,
        signature=sealed.seal.signature,
        published_at=clock.now,
    )
    return node, agency, seal, endpoint


def change(registry, node, clock):
    """Seconds until a new endpoint statement of one agency is published."""
    sealed = node.endpoint("10.0.0.2:7443", time=clock.now)
    return seconds(lambda: registry.publish_endpoint(CALLER, sealed))


def join(registry, clock, number):
    """Seconds for a node's enrolment and first endpoint statement."""
    code = f"H20.{number}"
    token, key = new_token(registry, code), certificates.new_private_key()
    request = certificates.seal_request(key, "edocnode")
    begun = time.perf_counter()
    enrolled = registry.enrol(CALLER, token=token, request=request, agency_code="")
    took = time.perf_counter() - begun
    certificate = enrolled.certificate.certificate
    return took + change(registry, node_of(code, key, certificate, enrolled.chain[0], clock), clock)


def cold(registry, node, clock):
    """The same by a process that has read nothing yet."""
    return change(Registry(DataFolder(registry.folder.path), registry.settings, clock), node, clock)


def show_download(what, known, files):
    """Prints what a reader fetches that has the files ``known``, on disk and on the wire."""
    new = [data for name, data in files.items() if known.get(name) != data]
    plain, packed = sum(map(len, new)), sum(len(pack(data)) for data in new)
    print(f"{f'{what}: {len(new)} files, {plain:,} bytes, packed':<52}{packed:>12,} bytes")


def seconds(act):
    """How long one call takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def repeat(act):
    """How long each of several calls takes."""
    return [seconds(act) for _ in range(ROUNDS)]


def show(what, took):
    """Prints the median in milliseconds."""
    print(f"{what:<52}{statistics.median(took) * 1000:>12,.1f} ms")


if __name__ == "__main__":
    main()
