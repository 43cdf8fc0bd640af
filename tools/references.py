"""Writes docs/reference/: every command and option, the Python API, the operator's metrics and its settings.

python tools/references.py            writes them; a test fails where a page says something else

All of it is read from the code: the programs' own help, signatures and docstrings, the registry of metrics, and the
fields of the settings. (docs/reference/shufflejob.md comes from the models, by `make crds`.)
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from prometheus_client.core import Metric

FOLDER = Path(__file__).parents[1] / "docs/reference"
NOTE = "<!-- Made by tools/references.py (`make docs`); change {what} instead. -->\n"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;")


# -- commands ---------------------------------------------------------------------------------------------------------


def commands() -> str:
    from shuffle_local.cli.program import COMMANDS, program_of

    lines = [NOTE.format(what="local/shuffle_local/cli"), "# Every command and option", ""]
    lines += ["`shuffle` and `kubectl shuffle` are one program. [The command line](../cli.md) explains more.", ""]
    for name in COMMANDS:
        program = typer.main.get_command(program_of([name]))
        lines += _command(name, program.commands[name])
    return "\n".join(lines)


def _command(name: str, command: Any) -> Iterator[str]:
    """command: of typer's own click, which has no types of its own that others may use."""
    context = command.make_context(f"shuffle {name}", [], resilient_parsing=True)
    yield f"## {name}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    yield f"```text\n{context.get_usage().removeprefix('Usage: ')}\n```\n"
    yield "| | |"
    yield "| --- | --- |"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield f"| `{cell(record[0])}` | {cell(record[1]).replace('<', '&lt;')} |"
    yield ""


# -- the Python API ---------------------------------------------------------------------------------------------------


def python() -> str:
    package = importlib.import_module("shuffle_operator")
    lines = [NOTE.format(what="local/shuffle_local/python"), "# The Python API", ""]
    lines += [
        "Everything here is imported from `shuffle_operator`. [From Python](../python.md) shows how it is used.",
        "",
    ]
    found = {name: getattr(package, name) for name in package.__all__}
    functions = {name: one for name, one in found.items() if inspect.isfunction(one)}
    classes = {name: one for name, one in found.items() if inspect.isclass(one)}
    modules = {name: one for name, one in found.items() if inspect.ismodule(one)}
    for name, function in functions.items():
        lines += _function("##", name, function)
    for name, module in modules.items():
        lines += _module(name, module)
    for name, one in classes.items():
        lines += _class(name, one)
    return "\n".join(lines)


def _module(name: str, module: ModuleType) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{_prose(module)}\n"
    for inner, function in vars(module).items():
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not inner.startswith("_"):
            yield from _function("###", f"{name}.{inner}", function)


def _class(name: str, one: type) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{_prose(one)}\n"
    documented = _documented_fields(one)
    if documented:
        yield "| field | |"
        yield "| --- | --- |"
        yield from (f"| `{field}` | {cell(text)} |" for field, text in documented.items())
        yield ""
    for inner, member in _members(one):
        if isinstance(member, property):
            yield f"### {name}.{inner}\n"
            yield f"{_prose(member)}\n"
        else:
            yield from _function("###", f"{name}.{inner}", member)


def _members(one: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class and of those of this project that it is made of, in their order."""
    seen: set[str] = set()
    for base in one.__mro__:
        if not base.__module__.startswith("shuffle_local"):
            continue
        for name, member in vars(base).items():
            if name.startswith("_") or name in seen:
                continue
            plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if isinstance(plain, property) or inspect.isfunction(plain):
                seen.add(name)
                yield name, plain


def _documented_fields(one: type) -> dict[str, str]:
    """Fields with a docstring below them."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
    except OSError:
        return {}
    [definition] = tree.body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        if isinstance(text, str) and text and not field.target.id.startswith("_"):
            found[field.target.id] = text
    return found


def _function(mark: str, name: str, function: Any) -> Iterator[str]:
    yield f"{mark} {name}\n"
    yield f"```python\n{_signature(name, function)}\n```\n"
    yield f"{_prose(function)}\n"


def _signature(name: str, function: Any) -> str:
    """As it is written, one parameter a line where there are many. Annotations are texts, as they stand in the code."""
    signature = inspect.signature(function)
    shown = [one for at, one in enumerate(signature.parameters.values()) if at or one.name not in ("self", "cls")]
    parts: list[str] = []
    starred = False
    for one in shown:
        starred = starred or one.kind is one.VAR_POSITIONAL
        if one.kind is one.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(_parameter(one))
    result = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(parts)}){result}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


def _parameter(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    kind = "" if one.annotation is one.empty else f": {one.annotation}"
    default = "" if one.default is one.empty else f" = {one.default!r}" if kind else f"={one.default!r}"
    return f"{stars}{one.name}{kind}{default}"


def _prose(one: Any) -> str:
    """A docstring as Markdown: its examples are indented already, and its pages lie one folder up."""
    text = inspect.getdoc(one) or ""
    return re.sub(r"\(docs/([a-z-]+)\.md\)", r"([\1](../\1.md))", text)


# -- metrics ----------------------------------------------------------------------------------------------------------


def metrics() -> str:
    from shuffle_operator.metrics import Metrics, Readings, WorkSums

    def nothing() -> Any:
        return 0

    from collections import Counter

    readings = Readings(
        phases=Counter, work=WorkSums.none, requests=Counter, depth=nothing, oldest=nothing, refused=nothing,
        silent=nothing, dropped=nothing,
    )  # fmt: skip
    registry = Metrics(readings).registry
    lines = [NOTE.format(what="operator/shuffle_operator/metrics.py"), "# Metrics", ""]
    lines += ["What the operator's `/metrics` has. No label grows with jobs or workers. Counters begin at 0 with the"]
    lines += [
        "process. [The operator](../operator.md#metrics) says more, [the runbook](../runbook.md) what to watch.",
        "",
    ]
    lines += ["| metric | kind | what |", "| --- | --- | --- |"]
    lines += sorted(_metric(one) for one in registry.collect())
    return "\n".join(lines) + "\n"


def _metric(one: Metric) -> str:
    name = one.name + ("_total" if one.type == "counter" else "")
    return f"| `{name}` | {one.type} | {cell(one.documentation)} |"


# -- settings ---------------------------------------------------------------------------------------------------------


VARIABLES = {
    "pod": "POD_NAME",
    "pod_namespace": "POD_NAMESPACE",
    "restrictions": "SHUFFLE_ALLOWED_PROTOCOLS`, `SHUFFLE_ALLOW_FUNCTIONS",
}
"""Of settings whose variable is not called as they are."""


def settings() -> str:
    from shuffle_operator.coordinator.settings import Settings
    from shuffle_operator.settings import OperatorSettings

    lines = [NOTE.format(what="the settings' fields"), "# Settings, field by field", ""]
    lines += ["[Settings that are rarely needed](../settings.md) says which matter, and why.", ""]
    lines += ["## The operator", "", "Environment variables; the chart sets them from its values.", ""]
    lines += _settings(OperatorSettings, lambda name: VARIABLES.get(name, f"SHUFFLE_{name.upper()}"))
    lines += ["## A job's coordinator", "", "Seconds and numbers that are fixed in the code.", ""]
    lines += _settings(Settings, str)
    return "\n".join(lines)


def _settings(record: Any, named: Any) -> Iterator[str]:
    documented = _documented_fields(record)
    yield "| setting | default | what |"
    yield "| --- | --- | --- |"
    for field in fields(record):
        default = "required" if field.default is field.default_factory is MISSING else _default(field)
        yield f"| `{named(field.name)}` | {default} | {cell(documented.get(field.name, ''))} |"
    yield ""


def _default(field: Any) -> str:
    value = field.default if field.default is not MISSING else field.default_factory()
    shown = {"": "none", None: "none", False: "`false`"}
    if isinstance(value, str | bool | None) and value in shown:
        return shown[value]
    if isinstance(value, int) and value >= 1 << 30:
        return f"`{value >> 30}Gi`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if isinstance(value, int | str) else "all"


PAGES = {"commands.md": commands, "python.md": python, "metrics.md": metrics, "settings.md": settings}


if __name__ == "__main__":
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write().rstrip() + "\n", encoding="utf-8")
