"""Ironbridge: a server for Python web applications (WSGI, ASGI), written in Rust.

On the command line: ``ironbridge shop.wsgi``. In a program: :func:`serve`. In tests and notebooks: :class:`Server`.
"""

from ironbridge._native import ClientDisconnected, RequestTimeout, Server, __version__, serve

__all__ = ["ClientDisconnected", "RequestTimeout", "Server", "__version__", "serve"]
