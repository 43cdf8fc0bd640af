"""A job file is either loaded, or refused with every problem that it has, each with its place and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.validation import check_job, load_job
from shuffle_protocol.errors import InvalidSpec

HEAD = "apiVersion: shuffle-operator.dev/v1alpha1\nkind: ShuffleJob\nmetadata: {name: events}\n"
GOOD = (
    HEAD
    + """spec:
  operation:
    repartition: {by: [user_id]}
  inputs:
    - path: s3://bucket/events/
  output:
    path: s3://bucket/by-user/
    partitions: 64
"""
)


def refused(text: str) -> list[str]:
    with pytest.raises(InvalidJob) as caught:
        load_job(text)
    assert isinstance(caught.value, InvalidSpec)
    assert all(str(problem) in caught.value.message for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def only(text: str) -> str:
    problems = refused(text)
    assert len(problems) == 1, problems
    return problems[0]


def test_a_good_job_is_loaded() -> None:
    job = load_job(GOOD)
    assert isinstance(job, ShuffleJob)
    assert job.metadata.name == "events"
    assert job.spec.operation.repartition is not None
    assert job.spec.operation.repartition.by == ["user_id"]
    assert (job.spec.output.partitions, job.spec.output.compression) == (64, None)


def test_a_job_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("\ufeff" + GOOD, encoding="utf-8")
    assert load_job(file) == load_job(str(file)) == load_job(GOOD)


def test_what_was_set_comes_back_as_a_manifest() -> None:
    assert load_job(GOOD).manifest() == yaml.safe_load(GOOD)


def test_a_resource_of_the_cluster_is_checked_the_same_way() -> None:
    resource = yaml.safe_load(GOOD)
    resource["metadata"] |= {"uid": "8e8", "generation": 1, "managedFields": [{"manager": "kubectl"}]}
    resource["status"] = {"phase": "Pending", "somethingNewer": 1}
    job = check_job(resource)
    assert (job.metadata.uid, job.metadata.generation) == ("8e8", 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"# only a comment\n---\n", "the file is empty"),
        (b"{", "this is not YAML"),
        (b"a: b: c", "this is not YAML: mapping values are not allowed here"),
        (b"a:\n\t- b", "this is not YAML"),
        (b"PAR1\x15\x04\x15\xff\x00\x80", "no text in UTF-8"),
        (b"\x00\x01", "this is not YAML"),
        (b"just words", 'found "just words", expected a ShuffleJob: a mapping'),
        (b"- a\n- b", "found a list of 2, expected a ShuffleJob"),
        (b"x" * (1 << 20) + b"x", "longer than 1,048,576 bytes"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_holds_no_job_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidJob) as caught:
        load_job(file)
    assert said in caught.value.message
    assert caught.value.message.startswith(str(file))


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidJob, match="no such file"):
        load_job(tmp_path / "job.yaml")
    with pytest.raises(InvalidJob, match="this is a folder"):
        load_job(tmp_path)


def test_aliases_that_multiply_are_refused() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x]\n"
    for above, name in zip("abcdefg", "bcdefgh", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{above}'] * 8)}]\n"
    assert "once its aliases are expanded" in only(bomb)
    assert "once its aliases are expanded" in only("a: &a\n  - *a\n  - *a\n")


def test_an_alias_and_a_merge_mean_what_they_say() -> None:
    text = GOOD.replace("inputs:", "inputs: &i").replace("partitions: 64", "<<: &o {partitions: 64, onExisting: Fail}")
    assert load_job(text).spec.output.partitions == 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("kind: ShuffleJob", "kind: Job"), 'line 2: kind: found "Job", expected ShuffleJob'),
        (
            GOOD.replace("v1alpha1", "v1"),
            'line 1: apiVersion: found "shuffle-operator.dev/v1", expected shuffle-operator.dev/v1alpha1',
        ),
        (GOOD.replace("kind: ShuffleJob\n", ""), "`kind` is missing; write kind: ShuffleJob"),
        (GOOD.replace("apiVersion", "apiversion"), "`apiVersion` is missing (found `apiversion`)"),
        (GOOD + "---\n" + GOOD, "line 13: the file holds 2 documents"),
        (GOOD + "  output: {path: x}\n", "line 12: spec.output: `output` is given twice (first in line 9)"),
    ],
)
def test_another_kind_of_document_is_told_alone(text: str, said: str) -> None:
    assert said in only(text)


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("name: events", "name: Events").replace("by: [user_id]", "by: 'user_id, day'")
    text = text.replace("partitions: 64", 'partitions: "64"\n    compresion: Zstd')
    problems = refused(text)
    assert [problem.partition(":")[0] for problem in problems] == ["line 3", "line 6", "line 11", "line 12"]
    assert problems[1].endswith('found "user_id, day", expected a list; write [user_id, day]')
    assert problems[2].endswith('found "64", a string, expected a whole number from 1 to 1,000,000; write 64, '
                                "without quotes")  # fmt: skip
    assert problems[3].endswith("there is no such field; did you mean `compression`?")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{name: events}",
            "{name: events, nmespace: a}",
            "metadata.nmespace: there is no such field; did you mean `nam",
        ),
        ("{name: events}", "{}", "metadata.name: this is missing, and is required"),
        ("{name: events}", "{name: " + "a" * 50 + "}", "found 50 characters, expected at most 49"),
        ("{name: events}", "{name: 9lives}", "a name begins with a lower-case letter"),
        ("{name: events}", "{name: no}", 'found `no`, which YAML takes for the boolean false; write "no", in quotes'),
        ("{name: events}", "{name: 2026}", 'found the number 2026, expected a string; write "2026", in quotes'),
        ("[user_id]", "[y]", "spec.operation.repartition.by[0]: found `y`, which YAML takes for the boolean true"),
        ("[user_id]", "[user_id, day, user_id]", '"user_id" listed more than once; name each once'),
        ("[user_id]", "[]", "found no entries, expected at least 1 entry (or leave it out)"),
        ("[user_id]", "['']", "this is an empty string"),
        ("{by: [user_id]}", "{by: [a], range: [b]}", "give by (hash), range or random"),
        ("{by: [user_id]}", "{by: [a], colums: [b]}", "there is no such field; the fields here are by, range"),
        (
            "{by: [user_id]}",
            "",
            "spec.operation.repartition: this is empty; give it a value, write {} for its defaults",
        ),
        ("repartition: {by: [user_id]}", "sort: {by: [ts]}", 'found "ts", expected a mapping; write {column: ts}'),
        (
            "repartition: {by: [user_id]}",
            "sort: {by: [{column: ts}, {column: ts, order: Descending}]}",
            '"ts" is a key more than once',
        ),
        (
            "repartition: {by: [user_id]}",
            "sort: {by: [{column: ts, order: descending}]}",
            'found "descending", expected Ascending or Descending; did you mean Descending?',
        ),
        ("repartition:", "Repartition:", "did you mean `repartition`?"),
        ("repartition: {by: [user_id]}", "{}", "give exactly one operation of"),
        ("  operation:", "  operation: {sort: {by: [{column: a}]}}\n  opration:", "did you mean `operation`?"),
        ("path: s3://bucket/events/", "paht: s3://bucket/events/", "did you mean `path`?"),
        ("path: s3://bucket/events/", "{path: a, paths: [b]}", "give exactly one of path and paths"),
        ("path: s3://bucket/events/", "{path: a, reader: 'm:f', format: CSV}", "reader and format exclude each other"),
        ("path: s3://bucket/events/", '{path: "a\\nb"}', "a path holds no control characters"),
        ("path: s3://bucket/events/", "{path: a, storage: {secretRef: creds}}", "write {name: creds}"),
        ("path: s3://bucket/events/", "{path: a, storage: {endpoint: minio}}", "expected an address such as"),
        (
            "path: s3://bucket/events/",
            "{path: a, name: x}\n    - {path: b, name: x}",
            "two inputs have the same name; give each another",
        ),
        ("path: s3://bucket/events/", "{path: a, columns: [ts]}", '"user_id" is not among the columns'),
        ("partitions: 64", "partitions: 0", "found 0, expected a whole number from 1 to 1,000,000"),
        ("partitions: 64", "partitions: 10_000_000", "found 10,000,000, expected a whole number from 1 to 1,000,000"),
        ("partitions: 64", "partitions: 64.0", "write 64"),
        ("partitions: 64", "partitions: yes", "found the boolean true, expected a whole number"),
        ("partitions: 64", "partitions: 9" + "9" * 60, "expected a whole number"),
        (
            "partitions: 64",
            "partitions: 64\n    targetPartitionSize: 1Gi",
            "give partitions or targetPartitionSize, no",
        ),
        ("partitions: 64", "targetPartitionSize: 1GB", "did you mean 1G?"),
        ("partitions: 64", "targetPartitionSize: 1", "which is 1 bytes; expected 1Mi to 1Ti"),
        ("partitions: 64", "targetPartitionSize: 40Ei", "expected 1Mi to 1Ti"),
        ("partitions: 64", "targetPartitionSize: [1Gi]", "expected a quantity"),
        ("partitions: 64", "compression: gzip", "did you mean Gzip?"),
        ("partitions: 64", "onExisting: Replace", "expected Fail or Overwrite"),
        ("partitions: 64", "sortWithin: [ts, ts]", '"ts" listed more than once'),
        ("path: s3://bucket/by-user/", "{}\n  suspend: false", "spec.output.path: this is missing, and is required"),
        ("path: s3://bucket/by-user/", "path: s3://bucket/events", "is the input"),
        ("path: s3://bucket/by-user/", "path: s3://bucket/events/out", "is inside the input"),
        ("path: s3://bucket/by-user/", "path: s3://bucket", "is around the input"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_remedy(old: str, new: str, said: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new)
    if old == "path: s3://bucket/by-user/" and new.startswith("{}"):
        text = text.replace("output:\n    {}", "output: {}").replace("    partitions: 64\n", "")
    if old == "repartition: {by: [user_id]}" and new == "{}":
        text = text.replace("operation:\n    {}", "operation: {}")
    assert any(said in problem for problem in refused(text)), refused(text)


WORKERS = GOOD + "  workers: "


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ("{replicas: 0}", "spec.workers.replicas: found 0, expected a whole number from 1 to 1,024"),
        ("{replicas: 4, minReplicas: 2}", "give replicas, or minReplicas and maxReplicas, not both"),
        ("{minReplicas: 4, maxReplicas: 2}", "minReplicas must not be more than maxReplicas"),
        ("{resources: {limits: {memory: 4}}}", "which is 4 bytes; expected 256Mi to 64Ti"),
        ("{resources: {limits: {memory: 4 GiB}}}", "did you mean 4Gi?"),
        ("{resources: {requests: {cpu: 0}}}", "expected 1m to 1024 processors"),
        ("{scratch: {medium: Memory, storageClassName: fast}}", "exclude each other"),
        ("{scratch: {sizeLimit: 100GB}}", "did you mean 100G?"),
        ("{env: [{name: A, value: 1}]}", "found a number, expected a string; write it in quotes (it is not shown"),
        ("{env: [{name: A, value: a, valueFrom: {}}]}", "give value or valueFrom, not both"),
        ("{serviceAccountName: Mine}", "the name of a Kubernetes object holds lower-case letters"),
        ("{nodeSelector: {disk: ssd, spot: true}}", 'write "true", in quotes'),
        ("4", "found 4, expected a mapping with replicas"),
    ],
)
def test_workers_are_checked(workers: str, said: str) -> None:
    assert any(said in problem for problem in refused(WORKERS + workers)), refused(WORKERS + workers)


def test_a_field_in_the_wrong_place_is_told_where_it_belongs() -> None:
    assert only(GOOD + "  replicas: 4\n").endswith("there is no such field here; `replicas` belongs to spec.workers")


def test_free_objects_hold_anything() -> None:
    job = load_job(WORKERS + "{podTemplate: {spec: {hostname: null}}, affinity: {nodeAffinity: {}}}")
    assert job.spec.workers is not None
    assert job.spec.workers.pod_template == {"spec": {"hostname": None}}


def test_a_message_shows_nothing_that_a_terminal_would_obey() -> None:
    problem = only(GOOD.replace("partitions: 64", 'compression: "\\e[31mred"'))
    assert "\x1b" not in problem
    assert "red" in problem
