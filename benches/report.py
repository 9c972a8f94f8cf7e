"""Writes a comparison down: a table for the terminal, JSON, and for each interface a page with its plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benches import machine, plot
from benches.environment import OUT, ROOT

Result = dict[str, Any]

_COLUMNS = (
    ("CPU us", "cpu_us", "{:.1f}"),
    ("x Ironbridge", "cpu_ratio", "{:.2f}"),
    ("requests/s", "rate", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("switches", "switches", "{:.2f}"),
    ("system calls", "calls", "{:.2f}"),
    ("instr. user", "user", "{:,.0f}"),
    ("instr. kernel", "kernel", "{:,.0f}"),
    ("peak MB", "memory_mb", "{:.1f}"),
    ("failed", "failed", "{:.0f}"),
    ("others", "others", "{:.0%}"),
)


_PAGES = {"wsgi": ("benchmarks", "Benchmarks"), "asgi": ("benchmarks-asgi", "Benchmarks of ASGI applications")}
"""Name and title of each interface's page."""


def write(result: Result, pages: bool) -> None:
    """Writes the JSON file and, if `pages` is set, the page and the plot of each interface."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    for part in _by_interface(result) if pages else []:
        name, title = _PAGES[part["rows"][0]["interface"]]
        docs = ROOT / "docs"
        (docs / f"{name}.svg").write_text(plot.draw(part))
        (docs / f"{name}.md").write_text("\n".join(_page(part, name, title)) + "\n")


def read(path: Path | None = None) -> Result:
    """Reads a comparison that was written before."""
    result: Result = json.loads((path or OUT / "result.json").read_text())
    return result


def tables(result: Result) -> str:
    """All rows as tables for a terminal."""
    lines: list[str] = []
    for row in result["rows"]:
        lines += ["", f"{row['title']} ({_load(row)})", *_aligned(_cells(result, row))]
        lines += [f"  {_label(result, key)}: {error}" for key, error in row["errors"].items()]
    lines += [f"not installed: {key}: {reason}" for key, reason in result["missing"].items()]
    return "\n".join(lines)


def _page(result: Result, name: str, title: str) -> Iterator[str]:
    yield f"# {title}"
    yield ""
    yield "Made by `make bench`, which measures anew and writes this page. Do not edit it."
    yield ""
    yield f"![CPU time per request by server]({name}.svg)"
    yield ""
    yield from _method(result)
    yield "## CPU time per request, in microseconds"
    yield ""
    yield from _markdown(_overview(result))
    yield "## Row by row"
    yield ""
    for row in result["rows"]:
        yield f"### {row['title']}"
        yield ""
        yield f"{_load(row).capitalize()}."
        yield ""
        yield from _markdown(_cells(result, row))
        for key, error in row["errors"].items():
            yield f"{_label(result, key)} failed: `{_first_line(error)}`"
            yield ""
    yield from _facts(result)


def _method(result: Result) -> Iterator[str]:
    method = result["method"]
    yield "## Method"
    yield ""
    yield (
        f"Servers take turns, rounds: {method['rounds']}, each time as a new process: {method['warmup']:g} s of "
        f"warm-up, {method['seconds']:g} s measured. Figures are medians of the rounds; ratios are taken within "
        "each round first. One server process on one core, access log off; the load client "
        "(`benches/load`, closed loop, keep-alive) on another core, over loopback. "
    )
    yield (
        "Requests/s are what one client on one core gets; CPU time per request says more, and is of all "
        "processes and threads of the server. Servers without a thread count in their name run 64 threads, or "
        "one where they have no more (see below)."
    )
    yield ""
    worst = max((f["others"] for row in result["rows"] for f in row["results"].values()), default=0.0)
    yield (
        f"The column *others* is the share of the machine's CPU time that went to neither server nor client; at "
        f"worst {worst:.0%}. {_DISTURBED if worst > machine.QUIET else ''}"
    ).rstrip()
    yield ""
    yield f"System calls are {_CALLS[method['system_calls']]}. Instructions are {_COUNTED[method['instructions']]}."
    yield "Counting happens in runs of its own: a counted run is slower, and is not timed."
    yield ""


_DISTURBED = "**Something else ran on this machine: latencies and rates above all cannot be trusted.**"
_CALLS = {
    "perf": "counted by the kernel's trace point (`perf stat`)",
    "strace": "counted by `strace -c -f`",
    None: "not counted",
}
_COUNTED = {
    "perf": "counted by hardware (`perf stat`), in user space and kernel",
    "callgrind": (
        "counted by valgrind's callgrind, because this machine lets nobody read its hardware counters: user space "
        "only, the kernel's are n/a. Under valgrind threads run one at a time and all is slower, so a server "
        "that adapts to time may behave differently than at full speed"
    ),
    None: "not counted",
}


def _facts(result: Result) -> Iterator[str]:
    yield "## Machine and versions"
    yield ""
    yield from _markdown([["", ""], *([name, value] for name, value in result["machine"].items())], "---")
    versions = result["versions"]
    rows = [["Server", "Version", "Settings that matter"]]
    for key, server in result["servers"].items():
        missing = result["missing"].get(key)
        rows.append([server["label"], versions.get(server["package"], f"not installed: {missing}"), server["note"]])
    rows += [[name, versions[name.lower()], ""] for name in ("Flask", "Django", "FastAPI") if name.lower() in versions]
    yield from _markdown(rows, "---")


def _by_interface(result: Result) -> list[Result]:
    """The part about WSGI applications and that about ASGI applications: different servers are asked."""
    parts = []
    for interface in dict.fromkeys(row["interface"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["interface"] == interface]
        asked = {key for row in rows for key in (*row["results"], *row["errors"])}
        servers = {key: server for key, server in result["servers"].items() if key in asked}
        parts.append({**result, "rows": rows, "servers": servers})
    return parts


def _overview(result: Result) -> list[list[str]]:
    keys = [key for key in result["servers"] if any(key in row["results"] for row in result["rows"])]
    table = [["", *(_label(result, key) for key in keys)]]
    for row in result["rows"]:
        cells = (row["results"].get(key) for key in keys)
        table.append([row["title"], *("" if cell is None else f"{cell['cpu_us']:.1f}" for cell in cells)])
    return table


def _cells(result: Result, row: Result) -> list[list[str]]:
    table = [["", *(title for title, _, _ in _COLUMNS)]]
    for key, figures in row["results"].items():
        cells = [_show(figures.get(name), form) for _, name, form in _COLUMNS]
        table.append([_label(result, key), *cells])
    return table


def _show(value: float | None, form: str) -> str:
    return "n/a" if value is None else form.format(value)


def _load(row: Result) -> str:
    load = row["load"]
    kind = "a new connection for each request" if load["close"] else "keep-alive"
    timed = ", latencies of the instant requests" if len(load["requests"]) > 1 else ""
    return f"{load['connections']} connections, {kind}{timed}"


def _label(result: Result, key: str) -> str:
    return str(result["servers"][key]["label"])


def _first_line(text: str) -> str:
    return text.strip().splitlines()[-1][:160] if text.strip() else "no message"


def _markdown(table: Iterable[list[str]], align: str = "---:") -> Iterator[str]:
    head, *body = table
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(['---', *([align] * (len(head) - 1))])}|"
    for cells in body:
        yield f"| {' | '.join(cells)} |"
    yield ""


def _aligned(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])
        for cells in table
    ]
