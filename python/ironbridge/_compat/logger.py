"""`server.log` and `worker.log` (gunicorn/glogging.py, "Logger")."""

from __future__ import annotations

import logging
import time
from typing import Any

from .cfg import Cfg

LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


class Logger:
    """Writes to Python's logger "gunicorn.error", and so to `errorlog`, unless that logger has other handlers.

    Attributes:
        cfg: The settings.
        error_log: The logger "gunicorn.error".
        access_log: The logger "gunicorn.access". The server writes its access log itself.
        loglevel: The level, as `logging` numbers it.
    """

    LOG_LEVELS = LEVELS
    error_fmt = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
    datefmt = "[%Y-%m-%d %H:%M:%S %z]"

    def __init__(self, cfg: Cfg) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        self.error_log.propagate = False
        self.access_log.propagate = False
        self.setup(cfg)

    def setup(self, cfg: Cfg) -> None:
        """Follows the settings, which a reload may have changed."""
        self.cfg = cfg
        self.loglevel = LEVELS.get((cfg.loglevel or "").lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        for handler in [handler for handler in self.error_log.handlers if getattr(handler, "_ironbridge", False)]:
            self.error_log.removeHandler(handler)
            handler.close()
        if not self.error_log.handlers:
            self.error_log.addHandler(self._handler(cfg.errorlog))

    def critical(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Logs at this level."""
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Logs at this level."""
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Logs at this level."""
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Logs at this level."""
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Logs at this level."""
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Logs an error with the traceback of the exception that is being handled."""
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        """Logs at a level, by number or by name."""
        level = LEVELS.get(lvl.lower(), logging.INFO) if isinstance(lvl, str) else lvl
        self.error_log.log(level, msg, *args, **kwargs)

    def access(self, resp: object, req: object, environ: object, request_time: object) -> None:
        """Does nothing: the server writes the access log."""

    def now(self) -> str:
        """The time as the Common Log Format has it."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def reopen_files(self) -> None:
        """Opens log files again, those of `logging.FileHandler`."""
        for name in list(logging.root.manager.loggerDict):
            for handler in logging.getLogger(name).handlers:
                if isinstance(handler, logging.FileHandler):
                    # It opens its file at the next line.
                    handler.close()

    def close_on_exec(self) -> None:
        """Does nothing: Python's files are never inherited (PEP 446)."""

    def _handler(self, path: str | None) -> logging.Handler:
        handler = _new_handler(path)
        handler.setFormatter(logging.Formatter(self.error_fmt, self.datefmt))
        handler._ironbridge = True  # type: ignore[attr-defined]
        return handler


def _new_handler(path: str | None) -> logging.Handler:
    if path is None or path == "-":
        return logging.StreamHandler()
    from logging.handlers import WatchedFileHandler

    return WatchedFileHandler(path, delay=True)
