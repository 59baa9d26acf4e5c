# Dependencies are pinned with their hashes; the last stage has no compiler, no source and no pip cache.

# Loops are compiled while the image is built, so for every processor that may run it: with AVX2 (since 2013), or any ARM.
FROM python:3.11.14-slim-trixie AS for-amd64
ENV NUMBA_CPU_NAME=x86-64-v3 NUMBA_CPU_FEATURES=""
FROM python:3.11.14-slim-trixie AS for-arm64
ENV NUMBA_CPU_NAME=generic

FROM python:3.11.14-slim-trixie AS build
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
# layers keep whole seconds of a file's time, by which compiled loops and byte code are known
RUN find /opt/alsobought/lib -name "*.py" -exec touch -d "@$(date +%s)" {} +
RUN /opt/alsobought/bin/python -m compileall -q -f /opt/alsobought/lib || true # some packages ship files of Python 2

FROM for-${TARGETARCH:-amd64}
RUN useradd --uid 10001 --no-create-home alsobought && mkdir /state && chown alsobought /state && chmod 700 /state
COPY --from=build /opt/alsobought /opt/alsobought
COPY deploy/container-start /opt/alsobought/bin/
ENV PATH=/opt/alsobought/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN NUMBA_CACHE_DIR=/opt/alsobought/compiled alsobought prepare
USER alsobought
# where the start copies the compiled loops to: numba must be able to write there
ENV NUMBA_CACHE_DIR=/tmp/compiled
VOLUME /state
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:6066/health/live', timeout=4)"]
ENTRYPOINT ["container-start"]
