"""Whether what may be spilled has room on this worker's scratch. Asked by the plan lease of either kind of work."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from shuffle_protocol.errors import OutOfDisk
from shuffle_protocol.units import readable


class ScratchFolder(NamedTuple):
    """A worker's scratch."""

    folder: Path
    """This worker's folder."""
    share: int = 1
    """Workers whose scratch is on the same disk."""
    limit: int = 0
    """Bytes that this worker's may hold where the disk has more; 0: the disk decides."""

    def check(self, needed: int, workers: int) -> None:
        """Raises OutOfDisk before anything is moved where this worker's part of what may be spilled cannot fit."""
        here = min(self.share, workers)
        free = shutil.disk_usage(self.folder).free
        if self.limit:
            free = min(free, self.limit * here)
        here = needed * here // workers
        if here > free:
            raise OutOfDisk(
                f"workers.scratch: about {readable(here)} may be spilled to {self.folder.parent}, where "
                f"{readable(free)} are free; give it more room, more memory to the workers, or another folder"
            )
