"""The application that these tests change while it is served: `shop.py` in the test's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wsgi_site import Site

StartShop = Callable[..., Site]
"""Of the fixture `start`."""


def write(folder: Path, code: str) -> None:
    """Writes `shop.py`, so that no cached bytecode of an earlier text of the same second and size is taken for it."""
    (folder / "shop.py").write_text(code)
    for cached in (folder / "__pycache__").glob("shop.*"):
        cached.unlink()
