from os import environ as env

bind = env.get("GUNICORN_BIND", "0.0.0.0:8000")
workers = env.get("GUNICORN_WORKERS", "2")
worker_class = env.get("GUNICORN_WORKER_CLASS", "gthread")
threads = env.get("GUNICORN_THREADS", "4")
max_requests = env.get("GUNICORN_MAX_REQUESTS", "1000")
max_requests_jitter = env.get("GUNICORN_MAX_REQUESTS_JITTER", "100")
timeout = env.get("GUNICORN_TIMEOUT", "60")
keepalive = env.get("GUNICORN_KEEPALIVE", "65")
worker_tmp_dir = "/dev/shm"
