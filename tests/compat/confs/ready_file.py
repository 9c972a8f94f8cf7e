"""nginx's buildpack waits for a file before it lets requests in."""

import os

READY = os.environ.get("READY_FILE", "/tmp/app-initialized")

bind = "unix:" + os.environ.get("NGINX_SOCKET", "/tmp/nginx.socket")
workers = 2
threads = 4
preload_app = True


def when_ready(server):
    open(READY, "w").close()


def on_exit(server):
    if os.path.exists(READY):
        os.unlink(READY)
