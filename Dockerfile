FROM python:3.13-slim
COPY requirements.txt /src/
RUN pip install --no-cache-dir -r /src/requirements.txt PyMySQL[rsa]
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
