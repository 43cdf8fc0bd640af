"""What other systems call the values of this API's enumerations: for "did you mean", never for reading.

A job file must mean the same to `shuffle run` and to `kubectl apply`, and the API server takes no other spelling than
the schema's. So `zstd`, `desc` and `left outer` are corrected, not accepted. A word stands for the first of its
meanings that the field at hand has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shuffle_operator.api.problems import nearest

_MEANINGS: dict[str, tuple[str, ...]] = {
    "Ascending": ("asc", "ascend", "up", "increasing"),
    "Descending": ("desc", "descend", "down", "decreasing", "reverse"),
    "Zstd": ("zst", "zstandard"),
    "Gzip": ("gz", "zlib", "deflate"),
    "Lz4": ("lz4raw", "lz4frame", "lz4block"),
    "Brotli": ("br",),
    "Snappy": ("snz",),
    "None": ("no", "off", "false", "null", "none", "uncompressed", "plain", "raw", "identity", "nocompression"),
    "Parquet": ("pq", "pqt", "parq"),
    "CSV": ("tsv", "txt", "delimited", "separated"),
    "JSON": ("ndjson", "jsonl", "jsonlines", "ldjson"),
    "Feather": ("arrow", "ipc", "arrows", "arrowipc", "feather2", "featherv2"),
    "Zarr": ("zarr2", "zarr3", "zarrv2", "zarrv3"),
    "V2": ("2", "zarr2", "zarrv2"),
    "V3": ("3", "zarr3", "zarrv3"),
    "Full": ("outer", "fullouter"),
    "Left": ("leftouter",),
    "Right": ("rightouter",),
    "LeftSemi": ("semi", "exists", "in"),
    "LeftAnti": ("anti", "except", "notin", "notexists"),
    "RightSemi": ("rightexists", "rightin"),
    "RightAnti": ("rightexcept", "rightnotin", "rightnotexists"),
    "Cross": ("product", "cartesian", "crossproduct", "cartesianproduct", "all"),
    "AsOf": ("asofjoin", "pointintime", "mergeasof"),
    "Backward": ("before", "previous", "prior", "past", "lookback"),
    "Forward": ("after", "next", "following", "future"),
    "Nearest": ("closest", "both"),
    "Fail": ("error", "errorifexists", "refuse", "abort", "raise", "no", "false"),
    "Overwrite": ("replace", "truncate", "force", "yes", "true"),
    "First": ("top", "start", "begin", "true"),
    "Last": ("bottom", "end", "false"),
    "Keep": ("true", "yes", "include"),
    "Drop": ("false", "no", "exclude", "ignore", "remove"),
    "mean": ("avg", "average"),
    "stddev": ("std", "sd", "stdev", "stddevsamp", "standarddeviation"),
    "variance": ("var", "varsamp", "varianceof"),
    "skew": ("skewness",),
    "corr": ("correlation", "pearson"),
    "countDistinct": ("nunique", "distinct", "unique", "distinctcount"),
    "approxCountDistinct": ("approxnunique", "approxdistinct", "hll", "approxunique"),
    "quantile": ("percentile", "percentilecont", "quantilecont"),
    "approxQuantile": ("approxpercentile", "percentileapprox", "tdigest"),
    "largest": ("nlargest", "topk", "topn", "top", "maxn"),
    "smallest": ("nsmallest", "bottomk", "minn"),
    "list": ("collect", "collectlist", "arrayagg", "implode", "tolist"),
    "any": ("boolor", "some", "or"),
    "all": ("booland", "every", "and"),
    "size": ("len", "length", "rows", "nrows", "countstar", "countrows"),
    "sum": ("total", "add"),
    "min": ("minimum", "least", "lowest"),
    "max": ("maximum", "greatest", "highest"),
    "PeerToPeer": ("p2p", "peer", "direct", "network", "http"),
    "ObjectStore": ("s3", "store", "object", "objectstorage"),
    "Hilbert": ("hilbertcurve", "hilbertorder"),
    "ZOrder": ("z", "morton", "zcurve", "zorderby", "interleaved"),
    "Group": ("key",),
    "Partition": ("file",),
    "Memory": ("ram", "tmpfs"),
    "Cpu": ("processor",),
    "Gpu": ("cuda", "nvidia"),
}


def meant(word: str, options: Sequence[str]) -> str | None:
    """The option that a word probably means: another spelling of it, another system's word, or one close to it."""
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    folded = {option.lower(): option for option in options}
    if plain in folded:
        return folded[plain]
    for option in options:
        if plain in _MEANINGS.get(option, ()):
            return option
    return nearest(word, options)
