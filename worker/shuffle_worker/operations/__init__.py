"""What is done with the rows: the map side that makes shards, the reduce side that makes files."""
