"""Ironbridge: a server for Python web applications (WSGI), written in Rust.

On the command line: ``ironbridge shop.wsgi``. In a program: :func:`serve`. In tests and notebooks: :class:`Server`.
"""

from ironbridge._native import Server, __version__, serve

__all__ = ["Server", "__version__", "serve"]
