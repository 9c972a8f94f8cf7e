"""`python -m benches [COMMAND]`: without a command, the comparison.

Commands:
    compare: all servers on all rows; writes docs/benchmarks.md and docs/benchmarks-asgi.md, or with --interface one of
        them.
    goals: judges the latest comparison by the project's own numbers.
    blocked, slow, idle, memory, soak, stream: one promise each, of Ironbridge alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benches import environment, goals, load, report
from benches.checks import CHECKS
from benches.compare import Settings, compare
from benches.rows import ROWS
from benches.servers import SERVERS


def main() -> int:
    """Runs a command. Returns the exit code: 1 if a bound was missed."""
    arguments = _parser().parse_args()
    load.build()
    if arguments.command == "goals":
        return goals.judge(report.read()).exit_code
    prepared = environment.prepare(arguments.wheel)
    if arguments.command in CHECKS:
        return CHECKS[arguments.command](prepared, arguments.quick).exit_code
    for key, reason in prepared.missing.items():
        print(f"left out: {key}: {reason}", file=sys.stderr)
    result = compare(_settings(arguments), prepared)
    report.write(result, pages=not (arguments.rows or arguments.servers or arguments.quick))
    print(report.tables(result))
    goals.judge(result)
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    quick = arguments.quick
    return Settings(
        rows=tuple(
            row
            for row in ROWS
            if row.key in (arguments.rows or [row.key]) and row.interface == (arguments.interface or row.interface)
        ),
        servers=tuple(server for server in SERVERS if server.key in (arguments.servers or [server.key])),
        rounds=arguments.rounds or (1 if quick else 3),
        warmup=0.5 if quick else 1.0,
        seconds=arguments.seconds or (1.5 if quick else 4.0),
        count_calls=not quick,
        count_instructions=not (quick or arguments.no_instructions),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benches", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", default="compare", choices=["compare", "goals", *CHECKS])
    parser.add_argument("--wheel", type=Path, help="install this wheel of Ironbridge first")
    parser.add_argument("--quick", action="store_true", help="one short round, nothing counted, no page written")
    parser.add_argument("--rows", type=_names([row.key for row in ROWS]), help="only these, comma-separated")
    parser.add_argument("--interface", choices=["wsgi", "asgi"], help="only rows of such applications, and their page")
    parser.add_argument("--servers", type=_names([server.key for server in SERVERS]), help="likewise")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--seconds", type=float, help="length of a measurement, default 4")
    parser.add_argument("--no-instructions", action="store_true", help="skip the slow counting of instructions")
    return parser


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return text.split(",")

    return parse


if __name__ == "__main__":
    sys.exit(main())
