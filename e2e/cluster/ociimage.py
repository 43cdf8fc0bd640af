#!/usr/bin/env python3
"""Writes an OCI image archive from plain tar layers; no daemon, no registry.

    python3 ociimage.py --name REPO:TAG --out IMAGE.tar --layer A.tar [--layer B.tar ...]
                [--env K=V ...] [--entrypoint JSON] [--cmd JSON]
                [--user UID:GID] [--workdir DIR] [--label K=V ...]

Layers are stored as they are, uncompressed: import is bound by disk, and equal
layers keep equal digests, so `ctr images import` unpacks only changed ones.
"""

import argparse
import hashlib
import io
import json
import pathlib
import tarfile


def blob(archive, data):
    """Add bytes as a blob; returns its descriptor."""
    digest = hashlib.sha256(data).hexdigest()
    info = tarfile.TarInfo(f"blobs/sha256/{digest}")
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
    return {"digest": f"sha256:{digest}", "size": len(data)}


def blob_file(archive, path):
    """Add a file as a blob; returns its descriptor."""
    with pathlib.Path(path).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        info = tarfile.TarInfo(f"blobs/sha256/{digest}")
        info.size = stream.tell()
        stream.seek(0)
        archive.addfile(info, stream)
    return {"digest": f"sha256:{digest}", "size": info.size}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--layer", action="append", required=True)
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--entrypoint", type=json.loads)
    parser.add_argument("--cmd", type=json.loads)
    parser.add_argument("--user")
    parser.add_argument("--workdir")
    args = parser.parse_args()

    runtime = {
        "Env": args.env,
        "Entrypoint": args.entrypoint,
        "Cmd": args.cmd,
        "User": args.user,
        "WorkingDir": args.workdir,
        "Labels": dict(item.split("=", 1) for item in args.label),
    }
    oci = "application/vnd.oci.image"
    with tarfile.open(args.out, "w") as archive:
        layers = [{"mediaType": f"{oci}.layer.v1.tar", **blob_file(archive, path)} for path in args.layer]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {k: v for k, v in runtime.items() if v},
            "rootfs": {"type": "layers", "diff_ids": [x["digest"] for x in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{oci}.manifest.v1+json",
            "config": {
                "mediaType": f"{oci}.config.v1+json",
                **blob(archive, json.dumps(config).encode()),
            },
            "layers": layers,
        }
        index = {
            "schemaVersion": 2,
            "manifests": [
                {
                    "mediaType": f"{oci}.manifest.v1+json",
                    **blob(archive, json.dumps(manifest).encode()),
                    "annotations": {
                        "io.containerd.image.name": args.name,
                        "org.opencontainers.image.ref.name": args.name.rpartition(":")[2],
                    },
                    "platform": {"architecture": "amd64", "os": "linux"},
                }
            ],
        }
        for name, content in (
            ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
            ("index.json", index),
        ):
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main()
