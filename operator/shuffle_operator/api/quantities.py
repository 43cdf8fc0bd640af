"""Kubernetes quantities: `512Mi`, `1G`, `"2"`, `500m`, as numbers, and numbers as quantities.

The same notation and the same meaning as Kubernetes gives them: k, M, G ... are powers of 1000, Ki, Mi, Gi ... of 1024,
m is a thousandth. What cannot be meant as memory or as a disk (3 bytes, 40 Ei) is refused where it is written.
"""

from __future__ import annotations

import re
from decimal import Decimal

_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_NUMBER = r"(?P<number>[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}))"
_FORM = re.compile(_NUMBER + r"(?:(?P<unit>Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE](?P<exponent>[+-]?[0-9]{1,2}))?")

PATTERN = r"^[+-]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
"""The notation as the CRD states it."""

BYTES_FORMS = "for example 512Mi, 4Gi (powers of 1024) or 500M, 2G (powers of 1000)"
CPU_FORMS = 'for example "2", 500m (half a processor) or 1.5'


class BadQuantity(ValueError):
    """No quantity, or one that cannot be meant. The message says which and what to write."""


def parse(value: str | int | float, forms: str = BYTES_FORMS) -> Decimal:
    """The number that a quantity stands for. Raises BadQuantity."""
    if isinstance(value, bool):
        raise BadQuantity(f"expected a quantity, {forms}")
    text = str(value)
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadQuantity(f"this is no quantity; write a number and a unit, {forms}{_hint(text)}")
    number = Decimal(match["number"])
    unit = match["unit"]
    if unit in _BINARY:
        return number * _BINARY[unit]
    exponent = int(match["exponent"]) if match["exponent"] else _DECIMAL[unit or ""]
    return number.scaleb(exponent)


def parse_bytes(value: str | int | float, minimum: int = 1, maximum: int = 1 << 60) -> int:
    """Whole bytes within the limits given. Raises BadQuantity."""
    number = parse(value)
    if not minimum <= number <= maximum:
        said = f"which is {number:,f} bytes; " if re.fullmatch(r"[+-]?[0-9.]+m?", str(value)) else ""
        raise BadQuantity(f"{said}expected {format_bytes(minimum)} to {format_bytes(maximum)}, {BYTES_FORMS}")
    return int(number)


def parse_cpu(value: str | int | float) -> float:
    """Processors, of which a thousandth is the least. Raises BadQuantity."""
    number = parse(value, CPU_FORMS)
    if not Decimal("0.001") <= number <= 1024:
        raise BadQuantity(f"expected 1m to 1024 processors, {CPU_FORMS}")
    return float(number)


def format_bytes(count: int) -> str:
    """The shortest exact quantity: 536870912 is 512Mi, 1000 is 1000."""
    for unit, size in reversed(_BINARY.items()):
        if count >= size and count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


def _hint(text: str) -> str:
    """What was probably meant by 512MB, 4 GiB, 10gb or 1,000."""
    match = re.fullmatch(r"\s*([0-9][0-9,_]*(?:\.[0-9]+)?)\s*([kmgtpe])?(i)?(b|bytes?)?\s*", text, re.IGNORECASE)
    if match is None:
        return ""
    number = match[1].replace(",", "").replace("_", "")
    if not match[2]:
        return f"; did you mean {number}?"
    unit = match[2].upper() + "i" if match[3] else match[2].upper().replace("K", "k")
    return f"; did you mean {number}{unit}?"
