FROM python:3.11.7-slim-bookworm

RUN useradd --create-home --uid 10001 alsobought && mkdir /state && chown alsobought /state
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY producers ./producers
COPY streams ./streams
COPY state ./state
COPY evaluation ./evaluation
RUN pip install --no-cache-dir ".[evaluation,formats]"

USER alsobought
# compiled loops are cached here; otherwise every start would compile them again
ENV NUMBA_CACHE_DIR=/state/.compiled
VOLUME /state
ENTRYPOINT ["alsobought"]
