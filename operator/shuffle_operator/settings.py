"""What the operator is given when it starts: environment variables, as the chart sets them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shuffle_operator.api.quantities import BadQuantity, parse_bytes
from shuffle_operator.api.restrictions import ANY, UNRESTRICTED, Restrictions
from shuffle_protocol.errors import InvalidSpec

_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """The operator's settings. Each field's variable is SHUFFLE_ and its name in capitals."""

    worker_image: str
    """The image of jobs that name none."""
    address: str
    """Where workers reach this operator."""
    namespaces: list[str] = field(default_factory=list)
    """The namespaces that are served; none: all of the cluster. Separated by commas."""
    worker_image_pull_policy: str = ""
    """Of that image; "": Kubernetes' own."""
    host: str = ""
    """The address to listen on; "": every one, of IPv4 and of IPv6."""
    port: int = 8080
    """Of `/healthz`, `/readyz` and `/metrics`, and of the API without TLS."""
    tls_address: str = ""
    """Where workers reach this operator with TLS, at `SHUFFLE_TLS_PORT`; "": without TLS. Needs POD_NAMESPACE."""
    tls_port: int = 8443
    """Of the API with TLS."""
    seed_secret: str = "shuffle-operator-seed"  # noqa: S105 - a name
    """The Secret that all certificates come from, in the operator's namespace; made if need be (tls/seed.py)."""
    default_scratch: int = 50 << 30
    """Bytes of scratch, where a job gives no `sizeLimit`; the variable is a quantity, such as 50Gi."""
    allow_unsafe_pods: bool = False
    """`podTemplate` may use host paths, host namespaces and privileges."""
    network_policies: bool = False
    """Make a NetworkPolicy for each job's workers, and start none without (launchers/isolation.py)."""
    max_running_jobs: int = 0
    """Jobs that run at once, the oldest first; 0: any number."""
    dashboard_port: int = 0
    """The port of the jobs' pages; 0: there are none."""
    dashboard_token_file: str = ""
    """The file with the token of these pages; when it changes, so does the token."""
    orphaned: int = 86_400
    """Seconds without any operator after which workers end by themselves, 60 at least."""
    instance: str = ""
    """The release's name, a label of workers' pods."""
    pod: str = ""
    """The operator's own pod, from POD_NAME."""
    pod_namespace: str = ""
    """The operator's own namespace, from POD_NAMESPACE."""
    restrictions: Restrictions = UNRESTRICTED
    """What jobs may not do: SHUFFLE_ALLOWED_PROTOCOLS are those of the stores that they may use, with commas (`*`: all;
    the chart allows object stores and https), and SHUFFLE_ALLOW_FUNCTIONS is false where they bring no functions."""
    log_level: str = "INFO"
    """Of the operator."""
    worker_log_level: str = "INFO"
    """Of the workers that it starts."""


def from_environment(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Raises InvalidSpec naming the variable that is missing or wrong."""
    given = _Environment(environment)
    address = given.text("SHUFFLE_ADDRESS").rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise InvalidSpec(f"SHUFFLE_ADDRESS: {address!r} is no address; write it as http://service.namespace.svc:8080")
    return OperatorSettings(
        worker_image=given.text("SHUFFLE_WORKER_IMAGE"),
        address=address,
        namespaces=given.names("SHUFFLE_NAMESPACES"),
        worker_image_pull_policy=given.text("SHUFFLE_WORKER_IMAGE_PULL_POLICY", ""),
        host=environment.get("SHUFFLE_HOST", ""),
        port=given.port("SHUFFLE_PORT", "8080"),
        tls_address=_tls_address(given),
        tls_port=given.port("SHUFFLE_TLS_PORT", "8443"),
        seed_secret=given.text("SHUFFLE_SEED_SECRET", "shuffle-operator-seed"),
        default_scratch=_scratch(given),
        allow_unsafe_pods=given.truth("SHUFFLE_ALLOW_UNSAFE_PODS", "false"),
        network_policies=given.truth("SHUFFLE_NETWORK_POLICIES", "false"),
        max_running_jobs=given.number("SHUFFLE_MAX_RUNNING_JOBS", "0", "write 0 for no limit"),
        dashboard_port=given.port("SHUFFLE_DASHBOARD_PORT", "0"),
        dashboard_token_file=given.text("SHUFFLE_DASHBOARD_TOKEN_FILE", ""),
        orphaned=max(60, given.number("SHUFFLE_ORPHANED", "86400", "write the seconds, 86400 for a day")),
        instance=given.text("SHUFFLE_INSTANCE", ""),
        pod=given.text("POD_NAME", ""),
        pod_namespace=given.text("POD_NAMESPACE", ""),
        restrictions=_restrictions(given),
        log_level=given.text("SHUFFLE_LOG_LEVEL", "INFO").upper(),
        worker_log_level=given.text("SHUFFLE_WORKER_LOG_LEVEL", "INFO").upper(),
    )


class _Environment:
    """Variables by what they hold. Each method raises InvalidSpec where a variable holds something else."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str | None = None) -> str:
        value = self._variables.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise InvalidSpec(f"{name}: is not set; the chart sets it for the operator")
        return default

    def names(self, name: str, default: str = "") -> list[str]:
        """Separated by commas."""
        return [part.strip() for part in self.text(name, default).split(",") if part.strip()]

    def truth(self, name: str, default: str) -> bool:
        return self.text(name, default).lower() in ("1", "true", "yes")

    def number(self, name: str, default: str, advice: str) -> int:
        found = self.text(name, default)
        if not found.isdigit() or len(found) > 9:
            raise InvalidSpec(f"{name}: {found!r} is no whole number; {advice}")
        return int(found)

    def port(self, name: str, default: str) -> int:
        found = self.text(name, default)
        if not found.isdigit() or not 0 <= int(found) < 1 << 16:
            raise InvalidSpec(f"{name}: {found!r} is no port")
        return int(found)


def _tls_address(given: _Environment) -> str:
    secure = given.text("SHUFFLE_TLS_ADDRESS", "").rstrip("/")
    if secure and not secure.startswith("https://"):
        raise InvalidSpec(f"SHUFFLE_TLS_ADDRESS: {secure!r}; write it as https://service.namespace.svc:8443")
    if secure and not given.text("POD_NAMESPACE", ""):
        raise InvalidSpec("POD_NAMESPACE: is not set; with TLS the operator keeps a Secret in its own namespace")
    return secure


def _scratch(given: _Environment) -> int:
    try:
        return parse_bytes(given.text("SHUFFLE_DEFAULT_SCRATCH", "50Gi"), 64 << 20)
    except BadQuantity as error:
        raise InvalidSpec(f"SHUFFLE_DEFAULT_SCRATCH: {error}") from None


def _restrictions(given: _Environment) -> Restrictions:
    protocols = {name.lower() for name in given.names("SHUFFLE_ALLOWED_PROTOCOLS", ANY)}
    for name in protocols:
        if name != ANY and not _PROTOCOL.fullmatch(name):
            raise InvalidSpec(f"SHUFFLE_ALLOWED_PROTOCOLS: {name!r} is no protocol; write s3,gs,https or {ANY}")
    functions = given.truth("SHUFFLE_ALLOW_FUNCTIONS", "true")
    return Restrictions(None if ANY in protocols else frozenset(protocols), functions)


LEAST_TOKEN = 16
"""Characters of the pages' token at the least."""


def dashboard_token(file: str) -> str:
    """The token in a file, which is a Secret's. Raises InvalidSpec where there is none, or a short one."""
    if not file:
        raise InvalidSpec("SHUFFLE_DASHBOARD_TOKEN_FILE: is not set; the jobs' pages are served behind a token alone")
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"SHUFFLE_DASHBOARD_TOKEN_FILE: {file} cannot be read: {error}") from None
    if len(token) < LEAST_TOKEN:
        raise InvalidSpec(
            f"SHUFFLE_DASHBOARD_TOKEN_FILE: the token in {file} has {len(token)} characters; it needs {LEAST_TOKEN}, "
            "as `openssl rand -hex 32` makes it"
        )
    return token
