"""Bytes and counts for people. Imports nothing, for the command line shows sizes without loading Arrow."""


def readable(size: float) -> str:
    """512 B, 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def counted(count: int, thing: str) -> str:
    """1 file, 1,200 files."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
