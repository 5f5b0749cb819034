"""What the demonstration does, step by step: found, join, send, break, resume, prove.

Each method of ``Scenario`` is one step and leaves what the next ones need. Everything is done by
the two programs through their command lines; the only files looked into are their logs and the
size of what the recipient has on disk while a transfer runs.
"""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from edoccore.errors import EdocError
from edockit.language import marked
from edocnode.demo.programs import Json, Program, Service, poll, transfers
from edocnode.demo.proving import check_receipt, has_tools, verify_by_hand
from edocnode.demo.steps import Step, Steps

NETWORK = "vn-demo"
LOOPBACK = "127.0.0.1:0"  # port 0: the programs choose a free one
DOCUMENT = "Quyết định 28-QĐ-UBND.pdf"
ATTACHMENT = "Phụ lục I - Bản đồ số hóa.bin"
SUBJECT = "Về việc ban hành Quy chế tiếp nhận, xử lý văn bản điện tử"
LETTER = "V/v thông báo lịch bảo trì hệ thống đăng ký"
MIB = 1024 * 1024
KILL_AT = 0.3  # share of the attachment that the recipient has when it is killed
SENT_AGAIN_LIMIT = 8 * MIB
DELIVERY_TIMEOUT_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Agency:
    """One side of the exchange."""

    code: str
    name: str
    program: Program


class Scenario:
    """The demonstration in one folder."""

    def __init__(self, folder: Path, attachment_mib: int, steps: Steps) -> None:
        """Plans; nothing is made yet."""
        self._folder = folder
        self._attachment_bytes = attachment_mib * MIB
        self._steps = steps
        self._registry = Program("edocregistry", folder / "registry")
        self._sender = Agency(
            "H29", "Ủy ban nhân dân Thành phố Hồ Chí Minh", Program("edocnode", folder / "H29")
        )
        self._recipient = Agency("G09", "Bộ Nội vụ", Program("edocnode", folder / "G09"))
        self._agencies = (self._sender, self._recipient)
        self._running: dict[str, Service] = {}
        self._digests: dict[str, str] = {}
        self._root = ""
        self._document = ""
        self._sent_bytes = 0
        self.totals: Json = {}

    def plan(self) -> list[tuple[str, Callable[[Step], None]]]:
        """The steps in order, each with its title."""
        return [
            (marked("Found a registry with new keys, and start it"), self._found),
            (marked("Enter two agencies in the directory"), self._enter),
            (marked("Join both with a join string each; keys are made at the node"), self._join),
            (marked("Start both nodes"), self._start_nodes),
            (marked("Connect the two nodes directly, by mutual TLS"), self._connect),
            (marked("Make a document with an attachment of random bytes"), self._attach),
            (marked("Send it sealed; kill the recipient in mid-transfer (SIGKILL)"), self._break),
            (marked("Ask the sender where the document is"), self._ask),
            (marked("Start the recipient again: the transfer resumes"), self._resume),
            (marked("The sender holds the recipient's sealed receipt"), self._receipt),
            (marked("Save the files at the recipient and compare digests"), self._save),
            (marked("Export the evidence, verify it against the root"), self._evidence),
            (marked("Verify it by hand, with openssl and sha256sum alone"), self._by_hand),
            (marked("Kill the registry; one more document goes through"), self._without_registry),
            (marked("Stop both nodes and verify their journals"), self._journals),
        ]

    def close(self) -> None:
        """Ends every process that still runs: in order, so that each removes what it made."""
        running, self._running = list(self._running.values()), {}
        for service in running:
            service.terminate()
        for service in running:
            service.end()

    def _found(self, step: Step) -> None:
        made = self._registry.call("init", "--network", NETWORK, "--listen", LOOPBACK)
        self._root = made["root_sha256"]
        service = self._start(self._registry)
        step.prove(f"network {NETWORK} at {service.listen}, process {service.process_id}")
        step.prove(f"fingerprint of its root, from which all trust starts: {self._root}")

    def _enter(self, step: Step) -> None:
        for agency in self._agencies:
            words = ("agency", "add", agency.code, "--name", agency.name)
            entry = self._registry.call(*words)
            step.prove(f"entered {entry['code']}, {entry['name']}: {entry['state']}")

    def _join(self, step: Step) -> None:
        def join(agency: Agency) -> Json:
            invited = self._registry.call("invite", agency.code)
            return agency.program.call("init", invited["join"], "--listen", LOOPBACK)

        for agency, joined in self._both(join):
            step.prove(f"{agency.code}: certificate of its seal {joined['seal_sha256']}")

    def _start_nodes(self, step: Step) -> None:
        for agency, service in self._both(lambda agency: self._start(agency.program)):
            step.prove(f"{agency.code} at {service.listen}, process {service.process_id}")

    def _connect(self, step: Step) -> None:
        for one, other in (
            (self._sender, self._recipient),
            (self._recipient, self._sender),
        ):
            found = self.poll(
                f"{one.code} does not reach {other.code}",
                lambda one=one, other=other: _ping(one, other),  # type: ignore[misc]
                every_s=0.2,
                timeout_s=30,
            )
            step.prove(
                f"{one.code} -> {other.code} at {found['address']}: {found['protocol']}, "
                f"{found['round_trip_ms']:.0f} ms, certificate as the directory says"
            )

    def _attach(self, step: Step) -> None:
        documents = self._folder / "documents"
        documents.mkdir()
        (documents / DOCUMENT).write_bytes(files(__package__).joinpath(DOCUMENT).read_bytes())
        with (documents / ATTACHMENT).open("wb") as file:
            for _ in range(self._attachment_bytes // MIB):
                file.write(secrets.token_bytes(MIB))
        for name in (DOCUMENT, ATTACHMENT):
            self._digests[name] = _digest(documents / name)
            size = (documents / name).stat().st_size
            step.prove(f"{name}: {size} bytes, SHA-256 {self._digests[name][:16]}...")

    def _break(self, step: Step) -> None:
        log_start = self._sender.program.log.stat().st_size
        with ThreadPoolExecutor(1) as thread:  # the transfer may begin before the command ends
            sending = thread.submit(self._send)
            on_disk = self.poll(
                "the attachment does not reach the recipient",
                self._enough_on_disk,
                every_s=0.002,
                timeout_s=DELIVERY_TIMEOUT_S,
            )
            self._running.pop(self._recipient.code).kill()
            sent = sending.result()
        self._document = sent["document_id"]
        self._sent_bytes = self.poll(
            "the sender does not notice",
            lambda: self._broken(log_start),
            every_s=0.05,
            timeout_s=30,
        )
        if self._sent_bytes >= self._attachment_bytes:
            raise EdocError(
                "the transfer was over before the recipient could be killed",
                hint="Give a larger --attachment-mib.",
            )
        step.prove(f"document {self._document}: durably kept and sealed by {self._sender.code}")
        step.prove(f"{_mib(on_disk)} had been written by the recipient when it was killed")
        step.prove(f"{_mib(self._sent_bytes)} of {_mib(self._attachment_bytes)} had been sent")

    def _send(self) -> Json:
        documents = self._folder / "documents"
        return self._sender.program.call(
            *("send", str(documents / DOCUMENT), str(documents / ATTACHMENT)),
            *("--to", self._recipient.code, "--subject", SUBJECT),
            *("--number", "28", "--notation", "QĐ-UBND", "--type", "QĐ"),
        )

    def _ask(self, step: Step) -> None:
        delivery = self.poll("the outbox does not tell", self._waiting, every_s=0.2, timeout_s=30)
        message, reason = delivery["message"], delivery["reason"]
        step.prove(f"the delivery is {delivery['state']}: {message} ({reason})")
        step.prove(f"next attempt {delivery['next_attempt_at']}; nobody has to do anything")

    def _resume(self, step: Step) -> None:
        start = self._sender.program.log.stat().st_size
        self._start(self._recipient.program)
        self._await_delivery(self._document)
        events = transfers(self._sender.program.log, start)
        begun = [event for event in events if event["event"] == "transfer.started"]
        offset = max((event["offset"] for event in begun), default=0)
        again = sum(event["sent"] for event in events if event["event"] == "transfer.ended")
        twice = self._sent_bytes + again - self._attachment_bytes
        if not offset or not 0 <= twice <= SENT_AGAIN_LIMIT:
            raise EdocError(f"it did not resume: offset {offset}, {twice} bytes sent again")
        self.totals |= {"resumed_at_bytes": offset, "sent_again_bytes": twice}
        step.prove(f"resumed at byte {offset}; {again} bytes followed, {twice} of them again")

    def _receipt(self, step: Step) -> None:
        delivery = self._delivery(self._document)
        if delivery["state"] != "delivered":
            raise EdocError(f"the document is {delivery['state']}: {delivery['message']}")
        step.prove(f"{delivery['state']} to {delivery['recipient']} at {delivery['since']}")

    def _save(self, step: Step) -> None:
        target = self._folder / "saved"
        saved = self._recipient.program.call("save", self._document, "--to", str(target))
        for file in saved["files"]:
            name = file["name"]
            if _digest(Path(file["path"])) != self._digests.get(name):
                raise EdocError(f"{name} is not what was sent")
            step.prove(f"{name}: same SHA-256 {self._digests[name][:16]}...")
        if len(saved["files"]) != len(self._digests):
            raise EdocError("a file is missing")

    def _evidence(self, step: Step) -> None:
        path = self._folder / "evidence.zip"
        code = self._recipient.code
        words = ("evidence", "export", self._document, "--to", code, "--out", str(path))
        self._sender.program.call(*words)
        elsewhere = Program("edocnode", self._folder / "nobody")  # a court has no node
        found = elsewhere.call("evidence", "verify", str(path), "--root", self._root)
        size = path.stat().st_size
        state = found["verdict"]
        step.prove(f"verdict: {state}; {path.name}, {_mib(size)}, no network, no node")

    def _by_hand(self, step: Step) -> None:
        if not has_tools():
            raise EdocError(
                "sh, openssl or sha256sum is missing", hint="Install openssl and coreutils."
            )
        unpacked = self._folder / "evidence"
        lines = verify_by_hand(self._folder / "evidence.zip", unpacked, self._root)
        for line in lines:
            if line.startswith(("8 ", "9 ", "VALID")):
                step.prove(f"VERIFY.md: {line}")
        command, said = check_receipt(unpacked)
        step.prove(f"{command}: {said}")

    def _without_registry(self, step: Step) -> None:
        self._running.pop("registry").kill()
        path = self._folder / "documents" / DOCUMENT
        sent = self._recipient.program.call(
            *("send", str(path), "--to", self._sender.code, "--subject", LETTER, "--wait", "30")
        )
        state = sent["deliveries"][0]["state"]
        step.prove(f"{self._recipient.code} -> {self._sender.code}, registry dead: {state}")

    def _journals(self, step: Step) -> None:
        services = {agency.code: self._running[agency.code] for agency in self._agencies}
        memory = {code: service.resident_mib() for code, service in services.items()}
        self.totals["memory_peak_mib"] = memory

        def verify(agency: Agency) -> Json:
            services[agency.code].stop()
            return agency.program.call("journal", "verify")

        for agency, found in self._both(verify):
            step.prove(f"{agency.code}: {found['seals']} seals, every one in its place")

    def _both(self, act: Callable[[Agency], T]) -> list[tuple[Agency, T]]:
        """Does something at both agencies at the same time."""
        with ThreadPoolExecutor(len(self._agencies)) as threads:
            return list(zip(self._agencies, threads.map(act, self._agencies), strict=True))

    def poll(
        self, what: str, ask: Callable[[], T | None], *, every_s: float, timeout_s: float
    ) -> T:
        """As ``poll``, and ends when a program that should run has ended."""

        def ask_who_runs() -> T | None:
            for service in list(self._running.values()):
                service.check()
            return ask()

        return poll(what, ask_who_runs, every_s=every_s, timeout_s=timeout_s)

    def _start(self, program: Program) -> Service:
        service = self._running[program.data.name] = program.serve()
        return service

    def _enough_on_disk(self) -> int | None:
        """Bytes of unfinished parts that the recipient has written, once they are enough."""
        staging = self._recipient.program.data / "blobs" / "staging"
        written = 0
        for path in staging.glob("*"):
            with suppress(FileNotFoundError):  # a small part was finished meanwhile
                written += path.stat().st_size
        return written if written >= self._attachment_bytes * KILL_AT else None

    def _broken(self, log_start: int) -> int | None:
        """Bytes of the attachment that its first transfer had sent, once it has ended."""
        events = transfers(self._sender.program.log, log_start)
        large = {e["part"] for e in events if e.get("size") == self._attachment_bytes}
        ended = [e for e in events if e["event"] == "transfer.ended" and e["part"] in large]
        return ended[0]["sent"] if ended else None

    def _waiting(self) -> Json | None:
        delivery = self._delivery(self._document)
        return delivery if delivery["next_attempt_at"] and delivery["reason"] else None

    def _await_delivery(self, document: str) -> None:
        self.poll(
            "the document is not delivered",
            lambda: True if self._delivery(document)["state"] == "delivered" else None,
            every_s=0.2,
            timeout_s=DELIVERY_TIMEOUT_S,
        )

    def _delivery(self, document: str) -> Json:
        found = self._sender.program.call("outbox")
        sent = next(item for item in found["documents"] if item["document_id"] == document)
        delivery: Json = sent["deliveries"][0]
        return delivery


def _ping(one: Agency, other: Agency) -> Json | None:
    code, answer = one.program.attempt("ping", other.code)
    return None if code else answer


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
