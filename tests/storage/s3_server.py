"""A real S3 server over HTTP on a loopback port, and one in front of it that fails as it is told to."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from shuffle_worker.storage import s3

BUCKET = "test-bucket"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CA_BUNDLE": str(Path(__file__).with_name("nobody.pem")),
}
"""The bundle has one authority, which signed nothing: a client reads a bundle also where it does not speak TLS, and to
read that of all public authorities is half of what it costs."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Yields its address. The bucket is there, and nothing in it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("POST", "/moto-api/reset")  # what it holds belongs to the process, not to the server
        assert connection.getresponse().read() is not None
        connection.request("PUT", f"/{BUCKET}", headers={"Host": f"{host}:{port}"})
        assert connection.getresponse().status == 200
        yield f"http://{host}:{port}"
    finally:
        connection.close()
        server.stop()


@contextmanager
def open_s3() -> Iterator[str]:
    """The same, with the credentials in the environment. A busy machine is no store that does not answer."""
    with s3_server() as address, pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        environment.setattr(s3, "FIRST_ANSWER", 60.0)
        yield address


Answer = Callable[[str, str], tuple[int, bytes] | None]
"""(method, path) -> a status and body instead of the server's own; None passes the request on."""


@contextmanager
def failing(address: str, answer: Answer) -> Iterator[str]:
    """A server that passes requests on to `address`; `answer` may answer some itself (status 0: hangs up)."""
    target = address.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            own = answer(self.command, self.path)
            if own is not None:
                if own[0] == 0:
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
                self.reply(own[0], {}, own[1])
                return
            onward = http.client.HTTPConnection(target, timeout=10)
            try:
                onward.request(self.command, self.path, body, dict(self.headers))
                got = onward.getresponse()
                self.reply(got.status, dict(got.getheaders()), got.read())
            finally:
                onward.close()

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding", "server", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, *args: object) -> None:  # type: ignore[override]
            """Nothing: tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def s3_error(code: str, message: str = "said by the test") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
