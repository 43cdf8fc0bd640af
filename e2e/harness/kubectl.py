"""kubectl, as a person uses it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.harness.process import run

Object = dict[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """program: its path. namespace: where commands are about, where they are about one."""

    program: Path
    kubeconfig: Path
    namespace: str = "default"

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
        command = [self.program, "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments]
        return run(command, stdin=stdin, check=check, timeout=timeout)

    def within(self, namespace: str) -> Kubectl:
        return Kubectl(self.program, self.kubeconfig, namespace)

    def get(self, kind: str, name: str) -> Object | None:
        """The object, or None where there is none."""
        text = self("get", kind, name, "--ignore-not-found", "--output=json")
        found: Object | None = json.loads(text) if text.strip() else None
        return found

    def list(self, kind: str, selector: str = "", *, everywhere: bool = False) -> list[Object]:
        where = ["--all-namespaces"] if everywhere else []
        found: list[Object] = json.loads(self("get", kind, f"--selector={selector}", "--output=json", *where))["items"]
        return found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--filename=-", stdin=json.dumps(listed))

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        self("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}")

    def delete(self, kind: str, name: str, *, now: bool = False, wait: bool = False) -> None:
        force = ["--force", "--grace-period=0"] if now else []
        self("delete", kind, name, "--ignore-not-found", f"--wait={str(wait).lower()}", *force)
