"""Logs as one JSON object a line, with what every line of a worker must say: job, worker, incarnation."""

from __future__ import annotations

import logging
import sys
import time
import traceback

import msgspec


class JsonFormatter(logging.Formatter):
    def __init__(self, **fields: str | int) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields,
        }
        for name in ("lease", "epoch"):
            if hasattr(record, name):
                line[name] = str(getattr(record, name))
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(line).decode()


def log_as_json(level: str, **fields: str | int) -> None:
    """Send everything that this process logs to standard error, as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(**fields))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("aiohttp.access", "botocore", "aiobotocore", "s3fs", "fsspec"):
        logging.getLogger(name).setLevel(logging.ERROR)
