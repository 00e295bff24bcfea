# Heptad with journalctl: exporter, aggregator and every other command.
ARG PYTHON=python:3.13.14-slim-trixie

FROM ${PYTHON} AS build
WORKDIR /src
RUN python -m venv /opt/heptad
COPY constraints.txt ./
RUN /opt/heptad/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
        --requirement constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY exporter exporter
COPY aggregator aggregator
COPY cli cli
COPY dashboards dashboards
# pip and hatchling are needed only for the build
RUN /opt/heptad/bin/pip install --no-cache-dir --no-deps --no-build-isolation '.[all]' \
    && /opt/heptad/bin/pip uninstall --yes hatchling editables packaging pathspec pluggy tomlkit \
        trove-classifiers pip

FROM ${PYTHON}
# systemd contains journalctl, tzdata the time zones for timestamps without one
RUN apt-get update \
    && apt-get install --yes --no-install-recommends systemd tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && pip uninstall --yes --root-user-action ignore pip \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin heptad \
    && install --directory --mode 0700 /var/lib/heptad/exporter \
    && install --directory --mode 0700 --owner heptad /var/lib/heptad/aggregator
COPY --from=build /opt/heptad /opt/heptad
ENV PATH=/opt/heptad/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER heptad
ENTRYPOINT ["heptad"]
CMD ["--help"]
