"""An S3 client's settings from a job's storage settings: the options, and the defaults that matter. Pure."""

from __future__ import annotations

import difflib
import re
from typing import Any

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import StorageOptions

CONNECT_TIMEOUT = 4.0
READ_TIMEOUT = 20.0
CONNECTIONS = 64

_OPTIONS: dict[str, str] = {
    "anon": "true: no credentials",
    "key": "access key id; better in the environment, as AWS_ACCESS_KEY_ID",
    "secret": "secret access key; better in the environment, as AWS_SECRET_ACCESS_KEY",
    "token": "session token",
    "profile": "profile of the AWS configuration",
    "region": "region of the bucket",
    "addressing_style": "path or virtual",
    "requester_pays": "true: pay for the requests",
    "verify": "false: do not check the server's certificate",
    "connect_timeout": "seconds",
    "read_timeout": "seconds",
}


def client_options(settings: StorageOptions) -> dict[str, Any]:
    """Arguments of s3fs.S3FileSystem. Raises InvalidSpec for an unknown option or an endpoint that is no address."""
    given = dict(settings.options)
    for name in given:
        if name not in _OPTIONS:
            near = difflib.get_close_matches(name, list(_OPTIONS), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_OPTIONS)}"
            raise InvalidSpec(f"storage.options.{name}: is no option of s3; {hint}")
    config: dict[str, Any] = {
        "connect_timeout": given.pop("connect_timeout", CONNECT_TIMEOUT),
        "read_timeout": given.pop("read_timeout", READ_TIMEOUT),
        "max_pool_connections": CONNECTIONS,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    client: dict[str, Any] = {}
    if "region" in given:
        client["region_name"] = given.pop("region")
    if "verify" in given:
        client["verify"] = given.pop("verify")
    if "addressing_style" in given:
        config["s3"] = {"addressing_style": given.pop("addressing_style")}
    options: dict[str, Any] = {**given, "config_kwargs": config, "client_kwargs": client}
    if settings.endpoint:
        if not re.match(r"^https?://[^/\s]+", settings.endpoint):
            raise InvalidSpec(
                f"storage.endpoint: {settings.endpoint} is no address; write it as https://host or http://host:9000"
            )
        options["endpoint_url"] = settings.endpoint
    return options
