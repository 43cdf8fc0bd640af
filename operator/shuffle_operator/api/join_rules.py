"""What a join's inputs, sides and keys must be to each other: the checks of `rules.py` that are about these, and their
CEL where it is long."""

from __future__ import annotations

from collections.abc import Mapping

from shuffle_operator.api.plain import Object, given, mapping, objects

_NAMED = "has(i.name) && (i.name == self.operation.join.left || "
JOIN_INPUTS_CEL = (
    "!has(self.operation.join) || (has(self.operation.join.sides) ? "
    "self.operation.join.sides.all(s, s.right != self.operation.join.left && "
    "self.operation.join.sides.exists_one(other, other.right == s.right)) && "
    f"self.inputs.all(i, {_NAMED}self.operation.join.sides.exists_one(s, s.right == i.name))) : "
    "!has(self.operation.join.right) || self.operation.join.left != self.operation.join.right && "
    f"self.inputs.all(i, {_NAMED}i.name == self.operation.join.right)) && "
    "(size(self.inputs) < 2 || self.inputs[0].name != self.inputs[1].name))"
)
INPUTS_WANTED_CEL = (
    "has(self.operation.join) ? size(self.inputs) == (has(self.operation.join.sides) ? "
    "size(self.operation.join.sides) + 1 : 2) : !has(self.operation.rechunk) || size(self.inputs) == 1"
)
JOIN_KEYS_CEL = (
    "has(self.type) && self.type == 'Cross' ? !(has(self.on) || has(self.leftOn) || has(self.rightOn)) : "
    "has(self.on) ? !(has(self.leftOn) || has(self.rightOn)) : "
    "has(self.leftOn) && has(self.rightOn) && size(self.leftOn) == size(self.rightOn)"
)
BESIDE_SIDES_CEL = (
    "!has(self.sides) || !(has(self.on) || has(self.leftOn) || has(self.rightOn) || has(self.where) || "
    "has(self.asOf) || (has(self.type) && self.type != 'Inner') || (has(self.nullsEqual) && self.nullsEqual) || "
    "(has(self.suffixes) && self.suffixes != ['', '_right']))"
)


def inputs_wanted(spec: Object) -> bool:
    inputs = spec.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        return True  # the list's own limits say so
    operation = mapping(spec.get("operation"))
    if "join" in operation:
        sides = mapping(operation["join"]).get("sides")
        return len(inputs) == (1 + len(sides) if isinstance(sides, list) else 2)
    return "rechunk" not in operation or len(inputs) == 1


def names_once(spec: Object) -> bool:
    join = mapping(spec.get("operation")).get("join")
    if isinstance(join, Mapping) and "sides" not in join:
        return True  # a rule of its own
    names = [item["name"] for item in objects(spec.get("inputs")) if isinstance(item.get("name"), str)]
    return len(names) == len(set(names))


def join_inputs(spec: Object) -> bool:
    join = mapping(spec.get("operation")).get("join")
    if not isinstance(join, Mapping) or not isinstance(join.get("left"), str):
        return True
    names = [item.get("name") for item in objects(spec.get("inputs"))]
    if "sides" in join:
        sides = [side.get("right") for side in objects(join["sides"])]
        return len(set(sides)) == len(sides) and join["left"] not in sides and set(names) <= {join["left"], *sides}
    if not isinstance(join.get("right"), str):
        return True
    return join["left"] != join["right"] and join["left"] in names and join["right"] in names


def beside_sides(join: Object) -> bool:
    """A server fills in defaults, so that these say nothing."""
    if "sides" not in join:
        return True
    plain = join.get("type", "Inner") == "Inner" and join.get("suffixes", ["", "_right"]) == ["", "_right"]
    return plain and not join.get("nullsEqual") and not given(join, "on", "leftOn", "rightOn", "where", "asOf")


def join_keys(join: Object) -> bool:
    if "sides" in join:
        return True
    if join.get("type") == "Cross":
        return not given(join, "on", "leftOn", "rightOn")
    if "on" in join:
        return not given(join, "leftOn", "rightOn")
    left, right = join.get("leftOn"), join.get("rightOn")
    if not isinstance(left, list) or not isinstance(right, list):
        return "leftOn" in join and "rightOn" in join
    return len(left) == len(right)
