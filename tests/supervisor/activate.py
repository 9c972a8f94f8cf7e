"""Starts a command as systemd does that has sockets for it (sd_listen_fds(3)): `activate.py PORT_FILE COMMAND...`."""

import os
import socket
import sys

listener = socket.create_server(("127.0.0.1", 0))
with open(sys.argv[1], "w") as file:
    file.write(str(listener.getsockname()[1]))
if listener.fileno() == 3:
    os.set_inheritable(3, True)
else:
    os.dup2(listener.fileno(), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="site")
os.execv(sys.argv[2], sys.argv[2:])
