"""One scheduler for all workers: a thread of the master."""

import threading

bind = "0.0.0.0:8000"
workers = 2
threads = 8

_stop = threading.Event()


def _work(log):
    while not _stop.wait(60):
        log.info("scheduled work")


def when_ready(server):
    server.scheduler = threading.Thread(target=_work, args=(server.log,), name="scheduler", daemon=True)
    server.scheduler.start()


def on_exit(server):
    _stop.set()
    server.scheduler.join(1)
    server.log.info("scheduler stopped")
