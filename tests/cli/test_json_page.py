"""docs/json.md names the fields that the commands print, all of them and no others."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from typing import Any

import msgspec

from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import PlanNode
from shuffle_worker.arrays.explain import RechunkExplanation
from shuffle_worker.plan.explained import Explanation

PAGE = (Path(__file__).parents[2] / "docs/json.md").read_text()


def documented(heading: str) -> dict[str, str]:
    """The fields below a heading and their types."""
    section = re.split(r"^#+ ", PAGE[PAGE.index(heading) + len(heading) :], maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section, re.MULTILINE))


def fields(kind: type[msgspec.Struct], path: str = "") -> dict[str, Any]:
    """Every field by its path, but for steps of the plan."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = path + field.encode_name
        found[name] = field.type
        arguments = [field.type, *typing.get_args(field.type)]
        inner = next((each for each in arguments if isinstance(each, type) and issubclass(each, msgspec.Struct)), None)
        if inner is not None and inner is not PlanNode:
            found |= fields(inner, f"{name}[]." if typing.get_origin(field.type) is list else f"{name}.")
    return found


def test_every_field_is_there() -> None:
    assert set(documented("## shuffle run --json")) == set(fields(Snapshot))
    assert set(documented("## shuffle explain --json")) == set(fields(Explanation))
    assert set(documented("### A step of the plan")) == set(PlanNode.__struct_fields__)
    assert set(documented("### Of arrays")) == set(fields(RechunkExplanation))


def test_types_are_right() -> None:
    kinds = {int: "number", float: "number", str: "text", bool: "boolean"}
    for heading, struct in (
        ("## shuffle run --json", Snapshot),
        ("## shuffle explain --json", Explanation),
        ("### Of arrays", RechunkExplanation),
    ):
        said = documented(heading)
        for name, kind in fields(struct).items():
            if kind in kinds:
                assert said[name] == kinds[kind], name


def test_what_validate_prints(shuffle: Any) -> None:
    Path("bad.yaml").write_text("apiVersion: x\n")
    shuffle("init", "good.yaml")
    said = documented("## shuffle validate --json")
    bad, good = (json.loads(shuffle("validate", "--json", name).out) for name in ("bad.yaml", "good.yaml"))
    assert set(bad) | set(good) | {f"problems[].{name}" for name in bad["problems"][0]} == set(said)
