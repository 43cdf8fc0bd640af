"""What the operator is given when it starts: environment variables, as the chart sets them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    host: str = ""
    """The address to listen on; "": every one, of IPv4 and of IPv6."""
    port: int = 8080
    """The port of the API, of health and of metrics."""
    tls_address: str = ""
    """Where workers reach this operator with TLS, at `tls_port`; "": without TLS."""
    tls_port: int = 8443
    seed_secret: str = "shuffle-operator-seed"  # noqa: S105 - a name
    """The Secret, in `pod_namespace`, that all certificates come from (tls/seed.py)."""
    default_scratch: int = 50 << 30
    allow_unsafe_pods: bool = False
    network_policies: bool = False
    """Make a NetworkPolicy for each job's workers (launchers/isolation.py)."""
    max_running_jobs: int = 0
    """Jobs that run at once, the oldest first; 0: any number."""
    orphaned: int = 86_400
    """Seconds without an operator after which workers end."""
    instance: str = ""
    pod: str = ""
    pod_namespace: str = ""
    restrictions: Restrictions = UNRESTRICTED
    """SHUFFLE_ALLOWED_PROTOCOLS and SHUFFLE_ALLOW_FUNCTIONS."""
    log_level: str = "INFO"
    worker_log_level: str = "INFO"


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
