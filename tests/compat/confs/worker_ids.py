"""Small, stable worker ids for metrics: the ids of dead workers are given to new ones."""

import os
from itertools import count

bind = "0.0.0.0:8000"
workers = int(os.environ.get("APP_WORKERS", "3"))
threads = 4


def _free_id(server):
    taken = {getattr(worker, "worker_id", None) for worker in server.WORKERS.values() if worker.alive}
    return next(number for number in count(1) if number not in taken)


def on_starting(server):
    server._worker_ids = set()


def pre_fork(server, worker):
    worker.worker_id = _free_id(server)


def post_fork(server, worker):
    os.environ["APP_WORKER_ID"] = str(worker.worker_id)


def child_exit(server, worker):
    server.log.info("worker %s (pid %s) is gone", worker.worker_id, worker.pid)


def on_reload(server):
    server.log.info("reload with %s workers: %s", server.cfg.workers, sorted(server.WORKERS))


def nworkers_changed(server, new_value, old_value):
    if old_value is not None and old_value != new_value:
        server.log.info("%s workers instead of %s", new_value, old_value)
