"""A task's configuration: checked where the workflow is defined, filled in where it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.flyte import ShuffleJobConfig, ShuffleJobTask
from shuffle_operator.flyte.values import values_of
from shuffle_protocol.errors import InvalidSpec
from tests.flyte.executions import SPEC, template


def spec(**parts: Any) -> dict[str, Any]:
    return SPEC | parts


def test_a_mistake_is_told_where_the_workflow_is_defined() -> None:
    with pytest.raises(InvalidJob, match=r"spec.output.partitons.*did you mean `partitions`"):
        ShuffleJobConfig(spec(output={"path": "b", "partitons": 3}))


def test_what_depends_on_inputs_is_left_open_and_nothing_else() -> None:
    output = {"path": "{{ .inputs.target }}", "partitions": "{{.inputs.files}}"}
    assert ShuffleJobConfig(spec(output=output)).inputs == {"target", "files"}
    with pytest.raises(InvalidJob) as error:
        ShuffleJobConfig(spec(output={**output, "compression": "Zip", "targetPartitionSize": "1Gi"}))
    said = str(error.value)
    assert "compression" in said
    assert "partitions or targetPartitionSize" in said
    assert "spec.output.partitions" not in said


def test_placeholders_become_values_with_their_types() -> None:
    config = ShuffleJobConfig(
        spec(
            operation={"repartition": {"by": "{{ .inputs.keys }}"}},
            inputs=[
                {
                    "path": "s3://bucket/{{ .inputs.day }}/{{inputs.hour}}/",
                    "filter": "a = '{{ .inputs.a }}'",
                    "compute": {"day": "concat(b, '{{ .inputs.a }}')"},
                }
            ],
            output={"path": "s3://bucket/out/", "partitions": "{{ .inputs.files }}"},
            suspend="{{ .inputs.wait }}",
        )
    )
    values: dict[str, Any] = {
        "keys": ["a", "b"], "day": "2026-01-01", "hour": 7, "a": "O'Hara", "files": 12, "wait": True,
    }  # fmt: skip
    job = config.job("x", values)
    assert job.spec.operation.repartition is not None
    assert job.spec.operation.repartition.by == ["a", "b"]
    assert job.spec.inputs[0].path == "s3://bucket/2026-01-01/7/"
    assert job.spec.inputs[0].filter == "a = 'O''Hara'"
    assert job.spec.inputs[0].compute == {"day": "concat(b, 'O''Hara')"}
    assert job.spec.output.partitions == 12
    assert job.spec.suspend is True


def test_a_time_is_written_as_filters_read_it() -> None:
    config = ShuffleJobConfig(spec(inputs=[{"path": "a", "filter": "ts >= TIMESTAMP '{{ .inputs.since }}'"}]))
    since = datetime.fromisoformat("2026-01-01T13:30:00+01:00")
    for moment in (since, since.astimezone(UTC), since.astimezone(UTC).replace(tzinfo=None)):
        assert config.job("x", {"since": moment}).spec.inputs[0].filter == "ts >= TIMESTAMP '2026-01-01 12:30:00'"


def test_a_value_that_does_not_fit_is_told_when_it_is_known() -> None:
    config = ShuffleJobConfig(spec(output={"path": "b", "partitions": "{{ .inputs.files }}"}))
    with pytest.raises(InvalidJob, match=r"spec\.output\.partitions"):
        config.job("x", {"files": 0})
    with pytest.raises(InvalidJob, match=r"spec.output.partitions: there is no input files; did you mean file\?"):
        config.job("x", {"file": 1})


def test_a_task_has_the_inputs_that_its_spec_uses() -> None:
    config = ShuffleJobConfig(spec(output={"path": "{{ .inputs.target }}"}))
    with pytest.raises(InvalidJob, match="the spec uses target, which the task has not as inputs"):
        ShuffleJobTask(name="a-task-without-inputs", task_config=config)


def test_numbers_are_as_they_were_after_the_way_through_protobuf() -> None:
    whole = spec(
        output={"path": "b", "partitions": 64, "storage": {"options": {"retries": 2, "share": 0.5, "anon": True}}},
        workers={"replicas": 4, "resources": {"limits": {"memory": "2Gi", "cpu": 2}}},
        backoffLimit=0,
    )
    sent = ShuffleJobConfig(whole, namespace="data", labels={"team": "a"}, annotations={"note": "1"})
    custom = template(
        whole, "a-task-through-protobuf", namespace="data", labels=sent.labels, annotations=sent.annotations
    )
    assert isinstance(custom.custom["spec"]["output"]["partitions"], float)  # a Struct knows no integers
    received = ShuffleJobConfig.from_custom(custom.custom)
    assert received == sent
    assert received.job("x", {}) == sent.job("x", {})
    assert isinstance(received.spec["output"]["partitions"], int)


def test_a_job_file_serves_as_configuration(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    text = """apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata: {name: any, namespace: data, labels: {team: a}}
spec:
  operation: {repartition: {by: [user_id]}}
  inputs: [{path: "s3://bucket/{{ .inputs.day }}/"}]
  output: {path: s3://bucket/out/}
"""
    file.write_text(text)
    config = ShuffleJobConfig.from_file(file)
    assert (config.namespace, config.labels, config.inputs) == ("data", {"team": "a"}, {"day"})
    assert ShuffleJobConfig.from_file(file, namespace="other").namespace == "other"
    file.write_text(text.replace("output: {path", "output: {pth"))
    with pytest.raises(InvalidJob, match=r"job.yaml: 2 problems\n  line 7: spec.output.*\n  line 7: spec.output"):
        ShuffleJobConfig.from_file(file)
    file.write_text("kind: Pod\nspec: {}\n")
    with pytest.raises(InvalidJob, match="expected a ShuffleJob with a spec"):
        ShuffleJobConfig.from_file(file)


def test_what_cannot_stand_in_a_spec_is_named() -> None:
    from datetime import timedelta

    from flytekit.models.literals import Literal, LiteralMap, Primitive, Scalar, Void

    for scalar, kind in (
        (Scalar(primitive=Primitive(duration=timedelta(1))), "a duration"),
        (Scalar(none_type=Void()), "nothing"),
    ):
        with pytest.raises(InvalidSpec, match=f"input a: .*found {kind}"):
            values_of(LiteralMap({"a": Literal(scalar=scalar)}))
    with pytest.raises(InvalidSpec, match=r"input a: .*found a map"):
        values_of(LiteralMap({"a": Literal(map=LiteralMap({}))}))


def test_workers_of_an_interruptible_task_are_checked_when_it_is_defined() -> None:
    with pytest.raises(InvalidJob, match="nodeSelectr"):
        ShuffleJobConfig(spec(), interruptible_workers={"nodeSelectr": {"a": "b"}})
    config = ShuffleJobConfig(spec(), interruptible_workers={"replicas": 3})
    assert ShuffleJobConfig.from_custom(config.to_custom()) == config
    with pytest.raises(InvalidJob, match=r"spec.workers: .*found a list"):
        ShuffleJobConfig(spec(workers=["a"]), interruptible_workers={"replicas": 3})
