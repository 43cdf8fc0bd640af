# One image for the operator and its workers, made of a wheel: `make image`. It runs as uid 10001 with a read-only root
# file system (only /tmp, and a worker's scratch, are written to), as the Pod Security Standard `restricted` wants it.
#
# The base is pinned by the digest of its index, which has every platform; .github/dependabot.yml keeps it new.
# e2e/cluster/image.sh makes the same image without a container engine; keep user, environment and command alike.
FROM python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b AS base

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY requirements-image.txt tools/release/slim.py dist/*.whl ./
# The locked versions, by their hashes; compiled now, for nothing can be written later.
RUN python -m venv --without-pip /opt/shuffle \
    && pip --python /opt/shuffle install --no-compile --require-hashes --requirement requirements-image.txt \
    && pip --python /opt/shuffle install --no-compile --no-deps ./*.whl \
    && python slim.py /opt/shuffle/lib/python3.11/site-packages \
    && python -m compileall -q /opt/shuffle

FROM base
RUN pip uninstall --yes --quiet pip setuptools wheel \
    && groupadd --gid 10001 app \
    && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin app
COPY --from=build /opt/shuffle /opt/shuffle
ENV PATH=/opt/shuffle/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "shuffle_operator"]
