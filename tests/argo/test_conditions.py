"""The semantics that conditions are tested with are those of Kubernetes' label selectors, as Argo uses them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.argo.conditions import BadSelector, Requirement, look_up, parse, verdict

RESOURCE: dict[str, Any] = {
    "metadata": {"name": "a"},
    "status": {"phase": "Running", "failures": 2, "done": False, "none": None, "conditions": [{"type": "Complete"}]},
}


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ("status.phase == Running", True),
        ("status.phase=Running", True),
        ("status.phase = Complete", False),
        ("status.phase == ", False),
        ("status.phase != Complete", True),
        ("status.phase != Running", False),
        ("status.phase in (Complete, Running)", True),
        ("status.phase in (Complete,Failed)", False),
        ("status.phase notin (Complete,Failed)", True),
        ("status.phase", True),
        ("!status.phase", False),
        ("!status.reason", True),
        ("status.reason == x", False),
        ("status.reason != x", True),
        ("status.reason notin (x)", True),
        ("status.reason in (x)", False),
        ("status.failures > 1", True),
        ("status.failures < 2", False),
        ("status.phase > 1", False),
        ("status.done == false", True),
        ("status.none == ", True),
        ("status.conditions.0.type == Complete", True),
        ("status.conditions.1.type", False),
    ],
)
def test_one_requirement(selector: str, holds: bool) -> None:
    (requirement,) = parse(selector)
    assert requirement.holds(RESOURCE) is holds


@pytest.mark.parametrize(
    "selector",
    [
        'status.conditions.#(type=="Complete").status == True',
        "status.conditions[0].type == Complete",
        "status.message == two words",
        "status.phase == " + "x" * 64,
        "status.phase == -Complete",
        "status.phase == 'Complete'",
        "status.failures > many",
        "status.phase in Complete",
        "status.phase == Complete,",
        "status.phase == Complete || status.phase == Failed",
        "== Complete",
    ],
)
def test_what_argo_cannot_parse(selector: str) -> None:
    with pytest.raises(BadSelector):
        parse(selector)


def test_several_requirements() -> None:
    assert parse("a.b==c, d in (e,f) ,!g,h") == [
        Requirement("a.b", "in", ("c",)),
        Requirement("d", "in", ("e", "f")),
        Requirement("g", "!"),
        Requirement("h", "exists"),
    ]
    assert parse("") == []


def test_success_needs_every_requirement_and_failure_only_one() -> None:
    both = "status.phase == Running, status.failures == 0"
    assert verdict(RESOURCE, both, "status.phase == Failed") == "waiting"
    assert verdict(RESOURCE, "status.phase == Complete", both) == "failure"
    assert verdict(RESOURCE, "status.phase == Running", both) == "failure"
    assert verdict(RESOURCE, "status.phase == Running", "status.phase == Failed") == "success"


def test_nothing_is_found_where_nothing_is() -> None:
    assert look_up({}, "status.phase") is None
    assert look_up({"status": "text"}, "status.phase") is None
    assert look_up(RESOURCE, "status.conditions") == '[{"type":"Complete"}]'
