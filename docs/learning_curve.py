"""Draws docs/learning-curve.svg: python3 docs/learning_curve.py RUN... > docs/learning-curve.svg

The return on validation prompts over updates of each run, and that of two policies that do not learn.
"""

import json
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 56, 16, 16, 44
LOWEST, HIGHEST, LAST_UPDATE = -1.0, 2.4, 300


def x(update):
    return LEFT + (WIDTH - LEFT - RIGHT) * update / LAST_UPDATE


def y(value):
    return TOP + (HEIGHT - TOP - BOTTOM) * (HIGHEST - value) / (HIGHEST - LOWEST)


def text(at, down, anchor, content):
    return f'<text x="{at:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="#333">{content}</text>'


def line(value, style):
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" {style}/>'


runs = sys.argv[1:]
rows = json.load(open(f"{runs[0]}/eval/report.json"))["report"]["rows"]
validation = {row["policy"]: row["episode_return"]["mean"] for row in rows if row["split"] == "validation"}
out = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
    "<title>Return on validation prompts over parameter updates</title>",
    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
]
for value in (-1, -0.5, 0, 0.5, 1, 1.5, 2):
    out += [line(value, 'stroke="#e4e4e4"'), text(LEFT - 8, y(value) + 4, "end", f"{value:g}")]
for update in range(0, LAST_UPDATE + 1, 50):
    out.append(text(x(update), HEIGHT - BOTTOM + 18, "middle", update))
out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "middle", "parameter updates"))
for policy in ("n-gram sampling", "n-gram, form forced"):
    out.append(line(validation[policy], 'stroke="#777" stroke-dasharray="6 4"'))
    out.append(text(WIDTH - RIGHT - 4, y(validation[policy]) - 6, "end", policy))
for run in runs:
    records = [json.loads(record) for record in open(f"{run}/metrics.jsonl")]
    measured = [(r["update"], r["scalars"]["validation/return"]) for r in records if "validation/return" in r["scalars"]]
    points = [(0, validation["before learning"])] + measured
    path = " ".join(f"{x(update):.1f},{y(value):.1f}" for update, value in points)
    out.append(f'<polyline points="{path}" fill="none" stroke="#1f6fb4" stroke-width="1.6"/>')
out.append("</svg>")
print("\n".join(out))
