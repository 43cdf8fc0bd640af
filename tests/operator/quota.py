"""A ResourceQuota of pods, as the API server's admission has it."""

from __future__ import annotations

from shuffle_operator.kube.api import PODS, KubeError, Object, Resource
from shuffle_operator.launchers.pod_state import is_over
from tests.operator.fake_kube import FakeKube


class Quota(FakeKube):
    """pods: that may be there at once. asked: (seconds, pod) of each that was asked for; made: in their order."""

    def __init__(self, pods: int) -> None:
        super().__init__()
        self.pods = pods
        self.refused = 0
        self.made: list[str] = []

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        if resource == PODS:
            used = sum(1 for key, pod in self.objects.items() if key[0] == PODS and not is_over(pod))
            name = body["metadata"]["name"]
            if used >= self.pods:
                self.refused += 1
                said = f'pods "{name}" is forbidden: exceeded quota: few, requested: pods=1, used: pods={used}, '
                raise KubeError(403, "Forbidden", said + f"limited: pods={self.pods}")
            self.made.append(name)
        return await super().create(resource, namespace, body)
