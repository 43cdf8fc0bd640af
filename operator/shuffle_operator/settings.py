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
    """Each field's variable is SHUFFLE_ and its name in capitals.

    namespaces: those that are served, separated by commas; none: all of the cluster. worker_image: of jobs that name
    none. address: where workers reach this operator. port: of the API, health and metrics alike. tls_address: where
    they reach it with TLS, at tls_port; "": without TLS. seed_secret: the Secret, in pod_namespace, that all
    certificates come from (tls/seed.py). network_policies: each job's workers get one (launchers/isolation.py).
    max_running_jobs: that are carried out at once, the oldest first; 0: any number. orphaned: seconds without an
    operator after which workers end. host: where it listens; "": at every address, of IPv4 and of IPv6.
    restrictions: SHUFFLE_ALLOWED_PROTOCOLS and SHUFFLE_ALLOW_FUNCTIONS."""

    worker_image: str
    address: str
    namespaces: list[str] = field(default_factory=list)
    worker_image_pull_policy: str = ""
    host: str = ""
    port: int = 8080
    tls_address: str = ""
    tls_port: int = 8443
    seed_secret: str = "shuffle-operator-seed"  # noqa: S105 - a name
    default_scratch: int = 50 << 30
    allow_unsafe_pods: bool = False
    network_policies: bool = False
    max_running_jobs: int = 0
    orphaned: int = 86_400
    instance: str = ""
    pod: str = ""
    pod_namespace: str = ""
    restrictions: Restrictions = UNRESTRICTED
    log_level: str = "INFO"
    worker_log_level: str = "INFO"


def from_environment(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Raises InvalidSpec naming the variable that is missing or wrong."""

    def text(name: str, default: str | None = None) -> str:
        value = environment.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise InvalidSpec(f"{name}: is not set; the chart sets it for the operator")
        return default

    def number(name: str, default: str, advice: str) -> int:
        found = text(name, default)
        if not found.isdigit() or len(found) > 9:
            raise InvalidSpec(f"{name}: {found!r} is no whole number; {advice}")
        return int(found)

    def port(name: str, default: str) -> int:
        found = text(name, default)
        if not found.isdigit() or not 0 <= int(found) < 1 << 16:
            raise InvalidSpec(f"{name}: {found!r} is no port")
        return int(found)

    address = text("SHUFFLE_ADDRESS").rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise InvalidSpec(f"SHUFFLE_ADDRESS: {address!r} is no address; write it as http://service.namespace.svc:8080")
    secure = text("SHUFFLE_TLS_ADDRESS", "").rstrip("/")
    if secure and not secure.startswith("https://"):
        raise InvalidSpec(f"SHUFFLE_TLS_ADDRESS: {secure!r}; write it as https://service.namespace.svc:8443")
    if secure and not environment.get("POD_NAMESPACE"):
        raise InvalidSpec("POD_NAMESPACE: is not set; with TLS the operator keeps a Secret in its own namespace")
    try:
        scratch = parse_bytes(text("SHUFFLE_DEFAULT_SCRATCH", "50Gi"), 64 << 20)
    except BadQuantity as error:
        raise InvalidSpec(f"SHUFFLE_DEFAULT_SCRATCH: {error}") from None
    protocols = {name.strip().lower() for name in text("SHUFFLE_ALLOWED_PROTOCOLS", ANY).split(",") if name.strip()}
    for name in protocols:
        if name != ANY and not _PROTOCOL.fullmatch(name):
            raise InvalidSpec(f"SHUFFLE_ALLOWED_PROTOCOLS: {name!r} is no protocol; write s3,gs,https or {ANY}")
    functions = text("SHUFFLE_ALLOW_FUNCTIONS", "true").lower() in ("1", "true", "yes")
    return OperatorSettings(
        worker_image=text("SHUFFLE_WORKER_IMAGE"),
        address=address,
        namespaces=[name.strip() for name in text("SHUFFLE_NAMESPACES", "").split(",") if name.strip()],
        worker_image_pull_policy=text("SHUFFLE_WORKER_IMAGE_PULL_POLICY", ""),
        host=environment.get("SHUFFLE_HOST", ""),
        port=port("SHUFFLE_PORT", "8080"),
        tls_address=secure,
        tls_port=port("SHUFFLE_TLS_PORT", "8443"),
        seed_secret=text("SHUFFLE_SEED_SECRET", "shuffle-operator-seed"),
        default_scratch=scratch,
        allow_unsafe_pods=text("SHUFFLE_ALLOW_UNSAFE_PODS", "false").lower() in ("1", "true", "yes"),
        network_policies=text("SHUFFLE_NETWORK_POLICIES", "false").lower() in ("1", "true", "yes"),
        max_running_jobs=number("SHUFFLE_MAX_RUNNING_JOBS", "0", "write 0 for no limit"),
        orphaned=max(60, number("SHUFFLE_ORPHANED", "86400", "write the seconds, 86400 for a day")),
        instance=text("SHUFFLE_INSTANCE", ""),
        pod=text("POD_NAME", ""),
        pod_namespace=text("POD_NAMESPACE", ""),
        restrictions=Restrictions(None if ANY in protocols else frozenset(protocols), functions),
        log_level=text("SHUFFLE_LOG_LEVEL", "INFO").upper(),
        worker_log_level=text("SHUFFLE_WORKER_LOG_LEVEL", "INFO").upper(),
    )
