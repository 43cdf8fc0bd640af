"""The worker's pod: closed by default, what the job adds, what podTemplate may and may not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.validation import check_job
from shuffle_operator.handlers.active import message_of
from shuffle_operator.launchers.isolation import network_policy
from shuffle_operator.launchers.overlay import merge
from shuffle_operator.launchers.pod import PodSettings, Trust, credential_problems, is_owned, pod_name, worker_pod
from shuffle_operator.launchers.resources import cut_of
from tests.operator.stage import sort_job

SETTINGS = PodSettings(image="worker:1", coordinator="http://operator:8080", scratch=10 << 30)
UNSAFE = dataclasses.replace(SETTINGS, unsafe=True)
GIB = 1 << 30


def pod(settings: PodSettings = SETTINGS, memory: int = 4 * GIB, **workers: Any) -> dict[str, Any]:
    body = sort_job(Path("/in"), Path("/out"), workers={"replicas": 2, **workers})
    return worker_pod(check_job(body), "uid-1", 1, 3, memory, Trust("ab" * 32), settings)


def container(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["spec"]["containers"][0]
    return found


def env(made: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(made)["env"]}


def test_names_labels_and_owner_say_whose_it_is() -> None:
    made = pod()
    assert made["metadata"]["name"] == "sorted-w-1-3" == pod_name("sorted", 1, 3)
    assert made["metadata"]["labels"]["shuffle-operator.dev/job-uid"] == "uid-1"
    assert is_owned(made, "uid-1")
    assert not is_owned(made, "uid-2")


def test_it_meets_the_restricted_pod_security_standard() -> None:
    made = pod()
    spec, context = made["spec"], made["spec"]["securityContext"]
    assert context["runAsNonRoot"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container(made)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {next(k for k in v if k != "name") for v in spec["volumes"]} <= {"emptyDir", "secret", "ephemeral"}


def test_the_token_is_a_file_and_no_variable() -> None:
    made = pod()
    assert env(made)["SHUFFLE_TOKEN_FILE"] == "/var/run/shuffle/token"
    assert not any("token" in name.lower() and name != "SHUFFLE_TOKEN_FILE" for name in env(made))
    volume = next(v for v in made["spec"]["volumes"] if v["name"] == "token")
    assert volume["secret"]["secretName"] == "sorted-token-uid-1"


def test_memory_is_limited_even_where_the_job_says_nothing() -> None:
    made = pod()
    assert container(made)["resources"]["limits"]["memory"] == "4Gi"
    assert container(made)["resources"]["requests"]["memory"] == "4Gi"
    assert env(made)["SHUFFLE_MEMORY"] == str(4 * GIB)


def test_scratch_of_a_stated_size_is_asked_for_and_limited() -> None:
    made = pod(scratch={"sizeLimit": "20Gi"})
    volume = next(v for v in made["spec"]["volumes"] if v["name"] == "scratch")
    assert volume["emptyDir"] == {"sizeLimit": "20Gi"}
    resources = container(made)["resources"]
    assert resources["requests"]["ephemeral-storage"] == resources["limits"]["ephemeral-storage"] == "21Gi"
    assert env(made)["SHUFFLE_SCRATCH_LIMIT"] == str(20 * GIB)


def test_scratch_that_nobody_stated_is_limited_and_little_is_asked_for() -> None:
    resources = container(pod())["resources"]
    assert resources["limits"]["ephemeral-storage"] == "11Gi"
    assert resources["requests"]["ephemeral-storage"] == "1Gi"


def test_scratch_of_a_storage_class_is_a_volume_of_its_own() -> None:
    made = pod(scratch={"sizeLimit": "20Gi", "storageClassName": "local-nvme"})
    claim = next(v for v in made["spec"]["volumes"] if v["name"] == "scratch")["ephemeral"]["volumeClaimTemplate"][
        "spec"
    ]
    assert claim["storageClassName"] == "local-nvme"
    assert claim["resources"]["requests"]["storage"] == "20Gi"
    assert container(made)["resources"]["limits"]["ephemeral-storage"] == "1Gi"


def test_scratch_in_memory_is_taken_from_the_workers_budget() -> None:
    made = pod(scratch={"sizeLimit": "1Gi", "medium": "Memory"})
    assert env(made)["SHUFFLE_MEMORY"] == str(3 * GIB)


@pytest.mark.parametrize(
    ("cpu", "memory", "slots"), [("4", 4 * GIB, "4"), ("500m", 4 * GIB, "1"), ("8", GIB, "4"), ("64", 64 * GIB, "16")]
)
def test_leases_at_once_go_by_processors_and_memory(cpu: str, memory: int, slots: str) -> None:
    made = pod(memory=memory, resources={"requests": {"cpu": cpu}})
    assert env(made)["SHUFFLE_SLOTS"] == slots


@pytest.mark.parametrize(
    ("cpu", "memory", "workers"),
    [("2", 4 * GIB, 1), ("3", 4 * GIB, 2), ("4", 4 * GIB, 2), ("8", GIB, 2), ("8", 8 * GIB, 4), ("64", 64 * GIB, 8)],
)
def test_a_pod_of_many_processors_has_a_worker_for_every_two(cpu: str, memory: int, workers: int) -> None:
    made = pod(memory=memory, resources={"requests": {"cpu": cpu}})
    ports = [each["containerPort"] for each in container(made)["ports"]]
    assert ports == list(range(7077, 7077 + workers))
    assert env(made).get("SHUFFLE_WORKERS_HERE", "1") == str(workers)
    assert env(made)["SHUFFLE_WORKER"] == str(workers)  # it is pod 1: pod 0 has those before
    job = check_job(sort_job(Path("/in"), Path("/out"), workers={"replicas": 2, "resources": {"limits": {"cpu": cpu}}}))
    assert cut_of(job, memory).workers == workers


def test_all_that_a_pod_has_is_for_its_workers_together() -> None:
    resources = {"limits": {"cpu": "8", "memory": "8Gi"}}
    workers = {"maxReplicas": 5, "resources": resources}
    job = check_job(sort_job(Path("/in"), Path("/out"), workers=workers))
    told = message_of(job, "uid-1")
    assert (told.workers, told.most_workers, told.workers_per_pod) == (12, 20, 4)
    assert told.memory == 2 * GIB
    body = sort_job(Path("/in"), Path("/out"), workers={"replicas": 2, "resources": resources})
    body["spec"]["operation"] = {"groupBy": {"by": ["k"], "apply": "sessions:sessionize"}}
    body["spec"]["functions"] = {"memory": "2Gi"}
    assert message_of(check_job(body), "uid-1").functions.memory == GIB // 2


def test_scratch_in_memory_leaves_less_to_each_worker() -> None:
    scratch = {"medium": "Memory", "sizeLimit": "6Gi"}
    made = pod(memory=7 * GIB, resources={"requests": {"cpu": "8"}}, scratch=scratch)
    assert env(made)["SHUFFLE_SLOTS"] == "4"
    assert env(made)["SHUFFLE_WORKERS_HERE"] == "2"


def test_the_policy_opens_the_ports_of_all_workers_of_a_pod() -> None:
    made = network_policy("sorted", "uid-1", 3)
    (rule,) = made["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [7077, 7078, 7079]


def test_where_it_may_run_is_the_jobs_word() -> None:
    made = pod(
        serviceAccountName="reader",
        nodeSelector={"disk": "nvme"},
        tolerations=[{"key": "spot", "operator": "Exists"}],
        priorityClassName="low",
        imagePullSecrets=[{"name": "registry"}],
        topologySpreadConstraints=[{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        labels={"team": "a"},
        annotations={"note": "b"},
        env=[{"name": "TZ", "value": "UTC"}],
        envFrom=[{"configMapRef": {"name": "more"}}],
        image="own:2",
    )
    spec = made["spec"]
    assert spec["serviceAccountName"] == "reader"
    assert spec["nodeSelector"] == {"disk": "nvme"}
    assert spec["tolerations"] == [{"key": "spot", "operator": "Exists"}]
    assert spec["priorityClassName"] == "low"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    constraint = spec["topologySpreadConstraints"][0]
    assert constraint["topologyKey"] == "zone"
    assert constraint["labelSelector"] == {"matchLabels": {"shuffle-operator.dev/job-uid": "uid-1"}}
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["annotations"]["note"] == "b"
    assert container(made)["image"] == "own:2"
    assert container(made)["envFrom"] == [{"configMapRef": {"name": "more"}}]
    assert env(made)["TZ"] == "UTC"


def test_credentials_come_from_the_named_secrets() -> None:
    body = sort_job(Path("/in"), Path("/out"))
    body["spec"]["inputs"] = [{"path": "s3://a/in", "storage": {"secretRef": {"name": "keys"}}}]
    body["spec"]["output"] = {"path": "s3://b/out", "storage": {"secretRef": {"name": "keys"}}}
    job = check_job(body)
    assert not list(credential_problems(job))
    made = worker_pod(job, "u", 0, 0, GIB, Trust(), SETTINGS)
    assert container(made)["envFrom"] == [{"secretRef": {"name": "keys"}}]
    body["spec"]["output"]["storage"] = {"secretRef": {"name": "others"}}
    (problem,) = credential_problems(check_job(body))
    assert problem.path == ("spec", "output", "storage", "secretRef", "name")


def test_a_template_is_merged_by_name() -> None:
    template = {
        "metadata": {"labels": {"team": "a", "app.kubernetes.io/component": "mine"}},
        "spec": {
            "terminationGracePeriodSeconds": 60,
            "containers": [
                {"name": "worker", "volumeMounts": [{"name": "certs", "mountPath": "/certs"}]},
                {"name": "sidecar", "image": "s"},
            ],
            "volumes": [{"name": "certs", "configMap": {"name": "certs"}}],
        },
    }
    made = pod(podTemplate=template)
    assert [c["name"] for c in made["spec"]["containers"]] == ["worker", "sidecar"]
    assert [m["mountPath"] for m in container(made)["volumeMounts"]] == [
        "/scratch",
        "/tmp",
        "/var/run/shuffle",
        "/certs",
    ]
    assert [v["name"] for v in made["spec"]["volumes"]] == ["scratch", "tmp", "token", "certs"]
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    assert env(made)["SHUFFLE_GRACE"] == "57"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"spec": {"hostNetwork": True}}, "hostNetwork"),
        ({"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}, "hostPath"),
        ({"spec": {"containers": [{"name": "x", "securityContext": {"privileged": True}}]}}, "privileges"),
        (
            {"spec": {"containers": [{"name": "x", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}},
            "capab",
        ),
        ({"spec": {"securityContext": {"runAsUser": 0}}}, "root"),
        ({"spec": {"containers": [{"name": "x", "ports": [{"containerPort": 1, "hostPort": 1}]}]}}, "hostPort"),
    ],
)
def test_a_template_that_opens_the_pod_up_is_refused_unless_allowed(template: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidJob, match=said):
        pod(podTemplate=template)
    assert pod(UNSAFE, podTemplate=template)


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"restartPolicy": "Always"}},
        {"metadata": {"name": "mine"}},
        {"kind": "Pod"},
        {"spec": {"containers": [{"name": "worker", "command": ["sh"]}]}},
        {"spec": {"containers": [{"name": "worker", "env": [{"name": "SHUFFLE_JOB", "value": "other"}]}]}},
        {"spec": {"containers": [{"image": "nameless"}]}},
        {"spec": {"containers": "worker"}},
        {"spec": []},
        {"metadata": "x"},
    ],
)
def test_what_is_the_operators_own_is_refused_by_its_path(template: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob, match=r"spec\.workers\.podTemplate"):
        pod(UNSAFE, podTemplate=template)


def test_merging_changes_neither_side() -> None:
    base = {"env": [{"name": "a", "value": "1"}], "keep": {"x": 1}, "gone": 1}
    over = {"env": [{"name": "a", "value": "2"}, {"name": "b", "value": "3"}], "gone": None}
    result = merge(base, over)
    assert result == {"env": [{"name": "a", "value": "2"}, {"name": "b", "value": "3"}], "keep": {"x": 1}}
    assert base["env"] == [{"name": "a", "value": "1"}]
    result["env"][1]["value"] = "changed"
    assert over["env"][1]["value"] == "3"  # type: ignore[index]


def apply_pod(memory: int = 4 * GIB, **spec: Any) -> dict[str, Any]:
    body = sort_job(Path("/in"), Path("/out"), workers={"replicas": 2})
    body["spec"]["operation"] = {"groupBy": {"by": ["k"], "apply": "sessions:sessionize"}}
    body["spec"].update(spec)
    return worker_pod(check_job(body), "uid-1", 1, 3, memory, Trust("ab" * 32), SETTINGS)


def test_config_maps_with_functions_are_mounted_where_the_job_says_they_are() -> None:
    sources = [{"path": "s3://bucket/code.zip"}, {"configMapRef": {"name": "sessions"}}]
    made = apply_pod(functions={"sources": sources})
    volume = next(v for v in made["spec"]["volumes"] if v["name"] == "functions-1")
    assert volume["configMap"] == {"name": "sessions", "defaultMode": 0o444}
    mount = next(m for m in container(made)["volumeMounts"] if m["name"] == "functions-1")
    assert mount == {"name": "functions-1", "mountPath": "/var/run/shuffle-functions/1", "readOnly": True}
    assert [v["name"] for v in made["spec"]["volumes"] if "configMap" in v] == ["functions-1"]


def test_functions_get_their_share_of_the_memory_and_no_more_slots_than_it_serves() -> None:
    assert "SHUFFLE_FUNCTIONS_MEMORY" not in env(pod())
    assert env(apply_pod())["SHUFFLE_FUNCTIONS_MEMORY"] == str(int(4 * GIB * 0.4))
    made = apply_pod(functions={"memory": "256Mi"}, workers={"resources": {"limits": {"cpu": "8"}}})
    assert env(made)["SHUFFLE_FUNCTIONS_MEMORY"] == str(256 << 20)
    assert env(made)["SHUFFLE_SLOTS"] == "2"


def test_a_secret_for_the_code_gives_its_variables() -> None:
    sources = [{"path": "s3://bucket/code.zip", "storage": {"secretRef": {"name": "code-store"}}}]
    made = apply_pod(functions={"sources": sources})
    assert container(made)["envFrom"] == [{"secretRef": {"name": "code-store"}}]


def test_a_gpu_is_asked_for_where_the_backend_is_one() -> None:
    body = sort_job(Path("/in"), Path("/out"), workers={"resources": {"limits": {"cpu": 4}}})
    body["spec"]["inputs"][0]["map"] = "mine:clean"
    plain = worker_pod(check_job(body), "uid-1", 1, 3, 4 * GIB, Trust("ab" * 32), SETTINGS)
    assert "nvidia.com/gpu" not in container(plain)["resources"]["limits"]
    assert env(plain)["SHUFFLE_SLOTS"] == "4"
    assert "tolerations" not in plain["spec"]
    body["spec"]["backend"] = "Gpu"
    made = worker_pod(check_job(body), "uid-1", 1, 3, 4 * GIB, Trust("ab" * 32), SETTINGS)
    resources = container(made)["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
    assert env(made)["SHUFFLE_SLOTS"] == "1"  # one function at a time has the GPU
    assert env(plain)["SHUFFLE_WORKERS_HERE"] == "2"
    assert "SHUFFLE_WORKERS_HERE" not in env(made)
    assert made["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
