# One image for the operator and its workers. It runs as uid 10001 with a read-only root file system (only /tmp, and a
# worker's scratch, are written to), as the Pod Security Standard `restricted` wants it.
#
#   docker build -t shuffle-operator:0.1.0 .
#
# e2e/cluster/image.sh makes the same image without a container engine; keep user, environment and command alike.
ARG PYTHON=python:3.11-slim-bookworm

# hadolint ignore=DL3006
FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY worker worker
COPY operator operator
COPY local local
# The locked versions; compiled now, for nothing can be written later.
RUN python -m venv /opt/shuffle \
    && /opt/shuffle/bin/pip install --constraint constraints.txt '.[kubernetes,zarr]' \
    && /opt/shuffle/bin/pip uninstall --yes pip \
    && rm -rf /opt/shuffle/lib/python*/site-packages/pyarrow/include /opt/shuffle/lib/python*/site-packages/*/tests \
    && python -m compileall -q /opt/shuffle

# hadolint ignore=DL3006
FROM ${PYTHON}
RUN groupadd --gid 10001 app && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin app
COPY --from=build /opt/shuffle /opt/shuffle
ENV PATH=/opt/shuffle/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "shuffle_operator"]
