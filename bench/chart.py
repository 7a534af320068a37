"""The chart: records per second of each peer, and what a record costs in tables of each size, as SVG text."""

import math
from html import escape

from bench.cases import Plan
from bench.figures import Figures
from bench.goals import number
from bench.records import CASES

WIDTH, HEIGHT = 960, 420
COLOURS = {
    "raw": "#767676",
    "service": "#0b62a8",
    "Datasette": "#b26a00",
    "session.merge": "#7a4fa3",
}
COLOURS |= {"PocketBase": "#2e7d32"}
PANEL = 380  # a panel's width
TOP, BOTTOM = 70, 350


def svg(figures: Figures, plan: Plan) -> str:
    """Return the picture: bars on the left, lines on the right; their slope is the exponent of growth."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    parts = [
        f'{head} font-size="12" role="img">',
        "<title>Records per second, and cost against table size</title>",
    ]
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>')
    parts += [*_bars(figures, plan, 70), *_lines(figures, plan, 550), "</svg>"]
    return "\n".join(parts) + "\n"


def _bars(figures: Figures, plan: Plan, left: int) -> list[str]:
    rates = {
        (peer, case): figures.median("bulk", peer, case)
        for case in CASES
        for peer in COLOURS
    }
    low, high = _decades([rate for rate in rates.values() if rate])
    parts = [
        _text(
            left,
            24,
            f"Records per second, bulk of {plan.records:,} (logarithmic)",
            bold=True,
        ),
        *_grid(left, low, high),
    ]
    group, bar = PANEL / len(CASES), 22
    for place, case in enumerate(CASES):
        start = left + place * group + 8
        parts.append(_text(start + len(COLOURS) * bar / 2, BOTTOM + 18, case, "middle"))
        for step, (peer, colour) in enumerate(COLOURS.items()):
            if rate := rates[peer, case]:
                parts += _bar(
                    start + step * bar, bar - 3, _height(rate, low, high), colour, rate
                )
    return parts + _legend(left, COLOURS)


def _lines(figures: Figures, plan: Plan, left: int) -> list[str]:
    lines = {
        (what, case): _costs(figures, plan, what, case)
        for what in ("service", "raw")
        for case in _STROKES
    }
    low, high = _decades([cost for costs in lines.values() for cost in costs.values()])
    parts = [
        _text(
            left,
            24,
            "Microseconds a record against rows of the table (logarithmic)",
            bold=True,
        )
    ]
    parts += _grid(left, low, high)
    places = dict(zip(plan.tables, _spread(left, plan.tables), strict=True))
    parts += [_text(x, BOTTOM + 18, f"{size:,}", "middle") for size, x in places.items()]
    for (what, case), costs in lines.items():
        points = [
            (places[size], _height(cost, low, high), cost) for size, cost in costs.items()
        ]
        parts += _line(points, COLOURS[what], case)
    return parts + _legend(
        left,
        {"service": COLOURS["service"], "raw": COLOURS["raw"]},
        "solid: unchanged; dashed: changed",
    )


_STROKES = {"unchanged": "", "changed": ' stroke-dasharray="6 4"'}
_ASIDE = {"unchanged": 14, "changed": -7}  # where a point's figure stands


def _costs(figures: Figures, plan: Plan, what: str, case: str) -> dict[int, float]:
    costs = {size: figures.median("growth", what, case, str(size)) for size in plan.tables}
    return {size: cost for size, cost in costs.items() if cost}


def _decades(values: list[float]) -> tuple[int, int]:
    """Return the powers of ten that hold all values."""
    if not values:
        return 0, 1
    return math.floor(math.log10(min(values))), max(math.ceil(math.log10(max(values))), 1)


def _height(value: float, low: int, high: int) -> float:
    return BOTTOM - (math.log10(value) - low) / (high - low) * (BOTTOM - TOP)


def _spread(left: int, sizes: tuple[int, ...]) -> list[float]:
    first, last = math.log(sizes[0]), math.log(sizes[-1])
    return [
        left + 40 + (math.log(size) - first) / (last - first) * (PANEL - 80)
        for size in sizes
    ]


def _grid(left: int, low: int, high: int) -> list[str]:
    parts = []
    for power in range(low, high + 1):
        y = _height(10**power, low, high)
        parts.append(
            f'<line x1="{left}" y1="{y:.1f}" x2="{left + PANEL}" y2="{y:.1f}" stroke="#dddddd"/>'
        )
        parts.append(_text(left - 6, y + 4, f"{10**power:,}", "end"))
    return parts


def _bar(x: float, width: float, y: float, colour: str, value: float) -> list[str]:
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{BOTTOM - y:.1f}" fill="{colour}"/>'
    short = f"{value / 1000:.0f}k" if value >= 10_000 else f"{value / 1000:.1f}k"
    return [shape, _text(x + width / 2, y - 4, short, "middle", size=9)]


def _line(points: list[tuple[float, float, float]], colour: str, case: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    parts = [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{_STROKES[case]}/>'
    ]
    for x, y, cost in points:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        parts.append(_text(x, y + _ASIDE[case], number(cost), "middle", size=9))
    return parts


def _legend(left: int, colours: dict[str, str], more: str = "") -> list[str]:
    parts, x = [], left
    for name, colour in colours.items():
        parts.append(
            f'<rect x="{x}" y="{BOTTOM + 38}" width="10" height="10" fill="{colour}"/>'
        )
        parts.append(_text(x + 14, BOTTOM + 47, name))
        x += 30 + 7 * len(name)
    return [*parts, _text(x, BOTTOM + 47, more)] if more else parts


def _text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    *,
    size: int = 12,
    bold: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {where}{weight} fill="#222222">{escape(words)}</text>'
