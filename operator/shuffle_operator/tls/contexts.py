"""One port for the coordinators of all jobs: a caller says which it wants (SNI), and gets that job's certificate.

Certificates are made when they are first asked for, which takes a millisecond. They are made for any uid, whether there
is such a job or not: so a handshake tells nobody which jobs there are. The latest are kept.
"""

from __future__ import annotations

import os
import ssl
from collections import OrderedDict
from collections.abc import Callable

from shuffle_protocol.tls import coordinator_name, server_side

KEPT = 256
"""Jobs whose context is kept."""

Issue = Callable[[str], tuple[bytes, bytes]]
"""A job's uid -> certificate and key, both PEM. Raises ValueError where it can be no uid."""


class JobContext(ssl.SSLContext):
    """The TLS context of one connection."""

    job: str = ""
    """The uid of the job whose certificate was shown."""


class JobContexts:
    """`listening` is the context for the port."""

    def __init__(self, issue: Issue) -> None:
        self.listening = server_side(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.listening.sni_callback = self._choose
        self._issue = issue
        self._known: OrderedDict[str, JobContext] = OrderedDict()

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        """None goes on with the handshake."""
        labels = (name or "").split(".")
        if len(labels) < 2 or name != coordinator_name(labels[1]):
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        try:
            connection.context = self._context(labels[1])
        except ValueError:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def _context(self, uid: str) -> JobContext:
        context = self._known.get(uid)
        if context is None:
            context = self._known[uid] = _with(server_side(JobContext(ssl.PROTOCOL_TLS_SERVER)), *self._issue(uid))
            context.job = uid
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(uid)
        return context


def _with(context: JobContext, certificate: bytes, key: bytes) -> JobContext:
    """By way of a file that no file system has: the key never comes to lie on a disk."""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, certificate + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
