import os

bind = os.getenv("BIND", "0.0.0.0:8000")
workers = int(os.getenv("WEB_CONCURRENCY", "2"))
worker_class = "uvicorn.workers.UvicornWorker"
timeout = 120
graceful_timeout = 30
max_requests = 1000
max_requests_jitter = 50
forwarded_allow_ips = "*"
accesslog = "-"
proc_name = "api"
