"""Names that Gunicorn ignores, as they are found in the wild."""

bind = "0.0.0.0:8000"
worker = 4
workers_class = "gthread"
threads = 4
keep_alive = 65
preload = True
LOG_DIR = "/var/log"
