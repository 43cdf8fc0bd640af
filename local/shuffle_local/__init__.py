"""On one machine: the program `shuffle`, jobs that run here, the plan that `explain` shows. May know all the others."""
