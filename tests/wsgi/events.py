"""What the test applications tell the tests, and the gates that tests open for them.

Each test has a key of its own, so that tests share a server without seeing each other.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence

GATE_SECONDS = 30.0
"""How long an application waits for its gate before it gives up."""

_changed = threading.Condition()
_events: defaultdict[str, list[str]] = defaultdict(list)
_open_gates: set[str] = set()


def record(key: str, event: str) -> None:
    """Adds an event to those of `key`."""
    with _changed:
        _events[key].append(event)
        _changed.notify_all()


def recorded(key: str, wanted: Sequence[str] = (), seconds: float = 0.0) -> list[str]:
    """The events of `key`, as soon as all of `wanted` are among them, or `seconds` have passed."""
    with _changed:
        _changed.wait_for(lambda: all(_events[key].count(event) >= wanted.count(event) for event in wanted), seconds)
        return list(_events[key])


def open_gate(key: str) -> None:
    """Lets every application of `key` that waits, and each that will, go on."""
    with _changed:
        _open_gates.add(key)
        _changed.notify_all()


def wait_gate(key: str) -> None:
    """Waits until the gate of `key` is open.

    Raises:
        TimeoutError: It stays closed.
    """
    with _changed:
        if not _changed.wait_for(lambda: key in _open_gates, GATE_SECONDS):
            raise TimeoutError(f"nobody opened the gate of {key}")


class Counter:
    """A number that one application raises and another one tells."""

    def __init__(self) -> None:
        self._values: defaultdict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def add(self, key: str, amount: int) -> None:
        """Raises the number of `key`."""
        with self._lock:
            self._values[key] += amount

    def value(self, key: str) -> int:
        """The number of `key`."""
        with self._lock:
            return self._values[key]


produced = Counter()
"""Bytes of response bodies that applications have yielded."""
