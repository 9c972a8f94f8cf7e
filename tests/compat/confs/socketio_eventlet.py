# Flask-SocketIO: one worker, eventlet.
bind = ["0.0.0.0:5000", "[::1]:5000"]
workers = 1
worker_class = "eventlet"
keepalive = 75
