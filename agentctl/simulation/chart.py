"""Line charts as SVG, readable on a light and on a dark background, made without any library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 440, 70, 48, 190, 56
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee9944", "#7f7f7f", "#44aa99", "#882255")
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #ddd } .frame { fill: none; stroke: #888 } .ground { fill: #fff } polyline { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { text { fill: #ccc } .grid { stroke: #3a3a3a } .ground { fill: #161616 } }
"""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    label: str
    """What is measured, with its unit."""
    log: bool = False
    percent: bool = False

    def shown(self, value: float) -> str:
        return f"{100 * value:.3g}%" if self.percent else f"{value:,.6g}"

    def scale(self, values: Sequence[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
        """Return a function from a value to its place between `start` and `end`, and the values to mark."""
        low, high = min(values), max(values)
        if self.log:
            marks = [m * 10.0**e for e in range(floor(log10(low)), ceil(log10(high)) + 1) for m in (1, 2, 5)]
            first = max((m for m in marks if m <= low * 1.001), default=marks[0])
            last = min((m for m in marks if m >= high * 0.999), default=marks[-1])
            last = last if last > first else first * 10
            width = log10(last / first)
            return (
                lambda v: start + (end - start) * log10(v / first) / width,
                [m for m in marks if first * 0.999 <= m <= last * 1.001],
            )
        low = min(low, 0.0)
        step = _step((high - low) or 1.0)
        top = max(step, ceil(high / step - 1e-9) * step)
        marks = [low + step * n for n in range(round((top - low) / step) + 1)]
        return lambda v: start + (end - start) * (v - low) / (top - low), marks


def _step(span: float) -> float:
    """Return a round distance between marks, so that four to ten of them fit into `span`."""
    rough = 10.0 ** floor(log10(span))
    return next(rough * m for m in (0.1, 0.2, 0.5, 1.0) if span / (rough * m) <= 10)


def chart(title: str, x: Axis, y: Axis, lines: Mapping[str, Points]) -> str:
    """Draw named lines, and return the picture; lines without points are left out.

    On a log axis, a point that is not positive is left out too.
    """
    lines = {name: [(a, b) for a, b in points if (a > 0 or not x.log) and (b > 0 or not y.log)] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        raise ValueError(f"nothing to draw in {title!r}")
    every = [point for points in lines.values() for point in points]
    across, columns = x.scale([a for a, _ in every], LEFT, WIDTH - RIGHT)
    up, rows = y.scale([b for _, b in every], HEIGHT - BOTTOM, TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>',
    ]
    out += _grid(x, y, [(across(v), v) for v in columns], [(up(v), v) for v in rows])
    for n, (name, points) in enumerate(lines.items()):
        colour, height = COLOURS[n % len(COLOURS)], TOP + 10 + 20 * n
        dash = ' stroke-dasharray="6 4"' if n >= len(COLOURS) else ""
        path = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in points)
        out.append(f'<polyline stroke="{colour}"{dash} points="{path}"/>')
        out += [f'<circle fill="{colour}" r="3" cx="{across(a):.1f}" cy="{up(b):.1f}"/>' for a, b in points]
        side = WIDTH - RIGHT + 16
        out.append(f'<line stroke="{colour}"{dash} stroke-width="3" x1="{side}" x2="{side + 18}" y1="{height}" y2="{height}"/>')
        out.append(f'<text x="{side + 24}" y="{height + 4}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _grid(x: Axis, y: Axis, columns: Sequence[tuple[float, float]], rows: Sequence[tuple[float, float]]) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    out = []
    for at, value in columns:
        out.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}"/>')
        out.append(f'<text text-anchor="middle" x="{at:.1f}" y="{bottom + 18}">{x.shown(value)}</text>')
    for at, value in rows:
        out.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(f'<text text-anchor="end" x="{LEFT - 8}" y="{at + 4:.1f}">{y.shown(value)}</text>')
    middle = (TOP + bottom) / 2
    out.append(f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>')
    out.append(f'<text text-anchor="middle" x="{(LEFT + right) / 2}" y="{HEIGHT - 14}">{escape(x.label)}</text>')
    out.append(f'<text text-anchor="middle" transform="rotate(-90 18 {middle})" x="18" y="{middle}">{escape(y.label)}</text>')
    return out
