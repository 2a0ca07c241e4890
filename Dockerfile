# One image for all parts: `saft api` by default, `saft worker` for the workers.
FROM python:3.11-slim

# jemalloc: large short-lived tensors cost up to a quarter of the time in glibc's allocator. libgomp: numba's loops run in
# torch's threads where they find one.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 libjemalloc2 \
    && ln -s "$(find /usr/lib -name libjemalloc.so.2)" /usr/local/lib/libjemalloc.so.2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home saft \
    && install -d -o saft /data
ENV LD_PRELOAD=/usr/local/lib/libjemalloc.so.2 PYTHONUNBUFFERED=1 SAFT_HOST=0.0.0.0 SAFT_DATA_DIR=/data

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY saft_core saft_core
COPY api api
COPY worker worker
COPY ui ui
COPY client client
COPY evaluation evaluation
COPY saft saft
COPY migrations migrations
RUN pip install --no-cache-dir '.[openvino]'

USER saft
VOLUME /data
EXPOSE 8000
CMD ["saft", "api"]
