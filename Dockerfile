# To pin the digest, too, append the "Digest" (@sha256:...) that this prints:
# docker buildx imagetools inspect python:3.13.9-slim-bookworm
FROM python:3.13.9-slim-bookworm
COPY requirements.txt /src/
RUN pip install --no-cache-dir --require-hashes -r /src/requirements.txt
COPY . /src/
RUN pip install --no-cache-dir --no-deps /src \
    && useradd --create-home --home-dir /data bounces
USER bounces
WORKDIR /data
VOLUME /data
ENV SENDGRID_BOUNCES_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["sendgrid-bounces", "health"]
CMD ["sendgrid-bounces", "serve"]
