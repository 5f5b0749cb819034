"""Answers nodes that enrol or tell where they are reached."""

from typing import Protocol

import grpc

from edoccore.errors import RequestInvalidError
from edoccore.identity.request import SealRequest
from edoccore.signing.seal import SealedStatement
from edoccore.wire.sealed import sealed_from_message
from edockit.grpc_threads import caller_of
from edocnet.enrolment.v1 import enrolment_service_pb2 as messages
from edocnet.enrolment.v1 import enrolment_service_pb2_grpc as services
from edocregistry.domain.enrolment import Enrolled, Renewed

TOKEN_BYTES = 16
MAX_CODE_CHARACTERS = 35


class Enrolments(Protocol):
    """What the registry does for a node; see ``edocregistry.app.registry``."""

    def enrol(
        self, caller: str, *, token: bytes, request: SealRequest, agency_code: str
    ) -> Enrolled:
        """Issues the certificate that a token stands for."""

    def publish_endpoint(self, caller: str, sealed: SealedStatement) -> int:
        """Publishes an endpoint statement; returns the version of the directory."""

    def publish_subagencies(self, caller: str, sealed: SealedStatement) -> int:
        """Publishes a list of sub-agencies; returns the version of the directory."""

    def renew_seal(self, caller: str, sealed: SealedStatement) -> Renewed:
        """Issues the next seal certificate of an agency."""

    def end_own_keys(self, caller: str, sealed: SealedStatement) -> int:
        """Revokes keys on their agency's word; returns the version of the directory."""


class EnrolmentServicer(services.EnrolmentServiceServicer):
    """``edocnet.enrolment.v1.EnrolmentService`` over the registry."""

    def __init__(self, registry: Enrolments, network: str) -> None:
        self._registry = registry
        self._network = network

    def Enrol(
        self, request: messages.EnrolRequest, context: grpc.ServicerContext
    ) -> messages.EnrolResponse:
        """Issues the certificate of an agency's seal key."""
        if len(request.token) != TOKEN_BYTES or len(request.agency_code) > MAX_CODE_CHARACTERS:
            raise RequestInvalidError(
                f"A token has {TOKEN_BYTES} bytes, an agency code at most {MAX_CODE_CHARACTERS} "
                "characters.",
                hint="Use the join string as the registry's officer gave it.",
            )
        enrolled = self._registry.enrol(
            caller_of(context.peer()),
            token=request.token,
            request=SealRequest(request.seal_request, request.second_request),
            agency_code=request.agency_code,
        )
        return messages.EnrolResponse(
            agency_code=enrolled.certificate.agency,
            network=self._network,
            certificate=enrolled.certificate.certificate,
            chain=enrolled.chain,
            directory_version=enrolled.version,
        )

    def PublishEndpoint(
        self, request: messages.PublishEndpointRequest, context: grpc.ServicerContext
    ) -> messages.PublishEndpointResponse:
        """Publishes where an agency's node is reached."""
        sealed = sealed_from_message(request.endpoint)
        version = self._registry.publish_endpoint(caller_of(context.peer()), sealed)
        return messages.PublishEndpointResponse(directory_version=version)

    def PublishSubagencies(
        self, request: messages.PublishSubagenciesRequest, context: grpc.ServicerContext
    ) -> messages.PublishSubagenciesResponse:
        """Publishes which sub-agencies an agency lists."""
        sealed = sealed_from_message(request.subagencies)
        version = self._registry.publish_subagencies(caller_of(context.peer()), sealed)
        return messages.PublishSubagenciesResponse(directory_version=version)

    def RenewSeal(
        self, request: messages.RenewSealRequest, context: grpc.ServicerContext
    ) -> messages.RenewSealResponse:
        """Issues the certificate of an agency's next seal key."""
        sealed = sealed_from_message(request.renewal)
        renewed = self._registry.renew_seal(caller_of(context.peer()), sealed)
        return messages.RenewSealResponse(
            certificate=renewed.enrolled.certificate.certificate,
            chain=renewed.enrolled.chain,
            directory_version=renewed.enrolled.version,
            waits_for_officers=renewed.waits,
        )

    def RevokeKeys(
        self, request: messages.RevokeKeysRequest, context: grpc.ServicerContext
    ) -> messages.RevokeKeysResponse:
        """Ends keys of an agency on its own word."""
        sealed = sealed_from_message(request.end)
        version = self._registry.end_own_keys(caller_of(context.peer()), sealed)
        return messages.RevokeKeysResponse(directory_version=version)
