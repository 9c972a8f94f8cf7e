# Sample Gunicorn configuration file: every group of settings, and the hooks of Gunicorn's own example.
import sys
import threading
import traceback

#
# Server socket
#
bind = "127.0.0.1:8000"
backlog = 2048

#
# Worker processes
#
workers = 1
worker_class = "sync"
worker_connections = 1000
timeout = 30
keepalive = 2

#
# Debugging
#
spew = False

#
# Server mechanics
#
daemon = False
raw_env = [
    "DJANGO_SECRET_KEY=something",
    "SPAM=eggs=ham",
]
pidfile = None
umask = 0
user = None
group = None
tmp_upload_dir = None

#
# Logging
#
errorlog = "-"
loglevel = "info"
accesslog = None
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

#
# Process naming
#
proc_name = None


#
# Server hooks
#
def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)


def pre_fork(server, worker):
    pass


def pre_exec(server):
    server.log.info("Forked child, re-executing.")


def when_ready(server):
    server.log.info("Server is ready. Spawning workers")


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")

    # get traceback info
    id2name = {th.ident: th.name for th in threading.enumerate()}
    for thread_id, stack in sys._current_frames().items():
        worker.log.debug("Thread %s: %s", id2name.get(thread_id), traceback.format_stack(stack)[-1])


def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")


def ssl_context(conf, default_ssl_context_factory):
    import ssl

    # Never called without a certificate.
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
