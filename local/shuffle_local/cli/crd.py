"""`shuffle crd`: the resource definition that fits this version, for `shuffle crd | kubectl apply -f -`."""

from __future__ import annotations

import typer


def crd() -> None:
    """Print the CustomResourceDefinition of this version, for `shuffle crd | kubectl apply -f -`."""
    from shuffle_operator.api.schema import crd_yaml

    typer.echo(crd_yaml(), nl=False)
