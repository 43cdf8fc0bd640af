"""`shuffle init`: a commented job file to start from, which is valid as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, NamedTuple

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
    # groupBy: {{by: [user_id], aggregations: [{{function: sum, column: amount}}]}}      one row for each user
    # window: {{by: [user_id], orderBy: [{{column: ts}}], compute: {{nr: "row_number()", before: "lag(amount)"}}}}
    # cluster: {{by: [user_id, ts]}}          rows near each other in both: filters on either skip most files
    # docs/which-operation.md says what each operation is for.
{joins}
  inputs:
    - {input}
      # a file, a folder, a glob or an fsspec URL (s3://bucket/events/); for several: paths: [a, b]
      # format: Parquet                     by suffix where absent
      # columns: [user_id, ts, amount]      reads and writes only these
      # compute: {{day: "date_trunc('day', ts)"}}     columns to compute, for keys, filter and the output
      # filter: "amount > 0 AND ts >= TIMESTAMP '2026-01-01'"
      # map: "mine:clean"                   a function of your own: rows in, rows out (docs/map.md)
      # storage: {{endpoint: "https://minio.example.com:9000"}}
{others}
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

JOINS = """\
    # of two inputs, rows beside each other where their keys agree (docs/join.md):
    # join: {{type: Left, left: {left}, right: {right}, on: [user_id]}}
    # join: {{type: Inner, left: {left}, right: {right}, on: [user_id], where: l.start <= r.ts AND r.ts < l.end}}
    # join: {{type: AsOf, left: {left}, right: {right}, on: [user_id], asOf: {{left: ts, right: ts, tolerance: 5m}}}}
    # join: {{type: Cross, left: {left}, right: {right}}}
"""

OTHERS = """\
    # Unless a join takes both, the rows of all inputs are put together: columns are matched by name (docs/union.md).
"""

ONE = """\
    # A second input, for a join or to put the rows of both together: `shuffle init --input a/ --input b/`
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


class InitOptions(NamedTuple):
    """What the options say."""

    sources: list[str]
    output: str
    by: list[str]
    sort: list[str]
    join: list[str]
    partitions: int | None


def init(  # noqa: PLR0913 - each an option
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; - for standard output.")] = Path(
        "job.yaml"
    ),
    source: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="PATH", help="What to read: file, folder, glob or URL; again for more."),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="The folder to write to.")] = "output/",
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="COLUMN", help="Repartition by this column; again for more.")
    ] = None,
    sort: Annotated[
        list[str] | None, typer.Option("--sort", metavar="COLUMN", help="Sort by this column; again for more.")
    ] = None,
    join: Annotated[
        list[str] | None,
        typer.Option("--join", metavar="COLUMN", help="Join two inputs by this column; again for more."),
    ] = None,
    partitions: Annotated[
        int | None, typer.Option("--partitions", "-p", metavar="N", help="How many files to write.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a commented job file to start from.

    Without --by, --sort and --join it deals rows out to files of even size, which fits any table. The rows of several
    inputs are put together, unless --join says otherwise.
    """
    from shuffle_operator.api.document import read
    from shuffle_operator.api.problems import InvalidJob
    from shuffle_operator.api.resolve import unsupported
    from shuffle_operator.api.validation import check_job

    asked = InitOptions(source or ["input/"], output, by or [], sort or [], join or [], partitions)
    array = _check(asked)
    text = _text(file, asked, array)
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


def _check(asked: InitOptions) -> bool:
    """Whether it is a job on arrays. Raises BadParameter where options do not go together."""
    if sum(map(bool, (asked.by, asked.sort, asked.join))) > 1:
        raise typer.BadParameter("a job has one operation: give one of --by, --sort and --join")
    for given in (*asked.sources, asked.output, *asked.by, *asked.sort, *asked.join):
        if not _is_text(given):
            raise typer.BadParameter(f"{given!r} is no text in UTF-8; a job file can hold nothing else")
    array = next((one for one in asked.sources if is_zarr(one)), None)
    if array is None:
        if asked.join and len(asked.sources) != 2:
            raise typer.BadParameter(f"--join takes two inputs, {len(asked.sources)} are given: --input a/ --input b/")
        return False
    if asked.by or asked.sort or asked.join or asked.partitions is not None:
        raise typer.BadParameter(f"{array} is a Zarr store, of arrays: --by, --sort and --partitions are for tables")
    if len(asked.sources) > 1:
        raise typer.BadParameter(f"{array} is a Zarr store, of arrays: a job takes one, without other inputs")
    return True


def _text(file: Path, asked: InitOptions, array: bool) -> str:
    names = [] if array else input_names(asked.sources)
    inputs = _inputs(asked.sources, names)
    return (ARRAYS if array else TABLES).format(
        name=word(job_name(file.stem)),
        operation=_operation(asked, names),
        input=word(asked.sources[0]) if array else inputs[0],
        others=OTHERS + "".join(f"    - {one}\n" for one in inputs[1:]) if names else ONE,
        joins=JOINS.format(left=names[0], right=names[1]) if len(names) == 2 else "",
        output=word(asked.output),
        partitions=f"partitions: {asked.partitions}" if asked.partitions is not None else "# partitions: 64",
    )


def job_name(stem: str) -> str:
    """A name for the job that a file's name suggests."""
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    name = name if name[:1].isalpha() else f"job-{name}".strip("-")
    return name[:49].rstrip("-")


def input_names(sources: list[str]) -> list[str]:
    """What a job calls several inputs: by the last parts of their paths that are no patterns. None for one input."""
    if len(sources) < 2:
        return []
    names: list[str] = []
    for source in sources:
        parts = [part for part in re.split(r"[/:]+", source) if part and not re.search(r"[*?\[]", part)]
        name = re.sub(r"[^A-Za-z0-9_]+", "_", parts[-1].split(".")[0] if parts else "").strip("_")[:50]
        name = name if re.match(r"[A-Za-z_]", name) else f"input_{name}".strip("_")
        same = sum(one == name or one.startswith(f"{name}_") for one in names)
        names.append(f"{name}_{same + 1}" if same else name)
    return names


def _inputs(sources: list[str], names: list[str]) -> list[str]:
    """Each as an item of a list."""
    if not names:
        return [f"path: {word(sources[0])}"]
    return [f"name: {word(name)}\n      path: {word(path)}" for name, path in zip(names, sources, strict=True)]


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


def _operation(asked: InitOptions, names: list[str]) -> str:
    if asked.join:
        left, right = map(word, names)
        return f"join: {{type: Left, left: {left}, right: {right}, on: [{', '.join(map(word, asked.join))}]}}"
    if asked.sort:
        return f"sort: {{by: [{', '.join(f'{{column: {word(name)}}}' for name in asked.sort)}]}}"
    if asked.by:
        return f"repartition: {{by: [{', '.join(word(name) for name in asked.by)}]}}"
    return "repartition: {}"
