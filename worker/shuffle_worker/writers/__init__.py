"""Output formats: record batches in, the bytes of a file out."""
