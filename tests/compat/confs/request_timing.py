"""Logs slow requests."""

import time

bind = "0.0.0.0:8000"
workers = 2
threads = 4
SLOW = 0.5


def pre_request(worker, req):
    req.started = time.monotonic()
    worker.log.debug("%s %s", req.method, req.path)


def post_request(worker, req, environ, resp):
    taken = time.monotonic() - req.started
    if taken > SLOW:
        worker.log.warning("slow: %s %s: %s in %.2f s, %s bytes", req.method, req.uri, resp.status, taken, resp.sent)


def post_worker_init(worker):
    worker.log.debug("worker %s has loaded %s", worker.pid, worker.wsgi)
