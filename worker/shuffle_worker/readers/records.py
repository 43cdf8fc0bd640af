"""Where records of text end: the boundaries at which a file of lines or of CSV can be cut, without reading the rest.

Two questions, with different answers to trust:

    last_end   in bytes that begin at a record: the end of the last whole record. Exact.
    guess      in bytes that begin anywhere: where the next record begins. For lines exact; for CSV a line break may lie
               inside of quotes, and whether the bytes began inside of quotes is concluded from what stands beside the
               next quotes (a quote that follows neither a delimiter nor a line break does not open a value).

A line breaks at LF, at CR, or at the two together, as Arrow's parsers have it; a CR that is the last byte of data may
yet be half of a break, so nothing is cut behind it.

The guess is proved when the part before it is read: that one knows, from its own exact beginning, whether a quote is
open where the next part was guessed to begin. As every part is read and the first one begins exactly, no wrong guess
remains undetected; see `TextSource`. Pure: bytes in, offsets out.
"""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np

NEWLINE = b"\n"
RETURN = b"\r"
BREAK = re.compile(rb"\r\n?|\n")


def behind_last_break(data: bytes, end: int) -> int:
    """Where the last line break of the first `end` bytes ends; 0 where there is none."""
    line = data.rfind(NEWLINE, 0, end)
    at = data.rfind(RETURN, line + 1, end)
    if at == len(data) - 1:
        at = data.rfind(RETURN, line + 1, at)
    return max(at, line) + 1


def behind_next_break(data: bytes, begin: int, whole: bool) -> int | None:
    """Where the first line break from `begin` on ends; None where there is none, or its end is not seen."""
    line = data.find(NEWLINE, begin)
    at = data.find(RETURN, begin, line if line >= 0 else len(data))
    if at < 0 or at == line - 1:
        return line + 1 if line >= 0 else None
    return None if at == len(data) - 1 and not whole else at + 1


class Breaks:
    """Counts the line breaks of data that is given piece by piece."""

    def __init__(self) -> None:
        self.count = 0
        self._half = False

    def add(self, data: bytes) -> None:
        if not data:
            return
        self.count += data.count(NEWLINE)
        returns = data.count(RETURN)
        if returns:
            self.count += returns - data.count(b"\r\n")
        if self._half and data.startswith(NEWLINE):
            self.count -= 1
        self._half = data.endswith(RETURN)


def line_breaks(data: bytes) -> int:
    breaks = Breaks()
    breaks.add(data)
    return breaks.count


class Records(Protocol):
    """The records of a text format, in ranges of a file."""

    splittable: bool
    """Whether `guess` may be asked at all."""

    def last_end(self, data: bytes) -> int:
        """data begins at a record: how many of its bytes are whole records, each with its line break."""
        ...

    def ends(self, data: bytes) -> list[int]:
        """data begins at a record: where each of its whole records ends."""
        ...

    def guess(self, data: bytes, whole: bool) -> int | None:
        """The offset of the first record that begins after the first byte of data. whole: data goes to the end of the
        file. None where only more bytes would show it."""
        ...

    def closed(self, data: bytes) -> bool:
        """data begins at a record and is to end with one: whether no quote is open at its end."""
        ...


class Lines:
    """One record a line, wherever it breaks."""

    splittable = True

    def last_end(self, data: bytes) -> int:
        return behind_last_break(data, len(data))

    def ends(self, data: bytes) -> list[int]:
        return [found.end() for found in BREAK.finditer(data)]

    def guess(self, data: bytes, whole: bool) -> int | None:
        found = behind_next_break(data, 0, whole)
        return len(data) if found is None and whole else found

    def closed(self, data: bytes) -> bool:  # noqa: ARG002
        return True


class Quoted:
    """CSV: values may be in quotes, a quote in a quoted value is written twice, and line breaks in quotes are part of
    the value. A quote inside of an unquoted value is a character like any other, as Arrow has it.

    escape: the character that takes the meaning from the one after it; such files are not cut."""

    def __init__(self, delimiter: bytes, quote: bytes, escape: bytes = b"", splittable: bool = True) -> None:
        self.splittable = splittable and not escape
        self._quote = quote
        self._escape = escape
        self._apart = {delimiter[0], 10, 13}
        stops = (NEWLINE, RETURN, delimiter, escape)
        self._stops = re.compile(b"[" + b"".join(re.escape(stop) for stop in stops) + b"]")

    def last_end(self, data: bytes) -> int:
        if self._quote not in data and not self._escape:
            return behind_last_break(data, len(data))
        quotes = self._regular(data)
        if quotes is None:
            ends, _ = self._scan(data)
            half = bool(ends) and ends[-1] == len(data) and data.endswith(RETURN)
            return ([0, *ends][-2] if half else ends[-1]) if ends else 0
        at = behind_last_break(data, int(quotes[-1]) if len(quotes) % 2 else len(data))
        while at > 0:
            before = int(np.searchsorted(quotes, at - 1))
            if before % 2 == 0:
                return at
            at = behind_last_break(data, int(quotes[before - 1]))
        return 0

    def ends(self, data: bytes) -> list[int]:
        return self._scan(data)[0]

    def closed(self, data: bytes) -> bool:
        if self._quote not in data and not self._escape:
            return True
        quotes = self._regular(data)
        return self._scan(data)[1] if quotes is None else len(quotes) % 2 == 0

    def guess(self, data: bytes, whole: bool) -> int | None:
        inside = self._begins_inside(data, whole)
        if inside is None:
            return None
        at, quoted = 0, inside
        while True:
            quote = data.find(self._quote, at)
            if not quoted:
                found = behind_next_break(data, at, whole)
                if found is not None and (quote < 0 or found <= quote):
                    return found
            if quote < 0:
                return len(data) if whole else None
            at, quoted = quote + 1, not quoted

    def _begins_inside(self, data: bytes, whole: bool) -> bool | None:
        """Whether the first byte is in quotes, by the first quotes that leave no doubt."""
        before = 0  # quotes seen
        at = data.find(self._quote)
        while at >= 0:
            end = at + 1
            while data[end : end + 1] == self._quote:
                end += 1
            if end == len(data) and not whole:
                break
            count = end - at
            opens = at > 0 and data[at - 1] in self._apart
            closes = end == len(data) or data[end] in self._apart
            if at > 0:
                if count % 2 == 0 and not (opens and closes):
                    return before % 2 == 0  # written twice inside of a value: quotes are open here
                if count % 2 and opens != closes:
                    return (before % 2 == 0) if closes else (before % 2 == 1)
                if count % 2 and not opens and not closes:
                    count = 0  # a character of an unquoted value
            before += count
            at = data.find(self._quote, end)
        if whole:
            return before % 2 == 1
        return False if len(data) >= FAR else None

    def _regular(self, data: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
        """The places of all quotes, where each of them opens, closes or doubles, so that counting tells which bytes are
        in quotes; None where one stands for itself, or there are escapes."""
        if self._escape and self._escape in data:
            return None
        raw = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(raw == self._quote[0])
        if not len(quotes):
            return quotes
        opening, closing = quotes[0::2], quotes[1::2]
        following = closing[closing + 1 < len(raw)]
        ends_well = np.isin(raw[following + 1], [*self._apart, self._quote[0]]).all()
        behind = opening[opening > 0]
        begins_well = np.isin(raw[behind - 1], [*self._apart, self._quote[0]]).all()
        if not (ends_well and begins_well):
            return None
        # a quote before an opening one must be the closing one before it: it is, because quotes alternate
        return quotes

    def _scan(self, data: bytes) -> tuple[list[int], bool]:
        """Value by value: where records end, and whether no quote is open at the end of data."""
        quote, escape = self._quote, self._escape
        ends: list[int] = []
        at, size = 0, len(data)
        while at < size:
            if data[at : at + 1] == quote:
                at = self._behind_quotes(data, at + 1)
                if at < 0:
                    return ends, False
            found = self._stops.search(data, at)
            while found is not None and escape and found.group() == escape:
                found = self._stops.search(data, found.end() + 1)
            if found is None:
                break
            stop, at = found.start(), found.end()
            if data[stop : stop + 1] == RETURN and data[at : at + 1] == NEWLINE:
                at += 1
            if data[stop : stop + 1] in (NEWLINE, RETURN):
                ends.append(at)
        return ends, True

    def _behind_quotes(self, data: bytes, at: int) -> int:
        """Where the quoted value ends whose first byte is at `at`, behind its closing quote; -1 where it has none."""
        quote, escape = self._quote, self._escape
        while True:
            close = data.find(quote, at)
            skip = data.find(escape, at, close if close >= 0 else len(data)) if escape else -1
            if skip >= 0:
                at = skip + 2
            elif close < 0:
                return -1
            elif data[close + 1 : close + 2] == quote:
                at = close + 2
            else:
                return close + 1


FAR = 1 << 20
"""Bytes without a quote that leaves no doubt, from which on it is taken that none is open."""
