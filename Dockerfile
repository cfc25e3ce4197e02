# One image for every service; TORPOR_SERVICE picks which one a container is (see docs/deploy.md).
# Both stages begin with the same image, so that the virtual environment finds the same Python in both. Give a digest
# for builds that must be the same next year: --build-arg PYTHON_IMAGE=docker.io/library/python:3.12-slim@sha256:...
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/torpor
WORKDIR /source

# Changes seldom, so it is a layer of its own. Wheels only: nothing is compiled, and nothing that is not hashed runs.
COPY requirements.lock ./
RUN python -m pip --python /opt/torpor/bin/python install --require-hashes --only-binary :all: -r requirements.lock

# The lock holds the build backend too; with the package built, it goes with what only it needs.
COPY pyproject.toml LICENSE ./
COPY app ./app
COPY workers ./workers
RUN python -m pip --python /opt/torpor/bin/python install --no-deps --no-build-isolation --no-index . \
    && python -m pip --python /opt/torpor/bin/python uninstall --yes \
        hatchling packaging pathspec pluggy tomlkit trove-classifiers


FROM ${PYTHON_IMAGE} AS run
LABEL org.opencontainers.image.title="torpor" org.opencontainers.image.licenses="Apache-2.0"

# The base image's pip goes as well. The user has a number, because platforms that refuse root look for one.
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
    && groupadd --gid 10001 torpor \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tasks --shell /usr/sbin/nologin torpor
COPY --from=build /opt/torpor /opt/torpor

# Nothing is written below the root: bytecode was compiled by the build, and temporary files go to shared memory,
# which a container has even where its root file system is read-only (Python takes /tmp where it can't be written).
ENV PATH=/opt/torpor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/dev/shm \
    XDG_RUNTIME_DIR=/dev/shm \
    TORPOR_HOST=0.0.0.0 \
    PORT=8080 \
    TORPOR_SERVICE=job_worker

# A derived image copies its task packages here: the current folder is looked in for them.
WORKDIR /tasks
USER 10001:10001
EXPOSE 8080

# For Docker and its like; Cloud Run has probes of its own, see terraform/services.tf.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]

# No shell in between: this becomes gunicorn itself, which therefore gets SIGTERM.
CMD ["python", "-m", "workers"]
