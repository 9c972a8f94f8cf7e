"""prometheus_client in multiprocess mode (its documentation, "Multiprocess Mode")."""

import os
import shutil

from prometheus_client import multiprocess

bind = "0.0.0.0:8000"
workers = 2
threads = 4

METRICS = os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def on_starting(server):
    if METRICS and os.path.isdir(METRICS):
        shutil.rmtree(METRICS)
        os.makedirs(METRICS)


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
