"""Draws costs over the number of stored messages as one SVG, both axes logarithmic."""

import math
from collections.abc import Mapping

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 420, 60, 190, 40, 40
_COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f", "#475569")


def draw(costs: Mapping[str, Mapping[int, float]], title: str) -> str:
    """Give the picture; `costs` by name, then by size, in microseconds."""
    sizes = sorted({size for row in costs.values() for size in row})
    highest = max(us for row in costs.values() for us in row.values())
    lowest = min(us for row in costs.values() for us in row.values())
    low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    wide = math.log10(sizes[-1] / sizes[0]) or 1.0

    def x(size: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log10(size / sizes[0]) / wide

    def y(us: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (math.log10(us) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{title}</text>',
    ]
    for power in range(low, high + 1):
        at = y(10**power)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10**power:,}</text>')
    for size in sizes:
        parts.append(
            f'<text x="{x(size):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{size:,}</text>'
        )
    # Names stand beside their curves' ends, pushed apart where ends lie together.
    floor = 0.0
    for turn, (name, row) in enumerate(sorted(costs.items(), key=lambda each: -each[1][max(each[1])])):
        colour = _COLOURS[turn % len(_COLOURS)]
        points = " ".join(f"{x(size):.1f},{y(us):.1f}" for size, us in sorted(row.items()))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        floor = max(y(row[max(row)]) + 4, floor + 14)
        parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{floor:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])
