import multiprocessing

worker_class = "gevent"
workers = multiprocessing.cpu_count()
worker_connections = 200
bind = ":5000"
timeout = 300
loglevel = "WARNING"
