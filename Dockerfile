# mssr_rl on a CPU: docker build -t mssr_rl . && docker run --rm -v "$PWD/runs:/data/runs" mssr_rl train algo=mssr env=vision_r1
FROM python:3.11-slim-bookworm
# The compiled kernels of the local engine need a C compiler; without one torch computes the same.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/mssr_rl
COPY requirements.txt ./
ARG PIP_ARGS=""
# hadolint ignore=SC2086
RUN pip install --no-cache-dir $PIP_ARGS -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
RUN useradd --create-home --uid 1000 researcher && mkdir /data && chown researcher /data
USER 1000
WORKDIR /data
ENTRYPOINT ["mssr_rl"]
CMD ["--help"]
