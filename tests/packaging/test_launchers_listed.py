"""The list of a package's modules names each of them."""

from __future__ import annotations

import pkgutil
import re

from shuffle_operator import launchers


def test_every_launcher_module_is_listed() -> None:
    listed = re.findall(r"^ *((?:\w+, )*\w+)  ", launchers.__doc__ or "", re.MULTILINE)
    names = {name for each in listed for name in each.split(", ")}
    assert names == {module.name for module in pkgutil.iter_modules(launchers.__path__)}
