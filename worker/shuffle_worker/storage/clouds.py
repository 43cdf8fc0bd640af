"""Google Cloud Storage (`gs://bucket/key`) and Azure Blob Storage (`abfs://container/key`), through gcsfs and adlfs.

Neither is installed with this package: `pip install 'shuffle-operator[gcs]'` or `[azure]`. Credentials come from the
environment, where the tools of either cloud find them too. Both stores show an object only when it is whole, so a sink
writes under the file's own name, and nothing is copied or renamed.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import time
from typing import Any, NamedTuple

from shuffle_protocol.errors import AccessDenied, InputNotFound, InvalidSpec, OutOfDisk, StorageUnavailable
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import urls
from shuffle_worker.storage.failures import failure, said
from shuffle_worker.storage.hashing import HashingSink
from shuffle_worker.storage.remote import FsspecStorage
from shuffle_worker.storage.retry import Transient
from shuffle_worker.storage.storage import Sink

_GRPC = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
"""Makes gcsfs ask for a bucket's kind by gRPC first, which takes a second protocol, 40 MiB, and a server that knows it.
gcsfs reads it when it is imported."""

COPY_SECONDS = 600.0
"""Seconds that Azure may take to copy an object within an account, which it does in the background."""


class Cloud(NamedTuple):
    """A cloud whose store needs an extra of this package."""

    name: str
    extra: str
    """The extra's name."""
    credentials: str
    """How to give it credentials, for messages."""
    options: tuple[str, ...]
    """The keys that `storage.options` may have."""


GOOGLE = Cloud(
    "Google Cloud Storage",
    "gcs",
    "set GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key, run `gcloud auth application-default "
    "login`, or set storage.options.token: anon for a public bucket",
    ("token", "project", "requester_pays", "timeout", "session_kwargs", "default_location"),
)
MICROSOFT = Cloud(
    "Azure Blob Storage",
    "azure",
    "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or a client's "
    "AZURE_STORAGE_CLIENT_ID, _CLIENT_SECRET and _TENANT_ID, or set AZURE_STORAGE_CONNECTION_STRING; or "
    "storage.options.anon: true for a public container",
    (
        "account_name", "account_key", "sas_token", "connection_string", "client_id", "client_secret", "tenant_id",
        "anon", "account_host", "timeout", "connection_timeout", "read_timeout", "location_mode", "max_concurrency",
    ),
)  # fmt: skip

_REFUSED = {401, 403}
_BUSY = {408, 429, 500, 502, 503, 504}
_FULL = {507}
_SIGNED_OUT = ("DefaultCredentialsError", "RefreshError", "ClientAuthenticationError", "CredentialUnavailableError")
_SILENT = (
    "ServiceRequestError",
    "ServiceResponseError",
    "ClientConnectorError",
    "ClientConnectionError",
    "FSTimeoutError",
)


class CloudStorage(FsspecStorage):
    """What the two have in common."""

    cloud: Cloud

    def create(self, path: str) -> Sink:
        return CloudSink(self, self._canonical(path))

    def _options(self) -> dict[str, Any]:
        """Arguments of the fsspec file system. Raises InvalidSpec."""
        for name in self.settings.options:
            if name not in self.cloud.options:
                near = difflib.get_close_matches(name, self.cloud.options, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.cloud.options)}"
                raise InvalidSpec(f"storage.options.{name}: is no option of {self.scheme}://; {hint}")
        endpoint = self.settings.endpoint
        if endpoint and not re.match(r"^https?://[^/\s]+", endpoint):
            raise InvalidSpec(
                f"storage.endpoint: {endpoint} is no address; write it as https://host or http://host:4443"
            )
        return dict(self.settings.options)

    def _connect(self) -> Any:
        import fsspec  # type: ignore[import-untyped]

        options = self._options()
        os.environ.setdefault(_GRPC, "false")
        try:
            return fsspec.filesystem(self.scheme, use_listings_cache=False, skip_instance_cache=True, **options)
        except ImportError as error:
            raise InvalidSpec(
                f"{self.scheme}:// ({self.cloud.name}) needs a package that is not installed: pip install "
                f"'shuffle-operator[{self.cloud.extra}]' ({said(error)})"
            ) from error
        except Exception as error:
            raise self._translate(f"{self.scheme}://", "connecting to", error) from error

    def _translate(self, path: str, doing: str, error: Exception) -> Exception:
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & set(_SIGNED_OUT) or (isinstance(error, ValueError) and "account" in str(error)):
            return AccessDenied(f"{path}: no credentials that {self.cloud.name} takes: {self.cloud.credentials}")
        code = _code(error)
        if code in _REFUSED:
            return AccessDenied(
                f"{doing} {path}: {self.cloud.name} refused ({code}): the credentials have no right to do this, or are "
                f"wrong; {self.cloud.credentials}"
            )
        if code == 404:
            return InputNotFound(f"{path}: no such file, or no such bucket or container")
        if code in _FULL:
            return OutOfDisk(f"{doing} {path}: {self.cloud.name} has no room left ({code}): {said(error)}")
        if code in _BUSY:
            return Transient(StorageUnavailable(f"{doing} {path}: {self.cloud.name} is busy or failing: {said(error)}"))
        if names & set(_SILENT):
            return Transient(StorageUnavailable(f"{doing} {path}: {self._place()} does not answer: {said(error)}"))
        if isinstance(error, TypeError | ValueError) and doing == "connecting to":
            return InvalidSpec(f"storage.options: do not fit {self.scheme}: {said(error)}")
        return super()._translate(path, doing, error)

    def _place(self) -> str:
        return self.settings.endpoint or self.cloud.name


class GoogleStorage(CloudStorage):
    cloud = GOOGLE

    def __init__(self, settings: StorageOptions) -> None:
        super().__init__(urls.GCS[0], settings)

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        if self.settings.endpoint:
            options["endpoint_url"] = self.settings.endpoint.rstrip("/")
        return options


class AzureStorage(CloudStorage):
    """host: the server that the address names, `account.dfs.core.windows.net`; "" if it names none."""

    cloud = MICROSOFT

    def __init__(self, settings: StorageOptions, host: str = "") -> None:
        super().__init__(urls.AZURE[0], settings)
        self._host = host

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        if self._host:
            options.setdefault("account_name", self._host.partition(".")[0])
        if self.settings.endpoint:
            options["connection_string"] = _connection(self.settings.endpoint, options)
        return options

    def _copy(self, fs: Any, source: str, target: str) -> None:
        """Azure copies in the background, and may answer before it is done."""
        fs.cp_file(source, target)
        end = time.monotonic() + COPY_SECONDS
        wanted = fs.info(source)["size"]
        while fs.info(target)["size"] != wanted:
            if time.monotonic() > end:
                raise StorageUnavailable(f"writing {target}: {self.cloud.name} did not end the copy in time")
            time.sleep(0.2)


class CloudSink(HashingSink):
    """Writes a file in blocks, of which `commit` makes an object. Memory: one block of the file system."""

    def __init__(self, storage: CloudStorage, path: str) -> None:
        super().__init__(path)
        self._storage = storage
        self._file = storage.run(path, "writing", lambda fs: fs.open(path, "wb"))

    def _write(self, data: memoryview) -> None:
        try:
            self._file.write(data)
        except Exception as error:
            self.abort()
            raise self._said(error) from error

    def commit(self) -> None:
        if self._over:
            return
        try:
            self._file.close()
        except Exception as error:
            self.abort()
            raise self._said(error) from error
        self._over = True

    def abort(self) -> None:
        if self._over:
            return
        self._over = True
        with contextlib.suppress(Exception):
            self._file.discard()
        self._file.closed = True  # so that its destructor makes no object of the blocks

    def _said(self, error: Exception) -> Exception:
        found = self._storage._translate(self.path, "writing", error)
        return found.final if isinstance(found, Transient) else failure(self.path, "writing", found)


def _code(error: BaseException) -> int:
    for name in ("status_code", "code", "status"):
        found = getattr(error, name, None)
        if isinstance(found, int) or (isinstance(found, str) and found.isdecimal()):
            return int(found)
    return 0


def _connection(endpoint: str, options: dict[str, Any]) -> str:
    """The connection string for a server that speaks Azure's protocol (Azurite). Its address ends with the account."""
    account = options.pop("account_name", None) or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    account = account or endpoint.rstrip("/").rsplit("/", 1)[-1]
    key = options.pop("account_key", None) or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY", "")
    parts = {
        "DefaultEndpointsProtocol": endpoint.partition("://")[0],
        "AccountName": account,
        "AccountKey": key,
        "BlobEndpoint": endpoint.rstrip("/"),
    }
    return ";".join(f"{name}={value}" for name, value in parts.items())
