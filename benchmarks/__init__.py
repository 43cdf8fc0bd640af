"""Measures shuffle-operator beside what people would use instead, on the same data, cores and machine.

Starts with `python -m benchmarks.run`.
"""
