"""All settings of Gunicorn (up to 27.0), under the headings of its documentation, and what becomes of each.

Sources: gunicorn/config.py, docs.gunicorn.org/en/stable/settings.html. A setting that is missing here would be silently
ignored as an unknown name, so the table is complete; a test says so.
"""

from __future__ import annotations

from dataclasses import replace

from .setting import Setting
from .settings_hooks import DIRTY_ARBITERS, SERVER_HOOKS
from .settings_logging import LOGGING
from .settings_mechanics import CONTROL_SOCKET, PROCESS_NAMING, SERVER_MECHANICS
from .settings_protocols import HTTP_2, SSL
from .settings_serving import CONFIG_FILE, DEBUGGING, SECURITY, SERVER_SOCKET, WORKER_PROCESSES

SECTIONS: dict[str, tuple[Setting, ...]] = {
    heading: tuple(replace(setting, section=heading) for setting in settings)
    for heading, settings in {
        "Config File": CONFIG_FILE,
        "Server Socket": SERVER_SOCKET,
        "Worker Processes": WORKER_PROCESSES,
        "Security": SECURITY,
        "Debugging": DEBUGGING,
        "Server Mechanics": SERVER_MECHANICS,
        "Logging": LOGGING,
        "Process Naming": PROCESS_NAMING,
        "SSL": SSL,
        "HTTP/2": HTTP_2,
        "Control": CONTROL_SOCKET,
        "Dirty Arbiters": DIRTY_ARBITERS,
        "Server Hooks": SERVER_HOOKS,
    }.items()
}
"""The settings under their headings."""

SETTINGS: dict[str, Setting] = {setting.name: setting for section in SECTIONS.values() for setting in section}
"""The settings by name."""

DIRTY_HOOKS = frozenset(("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit"))
"""Hooks that are never called: there are no dirty arbiters."""

HOOKS = frozenset(setting.name for setting in SERVER_HOOKS if setting.name != "ssl_context")
"""The hooks that are called."""
