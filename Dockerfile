# syntax=docker/dockerfile:1
# The gateway and the SCRM core in one small image. Code is run from where it is copied to: nothing is built, nothing is fetched without a hash.
FROM python:3.12-slim AS libraries
COPY requirements.runtime.lock /tmp/requirements.lock
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --disable-pip-version-check --no-cache-dir --no-compile --require-hashes -r /tmp/requirements.lock \
 && /opt/venv/bin/pip uninstall --disable-pip-version-check -y pip

FROM python:3.12-slim
LABEL org.opencontainers.image.title="SCRM gateway" \
      org.opencontainers.image.licenses="Apache-2.0"

# A fixed number, so that a volume's owner can be set from outside.
RUN groupadd --gid 10001 gateway \
 && useradd --uid 10001 --gid gateway --no-create-home --home-dir /data --shell /usr/sbin/nologin gateway \
 && install -d -o gateway -g gateway -m 0700 /data \
 && install -d -m 0755 /etc/gateway

COPY --from=libraries /opt/venv /opt/venv
COPY LICENSE /app/LICENSE
COPY gateway /app/gateway
COPY connectors /app/connectors
COPY mappings /app/mappings
COPY scrm /app/scrm

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_GATEWAY__DATA_DIR=/data \
    GATEWAY_HTTP__HOST=0.0.0.0

USER gateway
WORKDIR /data
VOLUME /data
EXPOSE 8000 2575

# Ready means that the journal can be written and the worker reports; a gateway that drains is not ready.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]

# The supervisor is process 1: it passes SIGTERM on, waits for the drain, and reaps.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve", "--config", "/etc/gateway/config.toml"]
