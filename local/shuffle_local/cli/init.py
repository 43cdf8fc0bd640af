"""`shuffle init`: a commented job file to start from, which is valid as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

TABLES = """\
# A shuffle job. `shuffle validate` checks it, `shuffle run` carries it out on this machine. Lines that begin with a #
# are optional: take the # away to use them. docs/reference/shufflejob.md and `kubectl explain shufflejob.spec`
# describe every field.
apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata:
  name: {name}
spec:
  # What is done: exactly one operation.
  operation:
    {operation}
    # repartition: {{by: [user_id]}}          rows with the same user_id in the same file (by hash)
    # repartition: {{range: [ts]}}            each file a range of ts, files in ascending order
    # repartition: {{}}                       rows dealt out in turn: files of even size
    # repartition: {{random: {{seed: 1}}}}      every row at a random place; another seed, another order
    # sort: {{by: [{{column: ts, order: Descending, nulls: First}}, {{column: id}}]}}     global and stable
    # distinct: {{by: [user_id], orderBy: [{{column: ts, order: Descending}}]}}          the newest row of each user
    # cluster: {{by: [user_id, ts]}}          rows near each other in both: filters on either skip most files

  inputs:
    - path: {input}
      # a file, a folder, a glob or an fsspec URL (s3://bucket/events/); for several: paths: [a, b]
      # format: Parquet                     by suffix where absent
      # columns: [user_id, ts, amount]      reads and writes only these
      # compute: {{day: "date_trunc('day', ts)"}}     columns to compute, for keys, filter and the output
      # filter: "amount > 0 AND ts >= TIMESTAMP '2026-01-01'"
      # storage: {{endpoint: "https://minio.example.com:9000"}}

  output:
    path: {output}
    # how many files: so many exactly, or by their size (the default: 256Mi); not both
    {partitions}
    # targetPartitionSize: 256Mi
    # compression: Zstd                     Zstd | Snappy | Lz4 | Gzip | Brotli | None
    # sortWithin: [ts]                      orders the rows inside each file
    # filter: events > 100                  of the result's rows; compute and columns are there as well
    # onExisting: Fail                      Fail | Overwrite: what to do where the folder holds files

  # workers:                                chosen to fit where absent; --workers and --memory go first
  #   replicas: 4
  #   resources: {{limits: {{memory: 2Gi}}}}
"""

ARRAYS = """\
# A shuffle job on arrays. `shuffle validate` checks it, `shuffle run` carries it out on this machine. Lines that begin
# with a # are optional: take the # away to use them. docs/rechunk.md says more.
apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata:
  name: {name}
spec:
  operation:
    rechunk:
      # chunks: {{time: -1, lat: Auto}}     a length, -1 for the whole dimension, or Auto; others stay as they are
      # targetChunkSize: 64Mi             of chunks with an Auto length
      # variables: [temperature]          all where absent
      # apply: "module:function"          called for each chunk, with a halo if it needs one: docs/map-overlap.md
      # select: {{time: "0:8760"}}          positions to keep
      # zarrFormat: Keep                  Keep | V2 | V3
      compression: Keep                   # Keep | None | Zstd | Lz4 | Gzip | Blosc

  inputs:
    - path: {input}

  output:
    path: {output}
    format: Zarr
    # onExisting: Fail                    Fail | Overwrite: what to do where the folder holds a store
"""


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; - for standard output.")] = Path(
        "job.yaml"
    ),
    source: Annotated[
        str, typer.Option("--input", "-i", metavar="PATH", help="What to read: file, folder, glob or URL.")
    ] = "input/",
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="The folder to write to.")] = "output/",
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="COLUMN", help="Repartition by this column; again for more.")
    ] = None,
    sort: Annotated[
        list[str] | None, typer.Option("--sort", metavar="COLUMN", help="Sort by this column; again for more.")
    ] = None,
    partitions: Annotated[
        int | None, typer.Option("--partitions", "-p", metavar="N", help="How many files to write.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a commented job file to start from.

    Without --by and --sort it deals rows out to files of even size, which fits any table.
    """
    from shuffle_operator.api.document import read
    from shuffle_operator.api.problems import InvalidJob
    from shuffle_operator.api.resolve import unsupported
    from shuffle_operator.api.validation import check_job

    if by and sort:
        raise typer.BadParameter("a job has one operation: give --by or --sort, not both")
    for given in (source, output, *(by or []), *(sort or [])):
        if not _is_text(given):
            raise typer.BadParameter(f"{given!r} is no text in UTF-8; a job file can hold nothing else")
    arrays = is_zarr(source)
    if arrays and (by or sort or partitions is not None):
        raise typer.BadParameter(f"{source} is a Zarr store, of arrays: --by, --sort and --partitions are for tables")
    text = (ARRAYS if arrays else TABLES).format(
        name=word(job_name(file.stem)),
        operation=_operation(by or [], sort or []),
        input=word(source),
        output=word(output),
        partitions=f"partitions: {partitions}" if partitions is not None else "# partitions: 64",
    )
    try:
        problems = unsupported(check_job(read(text).value), local=False)
        if problems:
            raise InvalidJob(problems)
    except InvalidJob as error:
        # The lines of a file that is not written would only confuse.
        raise InvalidJob([problem._replace(line=None) for problem in error.problems], "the job asked for") from None
    if str(file) == "-":
        typer.echo(text.encode(), nl=False)
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        why = "is a folder; name a file" if file.is_dir() else "exists already; --force replaces it"
        typer.echo(f"{file} {why}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"{file} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"Wrote {file}. Next: shuffle validate {file}, shuffle run {file}", err=True)


def job_name(stem: str) -> str:
    """A name for the job that a file's name suggests."""
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    name = name if name[:1].isalpha() else f"job-{name}".strip("-")
    return name[:49].rstrip("-")


def word(text: str) -> str:
    """Text as YAML: as it is where every reader of YAML takes it for a string, else in quotes."""
    import yaml

    from shuffle_operator.api.document import plain_scalar

    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./:@%+=~*-]*", text) and not text.endswith(":")
    if plain and isinstance(plain_scalar(text), str) and isinstance(yaml.safe_load(text), str):
        return text
    escapes = {'"': '\\"', "\\": "\\\\"}
    inner = "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text)
    return f'"{inner}"'


def is_zarr(path: str) -> bool:
    """By its name, or by what is in it where it is a folder here."""
    from shuffle_protocol.formats import format_by_name

    if format_by_name(path.rstrip("/")) == "Zarr":
        return True
    if "://" in path:
        return False
    documents = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
    try:
        return any((Path(path) / name).is_file() for name in documents)
    except (OSError, ValueError):
        return False


def _is_text(given: str) -> bool:
    """Whether it is Unicode: what the shell hands over may be any bytes."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def _operation(by: list[str], sort: list[str]) -> str:
    if sort:
        return f"sort: {{by: [{', '.join(f'{{column: {word(name)}}}' for name in sort)}]}}"
    if by:
        return f"repartition: {{by: [{', '.join(word(name) for name in by)}]}}"
    return "repartition: {}"
