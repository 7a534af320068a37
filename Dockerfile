# The service in a container; docs/platform.md says how to build and run it.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=5082
WORKDIR /app

COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --requirement requirements.txt

COPY . ./
# The service writes nothing but its database, and reads the rest as a user who owns none of it.
RUN useradd --uid 10001 clinic && mkdir -p instance && chown clinic instance
USER clinic
VOLUME /app/instance
EXPOSE 5082

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD python -c "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"

# Containers that start together wait for each other's upgrade.
CMD flask --app app db upgrade && exec gunicorn app:app
