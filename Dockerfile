# The bot without its sandbox. PYTHON_DIGEST pins the base image:
#   docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg PYTHON_DIGEST=sha256:... --build-arg VERSION=0.1.0 --tag mistral-incident-bot .
ARG PYTHON_DIGEST

FROM python:3.11-slim-bookworm@${PYTHON_DIGEST} AS build
WORKDIR /build
COPY requirements.lock ./
# wheels alone: there is no compiler here, and what is installed is what the lock's hashes say
RUN python -m venv --without-pip /opt/mistral-bot && \
    pip --python /opt/mistral-bot/bin/python install --no-cache-dir --disable-pip-version-check \
    --only-binary :all: --require-hashes --requirement requirements.lock
COPY bot /app/bot
COPY templates /app/templates
# compiled now: the running bot cannot write beside its code
RUN python -m compileall -q /app/bot && \
    printf '%s\n' '#!/opt/mistral-bot/bin/python' 'import sys' 'from bot.__main__ import main' 'sys.exit(main())' \
    > /opt/mistral-bot/bin/mistral-bot && \
    chmod 755 /opt/mistral-bot/bin/mistral-bot && \
    install -d -m 0750 -o 10001 -g 10001 /data

FROM python:3.11-slim-bookworm@${PYTHON_DIGEST}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mistral-incident-bot" \
      org.opencontainers.image.description="A Slack bot for incidents of products built on the Mistral AI API" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/mistral-bot /opt/mistral-bot
COPY --from=build /app /app
COPY --from=build --chown=10001:10001 /data /data
ENV PATH=/opt/mistral-bot/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    TMPDIR=/data \
    LOG_FORMAT=json \
    DATABASE_URL=sqlite+aiosqlite:////data/mistral-bot.db \
    EVIDENCE_DIR=/data/evidence
WORKDIR /data
# the only place that is written to, so that the rest may be mounted read-only
VOLUME ["/data"]
EXPOSE 8080
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-I", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8080') + '/healthz', timeout=2)"]
ENTRYPOINT ["mistral-bot"]
CMD ["run"]
