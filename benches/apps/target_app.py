"""The target that ships in the wheel, for all servers alike.

Loaded by its path, so that no rival's process carries Ironbridge's native module.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _find() -> Path:
    package = importlib.util.find_spec("ironbridge")
    places = package.submodule_search_locations if package else None
    if places:
        return Path(next(iter(places))) / "target.py"
    return Path(__file__).parents[2] / "python" / "ironbridge" / "target.py"


_spec = importlib.util.spec_from_file_location("ironbridge_target", _find())
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _module
_spec.loader.exec_module(_module)

wsgi = _module.wsgi
# Older packages, which a comparison may be with, have none.
asgi = getattr(_module, "asgi", None)
