"""Starts the servers that have no command line of their own: `launch.py SERVER MODULE:ATTRIBUTE PORT`."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> None:
    """Serves until killed."""
    server, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    module, _, attribute = target.partition(":")
    app: Any = getattr(importlib.import_module(module), attribute)
    engine: Any = importlib.import_module(server.removesuffix("-asgi"))
    match server:
        case "bjoern":
            engine.run(app, "127.0.0.1", port)
        case "fastpysgi":
            engine.server.max_content_length = 1 << 30
            engine.run(app, host="127.0.0.1", port=port, loglevel=2)
        case "freastal":
            engine.serve(app, host="127.0.0.1", port=port)
        case "freastal-asgi":
            engine.serve_asgi(app, host="127.0.0.1", port=port)
        case _:
            sys.exit(f"unknown server {server}")


main()
