"""Executes a configuration file as Gunicorn does (gunicorn/app/base.py), and knows on which line what is set."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import traceback
from dataclasses import dataclass
from types import ModuleType

from .errors import ConfigurationError
from .values import working_folder

MODULE_NAME = "__config__"
"""What the file is called in `sys.modules`."""


@dataclass(frozen=True)
class Assignment:
    """Where a name of a file gets its value: the lines, and the expression as written."""

    line: int
    last_line: int
    expression: str


@dataclass(frozen=True)
class PythonFile:
    """A file that was executed.

    Attributes:
        label: What messages call it.
        names: What it defines, in its order.
        assignments: Where it does so, as far as that can be seen.
    """

    label: str
    names: dict[str, object]
    assignments: dict[str, Assignment]

    def place(self, name: str) -> str:
        """What messages about a name begin with."""
        return f"{self.label}: {name}"

    def line(self, name: str) -> str:
        """The same with the line."""
        found = self.assignments.get(name)
        return f"{self.label}, line {found.line}: {name}" if found else self.place(name)


def execute(location: str, folder: str) -> PythonFile:
    """Executes PATH, file:PATH or python:MODULE, every time afresh.

    Args:
        location: Which file.
        folder: Where relative paths start.

    Raises:
        ConfigurationError: There is no such file, or it fails.
    """
    _search_here()
    if location.startswith("python:"):
        name = location[len("python:") :]
        path, label = _module_path(name, location), location
    else:
        name = MODULE_NAME
        label = location.removeprefix("file:")
        path = os.path.join(folder, label)
    source = _source(path, label)
    try:
        assignments = _assignments(source)
    except SyntaxError as error:
        raise ConfigurationError(f"{label}, line {error.lineno}: {error.msg}") from error
    return PythonFile(label, _run(source, path, label, name, assignments), assignments)


def _search_here() -> None:
    here = working_folder()
    if here not in sys.path:
        sys.path.insert(0, here)


def _module_path(name: str, label: str) -> str:
    # What was found before may have moved, and its import may have failed half-way.
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"{label}: {error}") from error
    if spec is None or not spec.has_location or spec.origin is None:
        raise ConfigurationError(f"{label}: there is no such module")
    return spec.origin


def _source(path: str, label: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"{label}: {error.strerror}") from error


def _run(source: bytes, path: str, label: str, name: str, assignments: dict[str, Assignment]) -> dict[str, object]:
    # Not by an import: its byte code would be written to disk, and a change within the same second would be missed.
    module = ModuleType(name)
    module.__file__ = os.path.abspath(path)
    if name != MODULE_NAME:
        module.__package__ = name.rpartition(".")[0]
    before = set(vars(module))
    sys.modules[name] = module
    try:
        exec(compile(source, module.__file__, "exec"), vars(module))
    except SystemExit as error:
        raise ConfigurationError(f"{label}: it ends the process: {error}") from error
    except Exception as error:
        raise ConfigurationError(_failure(error, module.__file__, label, assignments)) from error
    return {key: value for key, value in vars(module).items() if key not in before and key != "__builtins__"}


def _failure(error: Exception, path: str, label: str, assignments: dict[str, Assignment]) -> str:
    """One line about an exception: where in the file, and, where a setting is computed, which."""
    inside = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    text = " ".join("".join(traceback.format_exception_only(type(error), error)).split())
    if not inside:
        return f"{label}: {text}{_hint(error)}"
    # The outermost frame is the statement of the file; within functions it has no name to tell.
    line = inside[-1].lineno
    name = next(
        (
            f"{name}: "
            for name, found in assignments.items()
            if found.line <= (inside[0].lineno or 0) <= found.last_line
        ),
        "",
    )
    return f"{label}, line {line}: {name}{text}{_hint(error)}"


def _hint(error: Exception) -> str:
    package = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package in ("gunicorn", "uvicorn", "uvicorn_worker"):
        return "; the file needs it: leave the import out, or keep it installed"
    return ""


def _assignments(source: bytes) -> dict[str, Assignment]:
    """Where names are bound last, outside of functions and classes."""
    text = importlib.util.decode_source(source)
    found: dict[str, Assignment] = {}
    pending: list[ast.stmt] = ast.parse(source).body[::-1]
    while pending:
        statement = pending.pop()
        for name, value in _bound(statement):
            expression = ast.get_source_segment(text, value) if value is not None else None
            last = statement.end_lineno or statement.lineno
            found[name] = Assignment(statement.lineno, last, expression or "")
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            pending += _children(statement)[::-1]
    return found


def _children(statement: ast.stmt) -> list[ast.stmt]:
    """The statements right within a statement."""
    found: list[ast.stmt] = []
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.stmt):
            found.append(node)
        elif isinstance(node, ast.ExceptHandler):
            found += node.body
    return found


def _bound(statement: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    if isinstance(statement, ast.Assign):
        return [(target.id, statement.value) for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, (ast.AnnAssign, ast.AugAssign)) and isinstance(statement.target, ast.Name):
        return [(statement.target.id, statement.value)]
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [(statement.name, None)]
    if isinstance(statement, ast.ImportFrom):
        return [(alias.asname or alias.name, None) for alias in statement.names]
    return []
