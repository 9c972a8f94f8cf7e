# Gunicorn configuration for a Heroku dyno.
import os

# On Heroku, web dynos learn their port from $PORT, and the number of processes from $WEB_CONCURRENCY.
port = os.environ.get("PORT", "5006")
bind = ["[::]:" + port]

# The router has its own timeouts; keep connections longer than it does.
keepalive = 100

worker_class = "gthread"
threads = 5

# Load the app before forking to save memory, except in development.
preload_app = os.environ.get("ENVIRONMENT") != "development"

# Dynos are killed 30 seconds after SIGTERM.
graceful_timeout = 20
timeout = 20

access_log_format = (
    'gunicorn.access method=%(m)s path="%(U)s" status=%(s)s duration=%(M)sms request_id=%({x-request-id}i)s'
)
accesslog = "-"

if os.environ.get("ENVIRONMENT") == "development":
    reload = True
else:
    reuse_port = True


def pre_request(worker, req):
    worker.log.debug("%s %s", req.method, req.path)
