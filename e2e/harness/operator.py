"""The operator as helm installs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from e2e.harness.cluster import PROJECT, Cluster
from e2e.harness.guide import values as image_values
from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.waiting import until

CHART = PROJECT / "charts" / "shuffle-operator"
NAMESPACE = "shuffle-system"
RELEASE = "shuffle-operator"
SELECTOR = "app.kubernetes.io/name=shuffle-operator,app.kubernetes.io/component=operator"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"


@dataclass(frozen=True)
class Operator:
    cluster: Cluster

    @property
    def kubectl(self) -> Kubectl:
        return self.cluster.kubectl.within(NAMESPACE)

    @property
    def isolates(self) -> bool:
        """Jobs get network policies. Not in a given cluster: one that enforces them may keep the tests themselves out,
        who ask through the API server."""
        return self.cluster.local

    def install(self, **values: str) -> None:
        """Installs or upgrades, and waits until it is ready. The definition is applied as the chart's notes say."""
        given = {**image_values(self.cluster.image), "scope": "Cluster"}
        given["networkPolicy.enabled"] = str(self.isolates).lower()
        settings = [f"--set={key}={value}" for key, value in {**given, **values}.items()]
        # The tag stays when the image changes: without this the pod would, too.
        images = sorted(str(archive.stat().st_mtime_ns) for archive in self.cluster.state.glob("*.tar"))
        settings.append(f"--set-string=podAnnotations.image={'.'.join(images)}")
        where = ["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout=180s"]
        self.cluster.helm("upgrade", "--install", RELEASE, str(CHART), *where, *settings)
        self.apply_definition(CHART / "crds" / "shufflejobs.yaml")

    def apply_definition(self, file: Path) -> None:
        """As docs/kubernetes.md says: before 1.23 a server-side apply refuses the CEL rules."""
        version = json.loads(self.kubectl("get", "--raw", "/version"))
        if int(version["minor"].rstrip("+")) >= 23:
            self.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={file}")
        else:
            self.kubectl("replace", "--validate=false", f"--filename={file}")
        self.kubectl("wait", "--for=condition=Established", "crd/shufflejobs.shuffle-operator.dev", "--timeout=30s")

    def pods(self) -> list[Object]:
        return self.kubectl.list("pods", SELECTOR)

    def pod(self) -> Object:
        """The one that is ready."""

        def ready() -> Object | None:
            for pod in self.pods():
                conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions") or ()}
                if conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
                    return pod
            return None

        return until("the operator is ready", ready, seconds=120, said=lambda: self.logs(lines=40))

    def logs(self, lines: int = 1000) -> str:
        return self.kubectl("logs", f"deployment/{RELEASE}", f"--tail={lines}", check=False)

    def metrics(self) -> dict[str, float]:
        """What /metrics says, by name with labels."""
        path = f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}:http/proxy/metrics"
        lines = self.kubectl("get", "--raw", path).splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def requests(self, namespace: str) -> list[str]:
        """What it asked of the API server about a namespace, as 'verb resource', from the audit log."""
        found = []
        for line in (self.cluster.state / "log" / "audit.log").read_text().splitlines():
            entry = json.loads(line)
            about = entry.get("objectRef") or {}
            if entry["user"]["username"] == ACCOUNT and about.get("namespace") == namespace:
                found.append(
                    "/".join(filter(None, (about["resource"], about.get("subresource")))) + f" {entry['verb']}"
                )
        return found
