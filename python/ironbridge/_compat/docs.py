"""The table of `docs/gunicorn.md`: `python -m ironbridge._compat.docs docs/gunicorn.md` writes it anew."""

from __future__ import annotations

import sys

from .setting import Setting
from .settings import HOOKS, SECTIONS

BEGIN = "<!-- Made from the code: python -m ironbridge._compat.docs docs/gunicorn.md -->"
END = "<!-- The end of what is made from the code. -->"


def table() -> str:
    """All settings of Gunicorn under their headings, and what becomes of each, in Markdown."""
    lines: list[str] = []
    for heading, settings in SECTIONS.items():
        lines += [f"### {heading}", "", "| Setting | Verdict | Becomes | |", "|---|---|---|---|"]
        lines += [_row(setting) for setting in settings]
        lines.append("")
    return "\n".join(lines)


def page(text: str) -> str:
    """A page with its table made anew.

    Raises:
        ValueError: The page has no place for it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the table")
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def _row(setting: Setting) -> str:
    flag = f" `{setting.flags[-1]}`" if setting.flags else ""
    becomes = ", ".join(f"`{option.replace('_', '-')}`" for option in setting.rule.option.split(", ") if option)
    becomes = "hook" if setting.name in HOOKS else becomes
    why = setting.rule.why.replace("|", "\\|")
    return f"| `{setting.name}`{flag} | {setting.rule.verdict.value} | {becomes} | {why} |"


def main(arguments: list[str]) -> None:
    """Prints the table, or writes it into the pages that are named."""
    if not arguments:
        print(table())
    for path in arguments:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(page(text))


if __name__ == "__main__":
    main(sys.argv[1:])
