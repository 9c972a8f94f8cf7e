import os

bind = "0.0.0.0:8080"
workers = 1
threads = int(os.getenv("THREADS", 16))
worker_class = "gthread"
worker_tmp_dir = "/dev/shm"
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
control_socket_disable = True
graceful_timeout = 60
max_requests = 0
logger_class = "gunicorn.glogging.Logger"
access_log = os.getenv("ACCESS_LOG") or None
log_level = os.getenv("LOG_LEVEL", "info")
loglevel = log_level
