"""An output in, on or around an input is told from their texts."""

from __future__ import annotations

import pytest

from shuffle_operator.api.paths import overlap


@pytest.mark.parametrize(
    ("source", "output", "how"),
    [
        ("s3://b/in", "s3://b/out", None),
        ("s3://b/in", "s3://b/in-2", None),
        ("s3://b/in/", "s3://b/in", "is"),
        ("s3://b/in", "S3://b//in/./", "is"),
        ("s3a://b/in", "s3://b/in", "is"),
        ("s3://b/in", "gs://b/in", None),
        ("s3://b/in", "s3://b/in/out", "is inside"),
        ("s3://b", "s3://b/out", "is inside"),
        ("s3://b/x/in", "s3://b/x", "is around"),
        ("/data/in", "file:///data/in/", "is"),
        ("data/in", "./data/in", "is"),
        ("data/in", "data/out/../in/x", "is inside"),
        (".", "out", "is inside"),
        (".", "../out", None),
        (".", "/out", None),
        ("in", "/", None),
        ("/in", "/", "is around"),
        ("/data/in/a.parquet", "/data/in", "is around"),
        ("/data/*.parquet", "/data", "is inside"),
        ("/data/*.csv", "/data", None),
        ("/data/*.parquet", "/data/out", None),
        ("/data/*", "/data/out", "is inside"),
        ("/data/*/x", "/data/out", None),
        ("/data/**", "/data/a/b/c", "is inside"),
        ("/data/**/*.parquet", "/data/a/b", "is inside"),
        ("/data/in-[0-9]", "/data/in-3", "is inside"),
        ("/data/in-[!0-9]", "/data/in-3", None),
        ("/data/in-?", "/data/in-3/x", "is inside"),
        ("/data/in/*", "/data", "is around"),
        ("/data/a[", "/data/b", None),
    ],
)
def test_overlap(source: str, output: str, how: str | None) -> None:
    assert overlap(source, output) == how
