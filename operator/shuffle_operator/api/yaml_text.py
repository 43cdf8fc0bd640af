"""A resource as YAML text that means the same to every reader: kubectl's, this project's and PyYAML's.

Readers disagree on which words without quotes are strings: `y` is one to PyYAML and a boolean to kubectl. What is no
string to either stands in quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from shuffle_operator.api.document import plain_scalar


class _Dumper(yaml.SafeDumper):
    """Quotes strings that kubectl's reader would not take for strings."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - what is there twice is written twice
        return True

    def _text(self, text: str) -> yaml.ScalarNode:
        style = None if isinstance(plain_scalar(text), str) and text.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper._text)


def yaml_text(manifest: Mapping[str, Any]) -> str:
    """manifest: of mappings, lists, strings, numbers and booleans."""
    return yaml.dump(dict(manifest), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
