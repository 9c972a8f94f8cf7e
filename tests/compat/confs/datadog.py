"""Datadog's tracer starts a thread, which a fork does not take along."""

import os

bind = "0.0.0.0:" + os.getenv("APP_PORT", "8000")
workers = os.getenv("GUNICORN_WORKERS", "4")
threads = os.getenv("GUNICORN_THREADS", "8")
preload_app = os.getenv("GUNICORN_PRELOAD", "true")
statsd_host = os.getenv("DD_AGENT_HOST", "localhost") + ":8125"
statsd_prefix = "shop"
dogstatsd_tags = "env:prod,service:shop"


def post_fork(server, worker):
    from ddtrace import patch_all

    patch_all()
    server.log.info("worker %s (%s) traces", worker.age, worker.pid)


def worker_exit(server, worker):
    from ddtrace import tracer

    tracer.shutdown()
