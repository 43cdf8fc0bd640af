"""The program `shuffle`: one module a command."""
