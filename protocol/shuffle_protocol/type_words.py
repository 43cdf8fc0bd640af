"""Words for types: Arrow's own, those of SQL, pandas, Spark, Polars and DuckDB that can only mean one thing, and what
to write for those that could mean several. Pure data, used by `type_syntax.py`.

Where a word is Arrow's, Arrow's meaning holds: `float` has 32 bits and `int8` one byte, whatever PostgreSQL says.
"""

from __future__ import annotations

PLAIN = (
    "null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "halffloat", "float",
    "double", "string", "large_string", "string_view", "binary", "large_binary", "binary_view", "date32", "date64",
)  # fmt: skip
"""Types without parameters, as Arrow prints them; `date32[day]` and `date64[ms]` too."""

UNITS = {
    "timestamp": ("s", "ms", "us", "ns"),
    "duration": ("s", "ms", "us", "ns"),
    "time32": ("s", "ms"),
    "time64": ("us", "ns"),
}
"""Types with a unit."""

DIGITS = {"decimal32": 9, "decimal64": 18, "decimal128": 38, "decimal256": 76}
"""Decimals, and the most digits of each."""

SAME = {
    "boolean": "bool", "logical": "bool",
    "int": "int64", "integer": "int64", "bigint": "int64", "long": "int64", "i64": "int64",
    "smallint": "int16", "short": "int16", "i16": "int16", "mediumint": "int32", "i32": "int32",
    "tinyint": "int8", "byte": "int8", "i8": "int8",
    "ubigint": "uint64", "uinteger": "uint32", "usmallint": "uint16", "utinyint": "uint8",
    "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
    "float16": "halffloat", "half": "halffloat", "f16": "halffloat",
    "float32": "float", "real": "float", "float4": "float", "f32": "float",
    "float64": "double", "float8": "double", "f64": "double", "double precision": "double",
    "str": "string", "utf8": "string", "text": "string", "varchar": "string", "char": "string", "nvarchar": "string",
    "nchar": "string", "bpchar": "string", "character": "string", "character varying": "string", "tinytext": "string",
    "mediumtext": "string", "longtext": "string", "clob": "string", "large_utf8": "large_string",
    "largeutf8": "large_string", "largestring": "large_string", "utf8_view": "string_view",
    "bytes": "binary", "blob": "binary", "bytea": "binary", "varbinary": "binary", "large_bytes": "large_binary",
    "date": "date32",
    "datetime": "timestamp[us]", "timestamp": "timestamp[us]", "timestamp_ntz": "timestamp[us]",
    "timestamp without time zone": "timestamp[us]", "datetime2": "timestamp[us]", "smalldatetime": "timestamp[us]",
    "timestamp_s": "timestamp[s]", "timestamp_ms": "timestamp[ms]", "timestamp_us": "timestamp[us]",
    "timestamp_ns": "timestamp[ns]",
    "timestamptz": "timestamp[us, tz=UTC]", "timestamp_ltz": "timestamp[us, tz=UTC]",
    "timestamp with time zone": "timestamp[us, tz=UTC]", "timestamp with local time zone": "timestamp[us, tz=UTC]",
    "time": "time64[us]", "time without time zone": "time64[us]",
}  # fmt: skip
"""What other systems call a type that is meant beyond doubt."""

SIZED = {"varchar", "char", "nvarchar", "nchar", "bpchar", "character", "character varying", "varbinary"}
"""Words that may have a length, as in varchar(20), which means nothing here."""

INSTEAD = {
    "object": "string", "json": "string", "jsonb": "string", "xml": "string", "variant": "string",
    "uuid": "string, or fixed_size_binary[16]", "enum": "dictionary<values=string, indices=int32>",
    "category": "dictionary<values=string, indices=int32>",
    "categorical": "dictionary<values=string, indices=int32>",
    "bit": "bool", "serial": "int32", "bigserial": "int64", "hugeint": "decimal128(38, 0)",
    "uhugeint": "decimal256(39, 0)", "int128": "decimal128(38, 0)", "number": "decimal128(38, 0), or double",
    "money": "decimal128(18, 2)", "decimal": "decimal128(18, 2), with its digits in all and after the point",
    "numeric": "decimal128(18, 2), with its digits in all and after the point",
    "interval": "duration[us]", "timedelta": "duration[us]", "timedelta64": "duration[us]", "duration": "duration[us]",
    "time32": "time32[s], or time32[ms]", "time64": "time64[us], or time64[ns]", "timetz": "time64[us]",
    "datetime64": "timestamp[us]", "list": "list<string>", "array": "list<string>", "row": "struct<a: int64>",
    "record": "struct<a: int64>", "struct": "struct<a: int64>", "map": "map<string, int64>",
    "dictionary": "dictionary<values=string, indices=int32>", "fixed_size_list": "fixed_size_list<double>[3]",
    "fixed_size_binary": "fixed_size_binary[16]", "number_integer": "int64", "any": "string", "unknown": "string",
}  # fmt: skip
"""What to write for a word that says too little, or that no type here stands for."""

EXAMPLES = "int64, double, string, date32, timestamp[us, tz=UTC], decimal128(10, 2), list<string>"
