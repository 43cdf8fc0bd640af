"""A job file for tests of the command line."""

from __future__ import annotations

JOB = """apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata: {name: events}
spec:
  operation: {repartition: {}}
  inputs: [{path: in.csv}]
  output: {path: out}
"""
