"""The plot: CPU time per request, a group of bars for each row of the table. Plain SVG, for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from benches.servers import BASELINE

_WIDTH = 860
_NAMES = 190
_BARS = 560
_STEP = 18
_BAR = 12
_GROUP_HEAD = 34
# A bar that is longer than so many times the group's shortest is cut: it would make the others invisible.
_CUT = 8.0

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.row { font-weight: 600; }
.value { font-size: 11px; fill: #57606a; }
.bar { fill: #9aa4af; }
.mine { fill: #c2410c; }
.cut { stroke: #ffffff; stroke-width: 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .value { fill: #9da7b1; }
  .bar { fill: #5c6773; }
  .mine { fill: #fb923c; }
  .cut { stroke: #0d1117; }
}
"""


def draw(result: dict[str, Any]) -> str:
    """Draws a comparison as an SVG document."""
    body: list[str] = []
    top = 44
    for row in result["rows"]:
        bars = sorted(((f["cpu_us"], key) for key, f in row["results"].items()), key=lambda bar: bar[0])
        if bars:
            body += _group(row["title"], bars, result["servers"], top)
            top += _GROUP_HEAD + _STEP * len(bars)
    title = "CPU time per request in microseconds (less is better; each group has its own scale)"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 8}" width="{_WIDTH}" role="img">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="8" y="22">{title}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _group(title: str, bars: list[tuple[float, str]], servers: dict[str, Any], top: int) -> Iterator[str]:
    yield f'<text class="row" x="8" y="{top + 18}">{escape(title)}</text>'
    longest = min(max(value for value, _ in bars), bars[0][0] * _CUT)
    for index, (value, key) in enumerate(bars):
        y = top + _GROUP_HEAD - 6 + index * _STEP
        yield from _bar(value, longest, servers[key]["label"], key.startswith(BASELINE), y)


def _bar(value: float, longest: float, label: str, mine: bool, y: int) -> Iterator[str]:
    length = max(1.0, min(value, longest) / longest * _BARS)
    kind = "bar mine" if mine else "bar"
    yield f'<text x="{_NAMES - 8}" y="{y + _BAR - 2}" text-anchor="end">{escape(label)}</text>'
    yield f'<rect class="{kind}" x="{_NAMES}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
    if value > longest * 1.001:
        x = _NAMES + length - 24
        yield f'<line class="cut" x1="{x:.0f}" y1="{y + _BAR + 2}" x2="{x + 8:.0f}" y2="{y - 2}"/>'
    number = f"{value:.1f}" if value < 100 else f"{value:,.0f}"
    yield f'<text class="value" x="{_NAMES + length + 6:.1f}" y="{y + _BAR - 2}">{number}</text>'
