"""Which cluster is meant, and who asks: the service account inside of a cluster, the kubeconfig outside of it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from yaml import YAMLError

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class NoLogin(Exception):
    """There is no cluster to log in to, or no client to do it with. reason: NoCluster, NoClient."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _WrongField(Exception):
    """The message says which, and why."""


async def log_in(context: str | None) -> tuple[Any, str]:
    """The official client, and the namespace that is meant where none is named: the context's, or the service
    account's own. context: of the kubeconfig. Raises NoLogin, whatever the kubeconfig holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from kubernetes.aio.client import ApiClient, Configuration
            from kubernetes.aio.config import ConfigException, load_incluster_config
        except ImportError as error:
            text = "the package kubernetes is not installed: pip install 'shuffle-operator[kubernetes]'"
            raise NoLogin("NoClient", text) from error
    configuration = Configuration()
    account = Path(SERVICE_ACCOUNT)
    inside = context is None and not os.environ.get("KUBECONFIG") and (account / "token").exists()
    try:
        if inside:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            namespace = (account / "namespace").read_text().strip()
        else:
            namespace = await _of_kubeconfig(context, configuration)
        return ApiClient(configuration), namespace or "default"
    except (ConfigException, OSError) as error:
        raise NoLogin("NoCluster", f"no cluster is configured: {error}") from error
    except Exception as error:  # the client looks into a file of another shape, and raises what Python does
        if inside:
            raise
        text = f"no cluster is configured: {_place()} is not a kubeconfig that can be used: {_said(error)}"
        raise NoLogin("NoCluster", text) from error


async def _of_kubeconfig(context: str | None, configuration: Any) -> str:
    """Returns the context's namespace; "" where it names none."""
    from kubernetes.aio.config import load_kube_config

    # The client itself looks at the variable once, when it is imported; and of no file it says which key is missing.
    place = _place()
    if not _is_there(place):
        raise FileNotFoundError(f"there is no kubeconfig at {place}; KUBECONFIG says where one is")
    loader = await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=place, context=context, client_configuration=configuration
    )
    namespace = (loader.current_context.get("context") or {}).get("namespace") or ""
    texts = {
        "server": configuration.host or None,
        "namespace": namespace,
        "proxy-url": getattr(configuration, "proxy", None) or "",
        "tls-server-name": getattr(configuration, "tls_server_name", None) or "",
    }
    for field, found in texts.items():
        if not isinstance(found, str):
            raise _WrongField(f"{field} is {found!r}, not a text" if found is not None else f"it has no {field}")
    return str(namespace)


def _place() -> str:
    return os.environ.get("KUBECONFIG") or "~/.kube/config"


def _is_there(place: str) -> bool:
    """place: several files where the variable names several; one that is there will do, as for kubectl."""
    return any(Path(one).expanduser().exists() for one in place.split(os.pathsep) if one)


def _said(error: Exception) -> str:
    """What is wrong with it. Python's own words for a value of another kind say nothing to its owner."""
    if isinstance(error, YAMLError | UnicodeDecodeError | _WrongField):
        return " ".join(str(error).split())[:300]
    return "its clusters, contexts or users do not have the fields that they need"
