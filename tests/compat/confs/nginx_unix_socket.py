"""A site behind nginx, which runs as another user and reaches the socket through a group."""

import os
from os.path import abspath, dirname, join

PROJECT = dirname(abspath(__file__))
RUN = os.environ.get("SITE_RUN_DIR", "/run/site")

bind = "unix:" + join(RUN, "gunicorn.sock")
umask = 0o007
pidfile = join(RUN, "gunicorn.pid")
workers = 3
worker_connections = 1000
backlog = 512
chdir = PROJECT
pythonpath = ",".join([PROJECT, join(PROJECT, "apps")])
limit_request_line = 8190
limit_request_fields = 50
limit_request_field_size = 4096
