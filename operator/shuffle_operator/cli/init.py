"""`shuffle init`: a commented job file to start from, which is valid as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

TEMPLATE = """\
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
    # sort: {{by: [{{column: ts, order: Descending, nulls: First}}, {{column: id}}]}}     global and stable

  inputs:
    - path: {input}
      # a file, a folder, a glob or an fsspec URL (s3://bucket/events/); for several: paths: [a, b]
      # format: Parquet                     by suffix where absent
      # columns: [user_id, ts, amount]      reads and writes only these
      # filter: "amount > 0 AND ts >= TIMESTAMP '2026-01-01'"
      # storage: {{endpoint: "https://minio.example.com:9000"}}

  output:
    path: {output}
    # how many files: so many exactly, or by their size (the default: 256Mi); not both
    {partitions}
    # targetPartitionSize: 256Mi
    # compression: Zstd                     Zstd | Snappy | Lz4 | Gzip | Brotli | None
    # sortWithin: [ts]                      orders the rows inside each file
    # onExisting: Fail                      Fail | Overwrite: what to do where the folder holds files

  # workers:                                chosen to fit where absent; --workers and --memory go first
  #   replicas: 4
  #   resources: {{limits: {{memory: 2Gi}}}}
"""


def init(
    file: Annotated[Path, typer.Argument(help="The file to write; - for standard output.")] = Path("job.yaml"),
    source: Annotated[str, typer.Option("--input", "-i", help="What to read: file, folder, glob or URL.")] = "input/",
    output: Annotated[str, typer.Option("--output", "-o", help="The folder to write to.")] = "output/",
    by: Annotated[list[str] | None, typer.Option("--by", help="Repartition by this column; again for more.")] = None,
    sort: Annotated[list[str] | None, typer.Option("--sort", help="Sort by this column; again for more.")] = None,
    partitions: Annotated[int | None, typer.Option("--partitions", "-p", help="How many files to write.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a commented job file to start from.

    Without --by and --sort it deals rows out to files of even size, which fits any table.
    """
    from shuffle_operator.api.document import read
    from shuffle_operator.api.problems import InvalidJob
    from shuffle_operator.api.validation import check_job

    if by and sort:
        raise typer.BadParameter("a job has one operation: give --by or --sort, not both")
    text = TEMPLATE.format(
        name=job_name(file.stem),
        operation=_operation(by or [], sort or []),
        input=word(source),
        output=word(output),
        partitions=f"partitions: {partitions}" if partitions is not None else "# partitions: 64",
    )
    try:
        check_job(read(text).value)
    except InvalidJob as error:
        # The lines of a file that is not written would only confuse.
        raise InvalidJob([problem._replace(line=None) for problem in error.problems], "the job asked for") from None
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        typer.echo(f"{file} exists already; --force replaces it", err=True)
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
    """Text as YAML: as it is where YAML takes it for a string, else in quotes."""
    from shuffle_operator.api.document import plain_scalar

    plain = re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./:@%+=~*-]*", text) and not text.endswith(":")
    if plain and isinstance(plain_scalar(text), str):
        return text
    escapes = {'"': '\\"', "\\": "\\\\"}
    inner = "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text)
    return f'"{inner}"'


def _operation(by: list[str], sort: list[str]) -> str:
    if sort:
        return f"sort: {{by: [{', '.join(f'{{column: {word(name)}}}' for name in sort)}]}}"
    if by:
        return f"repartition: {{by: [{', '.join(word(name) for name in by)}]}}"
    return "repartition: {}"
