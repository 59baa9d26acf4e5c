# Dependencies are pinned with their hashes; the second stage has no compiler, no source and no pip cache.
FROM python:3.11.7-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /opt/alsobought
COPY requirements.image.lock ./
RUN /opt/alsobought/bin/pip install --no-cache-dir --require-hashes -r requirements.image.lock
COPY pyproject.toml README.md LICENSE ./
COPY producers ./producers
COPY streams ./streams
COPY state ./state
COPY evaluation ./evaluation
RUN /opt/alsobought/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11.7-slim-bookworm
RUN useradd --uid 10001 --no-create-home alsobought && mkdir /state && chown alsobought /state && chmod 700 /state
COPY --from=build /opt/alsobought /opt/alsobought
USER alsobought
# compiled loops are cached here; otherwise every start would compile them again
ENV PATH=/opt/alsobought/bin:$PATH NUMBA_CACHE_DIR=/state/.compiled PYTHONDONTWRITEBYTECODE=1
VOLUME /state
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:6066/health/live', timeout=4)"]
ENTRYPOINT ["alsobought"]
