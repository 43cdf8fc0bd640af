"""Spark in local mode: one process, a thread a core. Needs Java 17 or later on the path.

Memory: 2 GB by default, the heap gets what the JVM's own needs and Python leave. Adaptive execution is on, as Spark has
it by default, but it may not make fewer files than were asked for, nor broadcast the side table.
"""

from __future__ import annotations

from benchmarks.engines.base import GB, SEED, Engine, Task, main, program

ENGINE = Engine(
    "spark",
    2 * GB,
    program("benchmarks.engines.spark_local"),
    "requirements-spark.txt",
    ("pyspark",),
    workloads=("repartition", "sort", "join", "groupBy", "random", "newest"),
)
OUTSIDE_HEAP = 450
"""Megabytes of the JVM beside its heap, and of Python."""


def run(task: Task) -> None:
    from pyspark.sql import SparkSession  # type: ignore[import-not-found, unused-ignore]
    from pyspark.sql import functions as of  # type: ignore[import-not-found, unused-ignore]

    heap = int((task.memory // 1_000_000 - OUTSIDE_HEAP) * 0.85)
    builder = SparkSession.builder.master(f"local[{task.cores}]")
    for name, value in {
        "spark.driver.memory": f"{heap}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": task.scratch,
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": str(task.files),
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        "spark.sql.autoBroadcastJoinThreshold": "-1",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "snappy",
        "spark.sql.warehouse.dir": f"{task.scratch}/warehouse",
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    table = session.read.parquet(task.input)
    if task.workload == "repartition":
        table = table.repartition(task.files, "id")
    elif task.workload == "join":
        table = table.join(session.read.parquet(task.side), "id")
    elif task.workload == "groupBy":
        table = table.groupBy("id").agg(of.sum("x").alias("sx"), of.avg("y").alias("my"), of.count("*").alias("n"))
    elif task.workload == "random":
        table = table.orderBy(of.rand(SEED))
    elif task.workload == "newest":
        newest = of.max_by(of.struct(*table.columns), "timestamp").alias("row")
        table = table.groupBy("id").agg(newest).select("row.*")
    else:
        table = table.orderBy("timestamp")
    table.write.parquet(task.output)
    session.stop()


if __name__ == "__main__":
    main(run)
