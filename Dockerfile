# One image for every role: gateway, worker, edge agent, load tester, and `init`, which makes a stack's secrets.
# The model and the demo's footage are in it, so that nothing is fetched while it runs.
#
#   docker build -t fishladder .
#   docker build -t fishladder:gpu --build-arg INFERENCE=inference-gpu .

FROM python:3.12-slim AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/fishladder/bin:$PATH
# binutils has `strip`, which takes 70 MB off compiled modules.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/fishladder
WORKDIR /src
# What we depend on changes rarely, our own code often: so they are two layers.
COPY docker/requirements.py pyproject.toml ./
ARG INFERENCE=inference
RUN python requirements.py edge gateway sinks loadtest "$INFERENCE" > requirements.txt && pip install -r requirements.txt

# Models and footage: the converter (onnx) is needed here and nowhere else.
FROM packages AS assets
ENV FISHLADDER_CACHE=/opt/assets PYTHONPATH=/src/common:/src/inference
COPY common/fishladder/wire common/fishladder/wire
COPY inference/fishladder/inference/__init__.py inference/fishladder/inference/
COPY inference/fishladder/inference/assets inference/fishladder/inference/assets
# More models: --build-arg ASSETS="ssdlite-person ssdlite-person@640x480 vtest bikes"
ARG ASSETS="ssdlite-person vtest bikes"
RUN python -c 'import sys; from fishladder.inference.assets import fetch; [print(fetch(name, print)) for name in sys.argv[1:]]' $ASSETS \
    && find /opt/assets -name '.*' -type f -delete && chmod -R a+rX /opt/assets

FROM packages AS product
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY edge edge
COPY gateway gateway
COPY inference inference
COPY sinks sinks
COPY loadtest loadtest
COPY docker/slim.py ./
RUN pip install --no-deps . && python slim.py /opt/fishladder

FROM python:3.12-slim
LABEL org.opencontainers.image.title="fishladder" org.opencontainers.image.licenses="Apache-2.0"
# iproute2 is for the load tester, which shapes links with it.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends iproute2 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && groupadd --gid 10001 fishladder \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/fishladder --shell /usr/sbin/nologin fishladder \
    && install -d -o fishladder -g fishladder -m 700 /var/lib/fishladder \
    && install -d -o fishladder -g fishladder -m 750 /run/fishladder /models \
    # Volumes take over owner and mode of the directory they are first mounted on.
    && install -d -o fishladder -g fishladder -m 750 /init /init/own /init/frames /init/state /init/gateway /init/worker /init/sink \
        /init/admin /init/edge /init/grafana
COPY --from=assets /opt/assets /opt/assets
COPY --from=product /opt/fishladder /opt/fishladder
ENV PATH=/opt/fishladder/bin:$PATH PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1 \
    MPLCONFIGDIR=/tmp FISHLADDER_CACHE=/opt/assets FISHLADDER_DATA_DIR=/var/lib/fishladder
USER 10001:10001
WORKDIR /var/lib/fishladder
ENTRYPOINT ["fishladder"]
CMD ["--help"]
