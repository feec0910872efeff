"""Draws a learning curve: python3 docs/learning_curve.py RUN... > docs/learning-curve.svg

The return on validation prompts over updates of each run, and those of the policies that do not learn.
"""

import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 56, 16, 16, 44
UNLEARNED = ("n-gram sampling", "n-gram, form forced", "prior network sampling", "prior network, form forced")


def text(at, down, anchor, content):
    return f'<text x="{at:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="#333">{content}</text>'


def validation_rows(run):
    with open(f"{run}/eval/report.json") as report:
        rows = json.load(report)["report"]["rows"]
    return {row["policy"]: row["episode_return"]["mean"] for row in rows if row["split"] == "validation"}


def curve(run):
    with open(f"{run}/metrics.jsonl") as metrics:
        records = [json.loads(record) for record in metrics]
    measured = [(r["update"], r["scalars"]["validation/return"]) for r in records if "validation/return" in r["scalars"]]
    return [(0, validation_rows(run)["before learning"])] + measured


def tick(span, n_ticks):
    """The smallest of 1, 2 and 5 times a power of ten that divides the span into at most so many parts."""
    power = 10.0 ** math.floor(math.log10(span / n_ticks))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= n_ticks)


curves = [curve(run) for run in sys.argv[1:]]
lines = {name: value for name, value in validation_rows(sys.argv[1]).items() if name in UNLEARNED}
values = [value for points in curves for _, value in points] + list(lines.values())
step = tick(max(values) - min(values), 8)
lowest, highest = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
last_update = max(update for points in curves for update, _ in points)


def x(update):
    return LEFT + (WIDTH - LEFT - RIGHT) * update / last_update


def y(value):
    return TOP + (HEIGHT - TOP - BOTTOM) * (highest - value) / (highest - lowest)


def line(value, style):
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" {style}/>'


out = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
    "<title>Return on validation prompts over parameter updates</title>",
    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
]
for index in range(round((highest - lowest) / step) + 1):
    value = lowest + index * step
    out += [line(value, 'stroke="#e4e4e4"'), text(LEFT - 8, y(value) + 4, "end", f"{round(value, 6):g}")]
update_step = tick(last_update, 8)
for index in range(int(last_update / update_step) + 1):
    update = index * update_step
    out.append(text(x(update), HEIGHT - BOTTOM + 18, "middle", f"{update:g}"))
out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "middle", "parameter updates"))
for name, value in lines.items():
    out.append(line(value, 'stroke="#777" stroke-dasharray="6 4"'))
    out.append(text(WIDTH - RIGHT - 4, y(value) - 6, "end", name))
for points in curves:
    path = " ".join(f"{x(update):.1f},{y(value):.1f}" for update, value in points)
    out.append(f'<polyline points="{path}" fill="none" stroke="#1f6fb4" stroke-width="1.6"/>')
out.append("</svg>")
print("\n".join(out))
