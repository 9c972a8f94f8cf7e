import gc
import os

bind = "0.0.0.0:8000"
workers = int(os.environ.get("WORKERS", 3))
threads = 4
preload_app = True
max_requests, max_requests_jitter = 2000, 400


def when_ready(server):
    # Memory that is shared stays shared longer without the collector's marks in it.
    gc.freeze()
    server.log.info("Server is ready. Spawning workers")


def post_fork(server, worker):
    """Connections that were opened before the fork belong to the master."""
    server.log.info("Worker spawned (pid: %s)", worker.pid)
    application = server.app.wsgi()
    pool = getattr(application, "pool", None)
    if pool is not None:
        pool.dispose()


def pre_fork(server, worker):
    pass
