from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, TypeAlias, final

from _typeshed.wsgi import WSGIApplication
from typing_extensions import Self, Unpack

from ironbridge.options import Options

__all__ = ["ClientDisconnected", "RequestTimeout", "Server", "__version__", "main", "serve"]

_Event: TypeAlias = MutableMapping[str, Any]
_ASGIApplication: TypeAlias = Callable[
    [_Event, Callable[[], Awaitable[_Event]], Callable[[_Event], Awaitable[None]]], Awaitable[None]
]
_Application: TypeAlias = WSGIApplication | _ASGIApplication

__version__: str

def _new_event_loop() -> AbstractEventLoop: ...
def main(argv: list[str]) -> int:
    """Run the command line.

    Args:
        argv: The arguments, without the program's name.

    Returns:
        The exit code: 0 when all is well, 2 for a mistake in the options, 3 when the application does not load.
    """

def serve(app: _Application | Callable[[], _Application] | str, **options: Unpack[Options]) -> None:
    """Serve a WSGI (PEP 3333) or ASGI (3.0, 2.0) application until the process is told to stop.

    In the main thread, SIGINT (Ctrl-C) and SIGTERM stop the server gracefully: it accepts nothing new and gives
    requests in flight ``graceful_timeout`` seconds to finish. A second Ctrl-C ends it at once. In other threads
    signals are left alone. Handlers that were installed before are put back afterwards.

    Args:
        app: The application: a callable, or a string such as ``"shop.wsgi:application"``. With ``factory=True`` a
            callable that returns it.
        **options: Every option of the command line under its long name, with underscores. ``None`` means "not
            given". They win over the environment (``IRONBRIDGE_*``), and that over ``ironbridge.toml``.

    Raises:
        TypeError: An option does not exist, has a value of the wrong type, or ``app`` is no application.
        ValueError: An option has a value that it does not take, or ``app`` is a string that names nothing.
        OSError: An address cannot be bound.
        Exception: Whatever importing the application raises.
    """

@final
class Server:
    """A server in the background, for tests and notebooks.

    It listens on a free port of 127.0.0.1 unless ``bind`` is given, and logs warnings and errors only unless
    ``log_level`` is. It can be started again after it was stopped. Threads of the application that run longer than
    ``graceful_timeout`` after ``stop()`` are left behind.

    Example:
        >>> with ironbridge.Server(app) as server:
        ...     urllib.request.urlopen(server.url).read()
    """

    def __new__(cls, app: _Application | Callable[[], _Application] | str, **options: Unpack[Options]) -> Self:
        """Load the application; nothing is bound yet.

        Args:
            app: As for `serve`.
            **options: As for `serve`.

        Raises:
            TypeError: An option does not exist, has a value of the wrong type, or ``app`` is no application.
            ValueError: An option has a value that it does not take, or ``app`` is a string that names nothing.
            Exception: Whatever importing the application raises.
        """

    @property
    def url(self) -> str:
        """Where the server listens, as a link: ``http://127.0.0.1:41234``. The first of ``urls``.

        Raises:
            RuntimeError: The server does not run.
        """

    @property
    def urls(self) -> list[str]:
        """All links, in the order of ``bind``.

        Raises:
            RuntimeError: The server does not run.
        """

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """All addresses as ``socket.connect`` takes them: ``("127.0.0.1", 41234)``, or the path of a unix socket.

        Raises:
            RuntimeError: The server does not run.
        """

    def start(self) -> None:
        """Bind, and serve from a background thread. Returns when connections are accepted.

        Raises:
            RuntimeError: The server runs already.
            OSError: An address cannot be bound.
        """

    def stop(self) -> None:
        """Stop gracefully, and wait until nothing is in flight any more. Does nothing when the server does not run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class ClientDisconnected(OSError):
    """The client left before its response was complete.

    Raised by ``await send(...)`` in ASGI applications (ASGI "HTTP & WebSocket", version 2.4).
    """

class RequestTimeout(BaseException):
    """The request has taken longer than ``--request-timeout`` allows.

    Raised in the thread of a WSGI application, wherever its Python code is; the client has got 504 by then. It is no
    ``Exception``, so that code which catches all errors to try again lets it pass. (ASGI applications are cancelled.)
    """
