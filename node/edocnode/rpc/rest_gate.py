"""Which calls a node answers that does not run, on its own socket; all others are refused."""

from __future__ import annotations  # gRPC types are generic for the type checker only

from typing import TYPE_CHECKING

import grpc

from edocnode.rpc.office_gate import refusing

if TYPE_CHECKING:
    from collections.abc import Collection

    from edoccore.errors import EdocError
    from edocnode.rpc.office_gate import Continuation, Handler

READING = frozenset(
    {
        "OfficeService/ListInbox",
        "OfficeService/ListOutbox",
        "OfficeService/ListDeliveries",
        "OfficeService/GetDocument",
        "OfficeService/GetPart",
        "OfficeService/GetRegister",
        "OfficeService/GetStatistics",
        "OfficeService/ListNumbers",
        "OfficeService/ListLate",
        "AdminService/GetStatus",
        "AlarmService/ListAlarms",
        "AdminService/VerifyJournal",
        "AdminService/ExportEvidence",
        "AccessService/ListAccounts",
        "AccessService/ListHistory",
        "AccessService/ListHolds",
        "QuarantineService/ListQuarantine",
        "SubagencyService/ListSubagencies",
    }
)
IMPORTING = frozenset({"AdminService/ImportDirectory"})


class RestGate(grpc.aio.ServerInterceptor):
    """Lets some calls through and refuses all others."""

    def __init__(self, allowed: Collection[str], refusal: EdocError) -> None:
        """Takes which: the last two parts of their names, as ``OfficeService/ListInbox``."""
        self._allowed = allowed
        self.refusal = refusal

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Answers a call, or refuses it."""
        handler = await continuation(handler_call_details)
        call = handler_call_details.method.rpartition(".")[2]
        if handler is None or call in self._allowed:
            return handler
        return refusing(self.refusal)
