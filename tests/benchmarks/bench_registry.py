"""What the registry of a whole nation costs: 3,500 agencies, each with seal and endpoint.

    .venv/bin/python -m tests.benchmarks.bench_registry [--quick]

In this process, on real files and keys; nothing is asserted.
"""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from edoccore.directory.layout import AgencyState
from edoccore.directory.packing import pack
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.request import SealRequest
from edockit import certificates
from edockit.logs import set_up_logs
from edocregistry.app.registry import Registry
from edocregistry.domain.enrolment import requested_keys
from edocregistry.domain.model import Agency, Endpoint, SealCertificate
from edocregistry.storage.folder import DataFolder
from tests.benchmarks.figures import Spread
from tests.benchmarks.pair import FOLDER_VARIABLE
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.registry import Clock, found_registry, new_token, node_of

ROUNDS = 7
CALLERS = 16
CALLER = "ipv4:10.0.0.1"
HOW = "In one process, with real keys and files; spread over several calls, not over rounds."


def run(scale: Scale) -> Report:
    """Fills a registry and measures what happens every day."""
    count = scale.pick(20, 3_500)
    clock = Clock()
    set_up_logs(level="WARNING")
    report = Report(f"registry of {count:,} agencies", HOW)
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER_VARIABLE)) as folder:
        registry = found_registry(Path(folder) / "registry", clock)
        nodes = fill(registry, clock, count)
        show(report, "sign and write everything", [seconds(registry.publish_due)])
        downloads(report, "the whole directory", {}, registry.folder.directory.bundle())
        show(report, "verify it as a reader does", [seconds(registry.directory)])
        show(report, "a turn in which nothing is due", repeat(registry.publish_due))
        before = registry.folder.directory.bundle()
        changes = [change(registry, nodes[0], clock)]
        downloads(report, "one changed endpoint", before, registry.folder.directory.bundle())
        changes += [change(registry, node, clock) for node in nodes[1:7]]
        show(report, "one endpoint, server at work", changes)
        show(report, f"one endpoint, {CALLERS} callers at once", [at_once(registry, nodes, clock)])
        joins = [join(registry, clock, number) for number in range(5)]
        show(report, "one node joins: enrolment and endpoint", joins)
        colds = [cold(registry, nodes[8], clock)]
        show(report, "one endpoint, process just started", colds)
        clock.move(timedelta(days=15))
        show(report, "sign and write everything again", [seconds(registry.publish_due)])
    report.bars(
        "Registry",
        "milliseconds",
        [(row.what, row.spread) for row in report.rows if row.unit == "ms"],
    )
    return report


def at_once(registry, nodes, clock):
    """Seconds for each of many endpoint statements that come together."""
    many = [node.endpoint("10.0.0.3:7443", time=clock.now) for node in nodes[-100:]]

    def publish_all():
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda sealed: registry.publish_endpoint(CALLER, sealed), many))

    return seconds(publish_all) / len(many)


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
    request = SealRequest(certificates.seal_request(key, code))
    der = authority.issue(request, agency, clock.now)
    seal = SealCertificate(
        sha256=certificate_digest(der),
        agency=code,
        key_sha256=requested_keys(request).first_sha256,
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
    enrolled = registry.enrol(CALLER, token=token, request=SealRequest(request), agency_code="")
    took = time.perf_counter() - begun
    certificate = enrolled.certificate.certificate
    return took + change(registry, node_of(code, key, certificate, enrolled.chain[0], clock), clock)


def cold(registry, node, clock):
    """The same by a process that has read nothing yet."""
    return change(Registry(DataFolder(registry.folder.path), registry.settings, clock), node, clock)


def downloads(report, what, known, files):
    """Adds what a reader fetches that has the files ``known``."""
    new = [data for name, data in files.items() if known.get(name) != data]
    packed = sum(len(pack(data)) for data in new)
    report.row(f"{what}, {len(new)} files, on the wire", Spread.of([packed / 1e6]), "MB")
    report.row(f"{what}, on disk", Spread.of([sum(map(len, new)) / 1e6]), "MB")


def seconds(act):
    """How long one call takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def repeat(act):
    """How long each of several calls takes."""
    return [seconds(act) for _ in range(ROUNDS)]


def show(report, what, took):
    """Adds seconds as a row of milliseconds."""
    report.row(what, Spread.of([second * 1000 for second in took]), "ms")


if __name__ == "__main__":
    run_alone(run)
