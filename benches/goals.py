"""Judges a comparison by the numbers that the project has set itself."""

from __future__ import annotations

from typing import Any

from benches.machine import QUIET
from benches.verdict import Verdicts

Result = dict[str, Any]

# What CPU time per request may be, relative to a rival's, by row.
_RELATIVE = {
    "hello": {"granian-1": 0.65, "granian-64": 0.55, "bjoern": 1.0, "fastpysgi": 1.0},
    "flask": {"bjoern": 1.15, "granian-64": 0.75},
    "django": {"bjoern": 1.15, "granian-64": 0.75},
    "sleep": {"granian-64": 0.7},
}
# The same of ASGI applications, relative to Granian and to Uvicorn.
_ASGI_RELATIVE = {"asgi-hello": 0.6, "asgi-headers": 0.6, "asgi-post": 0.6, "asgi-echo": 0.5}
# User and kernel together.
_INSTRUCTIONS = {"hello": 28_000, "headers": 70_000}
_ASGI_INSTRUCTIONS = {"asgi-hello": 42_000, "asgi-headers": 85_000, "asgi-post": 60_000}


def judge(result: Result) -> Verdicts:
    """Prints a verdict for each number, and for what can't be judged, why."""
    verdicts = Verdicts()
    rows = {row["key"]: row["results"] for row in result["rows"] if "ironbridge" in row["results"]}
    for key, most in _INSTRUCTIONS.items():
        _instructions(verdicts, key, rows.get(key, {}).get("ironbridge", {}), most)
    for key in ("hello", "headers"):
        mine = rows.get(key, {}).get("ironbridge", {})
        verdicts.at_most(f"{key}: system calls a request", mine.get("calls"), 2.1)
        verdicts.at_most(f"{key}: context switches a request", mine.get("switches"), 0.15)
    for key, rivals in _RELATIVE.items():
        for rival, bound in rivals.items():
            verdicts.at_most(f"{key}: CPU time relative to {rival}", _relative(rows.get(key, {}), rival), bound)
    for key in ("flask", "django"):
        mine = rows.get(key, {}).get("ironbridge", {})
        verdicts.at_most(f"{key}: context switches a request", mine.get("switches"), 0.5)
        verdicts.at_most(f"{key}: p99 in medians", _spread(mine), 3)
    _asgi(verdicts, result)
    _waiting(verdicts, rows)
    _computing(verdicts, rows.get("cpu", {}))
    _quiet(verdicts, result)
    return verdicts


def _asgi(verdicts: Verdicts, result: Result) -> None:
    rows = {row["key"]: row["results"] for row in result["rows"] if "ironbridge-asgi" in row["results"]}
    for key, most in _ASGI_INSTRUCTIONS.items():
        _instructions(verdicts, key, rows.get(key, {}).get("ironbridge-asgi", {}), most)
        verdicts.at_most(
            f"{key}: system calls a request", rows.get(key, {}).get("ironbridge-asgi", {}).get("calls"), 2.1
        )
    for key, bound in _ASGI_RELATIVE.items():
        for rival in ("granian-asgi", "uvicorn"):
            verdicts.at_most(f"{key}: CPU time relative to {rival}", _relative(rows.get(key, {}), rival), bound)
    for key in ("fastapi", "ws-small", "ws-large", "ws-small-deflate", "ws-large-deflate", "ws-fan"):
        rivals = {rival for rival in rows.get(key, {}) if not rival.startswith("ironbridge")}
        best = max((_relative(rows[key], rival) or 0.0 for rival in rivals), default=None)
        verdicts.at_most(f"{key}: CPU time relative to the best of all others", best, 1.0)


def _waiting(verdicts: Verdicts, rows: Result) -> None:
    rate = rows.get("sleep", {}).get("ironbridge", {}).get("rate")
    verdicts.at_least("sleep: share of the ideal 12 800 requests/s", rate and rate / 12_800, 0.93)
    verdicts.at_most(
        "mixed: p99 of the instant requests", rows.get("mixed", {}).get("ironbridge", {}).get("p99_ms"), 5, "ms"
    )


def _computing(verdicts: Verdicts, row: Result) -> None:
    many, one = row.get("ironbridge", {}), row.get("ironbridge-1", {})
    both = bool(many and one)
    verdicts.at_least("cpu: rate relative to one thread", many["rate"] / one["rate"] if both else None, 0.9)
    extra = many["switches"] - one["switches"] if both else None
    verdicts.at_most("cpu: context switches a request beyond one thread's", extra, 0.5)
    verdicts.at_most("cpu: p99 in medians", _spread(many), 3)


def _quiet(verdicts: Verdicts, result: Result) -> None:
    worst = max((figures["others"] for row in result["rows"] for figures in row["results"].values()), default=0.0)
    if worst > QUIET:
        verdicts.figure("DISTURBED", f"others used up to {worst:.0%} of the machine; judge again when it is quiet")


def _instructions(verdicts: Verdicts, key: str, mine: Result, bound: float) -> None:
    user, kernel = mine.get("user"), mine.get("kernel")
    what = f"{key}: instructions a request, user and kernel"
    if user is not None and kernel is None and user <= bound:
        verdicts.not_known(what, f"{user:,.0f} in user space of at most {bound:,} in all; the kernel's are unknown")
    else:
        verdicts.at_most(what, None if user is None else user + (kernel or 0), bound)


def _relative(row: Result, rival: str) -> float | None:
    ratio = row.get(rival, {}).get("cpu_ratio")
    return 1 / ratio if ratio else None


def _spread(figures: Result) -> float | None:
    return figures["p99_ms"] / figures["p50_ms"] if figures else None
