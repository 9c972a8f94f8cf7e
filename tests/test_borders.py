"""What each crate may know: its dependencies, where unsafe code lies, and the licences of what it builds on."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CRATES = ROOT / "crates"

MAY_USE = {
    "ironbridge-exchange": set(),
    "ironbridge-http": {"ironbridge-exchange"},
    "ironbridge-python": {"ironbridge-exchange"},
    "ironbridge-supervisor": set(),
    "ironbridge": {"ironbridge-exchange", "ironbridge-http", "ironbridge-python", "ironbridge-supervisor"},
}
"""Crates of the workspace that a crate of the workspace may name."""

MUST_NOT_KNOW = {
    "ironbridge-exchange": {"hyper", "http", "socket2", "mio", "pyo3", "clap"},
    "ironbridge-http": {"pyo3", "pyo3-ffi", "pyo3-build-config"},
    "ironbridge-python": {"hyper", "http", "http-body"},
    "ironbridge-supervisor": {"hyper", "http", "pyo3", "tokio"},
}
"""Crates that must not be built for a crate, however far down its tree."""

MUST_NOT_NAME = {"ironbridge-python": {"socket2", "mio"}}
"""Crates that a crate must not use itself; tokio brings them along."""

LICENCES = {
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
"""As in deny.toml."""

Graph = dict[str, set[str]]


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """What cargo knows about the workspace and all that it is built from on this platform."""
    platform = re.search(r"host: (\S+)", _run("rustc", "-vV"))
    assert platform
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", platform.group(1)]
    found: dict[str, Any] = json.loads(_run(*command))
    return found


@pytest.fixture(scope="module")
def graph(metadata: dict[str, Any]) -> Graph:
    """Names of the crates that each crate is built with. Dependencies of tests alone are left out."""
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    found: Graph = {}
    for node in metadata["resolve"]["nodes"]:
        used = found.setdefault(names[node["id"]], set())
        used.update(names[to["pkg"]] for to in node["deps"] if any(kind["kind"] != "dev" for kind in to["dep_kinds"]))
    return found


def test_every_crate_of_the_workspace_has_its_borders(metadata: dict[str, Any]) -> None:
    members = {package["name"] for package in metadata["packages"] if package["source"] is None}
    assert members <= MAY_USE.keys()


@pytest.mark.parametrize("crate", MAY_USE)
def test_crates_use_only_crates_below_them(graph: Graph, crate: str) -> None:
    assert graph.get(crate, set()) & MAY_USE.keys() <= MAY_USE[crate]


@pytest.mark.parametrize("crate", MUST_NOT_KNOW)
def test_crates_do_not_build_on_what_they_must_not_know(graph: Graph, crate: str) -> None:
    assert _below(graph, crate) & MUST_NOT_KNOW[crate] == set()


@pytest.mark.parametrize("crate", MUST_NOT_NAME)
def test_crates_do_not_name_what_is_another_crates_work(graph: Graph, crate: str) -> None:
    assert graph.get(crate, set()) & MUST_NOT_NAME[crate] == set()


def test_only_two_crates_use_pyo3(graph: Graph) -> None:
    users = {crate for crate, used in graph.items() if "pyo3" in used}
    assert users <= {"ironbridge-python", "ironbridge"}


def test_licences_are_on_the_list(metadata: dict[str, Any]) -> None:
    bad = {
        f"{package['name']}: {package['license']}"
        for package in metadata["packages"]
        if not _allowed(package["license"] or "none")
    }
    assert bad == set()


def test_everything_comes_from_the_registry_or_lies_here(metadata: dict[str, Any]) -> None:
    sources = {package["source"] for package in metadata["packages"]} - {None}
    assert all(source.startswith("registry+") for source in sources)


def test_unsafe_code_lies_only_in_files_named_for_it() -> None:
    unsafe = re.compile(r"\bunsafe\s*(\{|fn\b|impl\b|extern\b|trait\b)")
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in CRATES.rglob("*.rs")
        if path.name not in ("ffi.rs", "sys.rs") and not {"ffi", "sys", "target"} & {part.name for part in path.parents}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if unsafe.search(line.split("//")[0])
    }
    assert found == set()


def test_the_reader_of_licences_knows_and_or_and_brackets() -> None:
    assert _allowed("(MIT OR GPL-3.0) AND Unicode-3.0")
    assert _allowed("MIT/GPL-3.0")
    assert _allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0")
    assert not _allowed("MIT AND GPL-3.0")
    assert not _allowed("none")


def _below(graph: Graph, crate: str) -> set[str]:
    seen: set[str] = set()
    stack = list(graph.get(crate, ()))
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack.extend(graph.get(name, ()))
    return seen


def _allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met with licences of the list alone."""
    words = {"AND": "and", "OR": "or", "(": "(", ")": ")"}
    tokens = re.findall(r"[()]|[^()\s]+(?: WITH [^()\s]+)?", expression.replace("/", " OR "))
    # Nothing but True, False, and, or and brackets is left to evaluate.
    return bool(eval(" ".join(words.get(token) or str(token in LICENCES) for token in tokens)))


def _run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
