"""Runs a module of CPython's own asyncio tests on the server's event loop; for a process of its own.

    python cpython_asyncio.py test_events

The loop of each test, wherever its code asks for a new one, is the server's.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import unittest
from collections.abc import Iterator

from ironbridge import _native

PACKAGE = "test.test_asyncio"
_made = 0


def new_event_loop(*_: object) -> asyncio.AbstractEventLoop:
    """A loop of the server's kind. Arguments, such as a selector of the test's choice, count for nothing."""
    global _made
    _made += 1
    # The server's loop is asyncio's own class on a selector of the server's.
    asyncio.SelectorEventLoop = _OWN  # type: ignore[misc]
    try:
        loop: asyncio.AbstractEventLoop = _native._new_event_loop()
    finally:
        asyncio.SelectorEventLoop = new_event_loop  # type: ignore[misc,assignment]
    return loop


def main(name: str) -> int:
    """Runs the tests of one module.

    Returns:
        The exit code: 0 where all passed, on at least one loop.
    """
    module = importlib.import_module(f"{PACKAGE}.{name}")
    asyncio.SelectorEventLoop = new_event_loop  # type: ignore[misc,assignment]
    policy = asyncio.DefaultEventLoopPolicy
    policy.new_event_loop = new_event_loop  # type: ignore[assignment,method-assign]
    asyncio.set_event_loop_policy(policy())
    tests = unittest.TestSuite(_wanted(unittest.defaultTestLoader.loadTestsFromModule(module)))
    result = unittest.TextTestRunner(verbosity=1).run(tests)
    print(f"{result.testsRun} tests on {_made} loops")
    return 0 if result.wasSuccessful() and _made > 0 else 1


def _wanted(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _wanted(item)
        elif type(item).__name__ not in _REPEATED:
            yield item


_OWN = asyncio.SelectorEventLoop
_REPEATED = {"SelectEventLoopTests", "PollEventLoopTests"}
"""The same tests as `EPollEventLoopTests`, on other selectors of Python's."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
