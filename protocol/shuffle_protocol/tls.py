"""TLS between the processes of one job: names in certificates, and the contexts of both sides. TLS 1.3, or nothing.

A job has a certificate authority of its own, made by the operator, and two names below it: its workers', because they
are called by addresses that nobody knows beforehand, and its coordinator's. Certificates say who answers; who calls is
known by the job's token, which is sent inside. There is no way back to plain text: with a folder of certificates
everything is encrypted, without one nothing is.

    ca.crt     the job's authority, all that is trusted       tls.crt, tls.key     what this job's workers answer with
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TypeVar

from shuffle_protocol.errors import InvalidSpec

Context = TypeVar("Context", bound=ssl.SSLContext)

AUTHORITY, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
"""Names of files, and of the keys in the job's Secret."""

DOMAIN = "shuffle-operator.internal"
"""The suffix of names that no DNS knows."""


def worker_name(job: str) -> str:
    """What the certificate of a job's workers says. job: its uid."""
    return f"worker.{job}.{DOMAIN}"


def coordinator_name(job: str) -> str:
    return f"coordinator.{job}.{DOMAIN}"


def server_side(context: Context) -> Context:
    """A context for the side that answers; still without a certificate. Nothing is resumed, so there are no tickets."""
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    return context


class Tls:
    """A worker's side of it. folder: where the three files are. Raises InvalidSpec where they are not what they should
    be, naming the file."""

    def __init__(self, folder: str | Path, job: str) -> None:
        self.worker = worker_name(job)
        self.coordinator = coordinator_name(job)
        self._folder = Path(folder)
        self.client = self._client()
        """Trusts the job's authority and nobody else."""
        self.server = self._server()

    def _client(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        try:
            context.load_verify_locations(self._folder / AUTHORITY)
        except OSError as error:  # which an SSLError is, too
            raise self._unusable(AUTHORITY, error) from None
        return context

    def _server(self) -> ssl.SSLContext:
        context = server_side(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        try:
            context.load_cert_chain(self._folder / CERTIFICATE, self._folder / KEY)
        except OSError as error:
            raise self._unusable(f"{CERTIFICATE} with {KEY}", error) from None
        return context

    def _unusable(self, what: str, error: OSError) -> InvalidSpec:
        said = error.strerror or str(error)
        return InvalidSpec(f"SHUFFLE_TLS: {what} in {self._folder} cannot be used: {said}; the operator makes them")
