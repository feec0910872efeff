"""Tabulates over seeds what steering earns and costs, and draws such a table:

    dqn-cli eval RUN --split test --sweep beta=0,4,8,16 --best-of 2,4,8 --json > control-1.json      (a file for each run)
    dqn-cli eval RUN --split test --json > cloning-1.json                              (of a run that has no values)
    python3 docs/steering_curve.py "KL control=control-1.json,control-2.json" "cloning=cloning-1.json" > table.md
    python3 docs/steering_curve.py --figure docs/pretrained.md 1 > docs/tables/steering.svg          (the first table of the page)

Means over the runs of a method; of best-of-n, which is the same for all, over all runs. A run may have several files, with
a plus between them: what `eval --seed` drew.
"""

import json
import statistics
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 56, 16, 16, 44
COLOURS = ("#0072b2", "#009e73", "#b4478a", "#c48a00", "#6b57b5", "#77808a", "#d55e00")
MOST_NATS = 8
MEASURES = ("divergence", "seconds", "distinct_2")


def rows_of(file):
    """What one evaluation says of each setting: its name, return, divergence, seconds and distinct bigrams."""
    with open(file) as rows:
        rows = json.load(rows)
    if "policies" in rows[0]:
        rows = [row for row in rows[0]["policies"] if row["policy"] == "imitation sampled"]
    plain = lambda row: {"policy": row["policy"], "return": row["episode_return"]["mean"]}
    return [plain(row) | {key: row.get(key) for key in MEASURES} for row in rows]


def mean_row(rows):
    """The means of rows of one setting; nothing where a measure is missing."""
    of = lambda key: None if any(row[key] is None for row in rows) else statistics.mean(row[key] for row in rows)
    return {"policy": rows[0]["policy"]} | {key: of(key) for key in ("return", *MEASURES)}


def read(arguments):
    """For each method the rows of its runs, and those of best-of-n of all runs."""
    methods, best = {}, []
    for argument in arguments:
        name, runs = argument.split("=", 1)
        for run in runs.split(","):
            rows = [mean_row(draws) for draws in zip(*map(rows_of, run.split("+")))]
            methods.setdefault(name, []).append([row for row in rows if not row["policy"].startswith("best of")])
            best.append([row for row in rows if row["policy"].startswith("best of")])
    return methods | {"best of n texts": [rows for rows in best if rows]}


def means(runs):
    """For each setting its name and the means over the runs, and between which returns they lie."""
    points = []
    for rows in zip(*runs):
        returns = [row["return"] for row in rows]
        name = rows[0]["policy"].removeprefix("decoded, ").removesuffix(", temperature 1").removeprefix("imitation ")
        points.append(mean_row(rows) | {"name": name, "range": (min(returns), max(returns))})
    return points


def table(methods):
    lines = ["| method | setting | mean return (least to most of the seeds) | KL, nats a text | seconds | distinct bigrams |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    cell = lambda value, digits: "" if value is None else f"{value:.{digits}f}"
    for name, runs in methods.items():
        for point in means(runs):
            low, high = point["range"]
            spread = f" ({low:.3f} to {high:.3f})" if len(runs) > 1 else ""
            measures = f"{cell(point['divergence'], 2)} | {cell(point['seconds'], 2)} | {cell(point['distinct_2'], 3)}"
            lines.append(f"| {name} | {point['name']} | {point['return']:.3f}{spread} | {measures} |")
    return "\n".join(lines)


def text(at, down, anchor, content):
    return f'<text x="{at:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="#333">{content}</text>'


def drawn_table(page, number):
    """For each method of a table of the page, as `table` has written it, its points that the figure has room for."""
    with open(page) as page:
        lines = page.read().splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("| method | setting |")]
    methods = {}
    for line in lines[starts[number - 1] + 2 :]:
        if not line.startswith("|"):
            break
        name, _, value, nats = [cell.strip() for cell in line.strip("|").split("|")][:4]
        if nats and float(nats) <= MOST_NATS:
            methods.setdefault(name, []).append({"return": float(value.split()[0]), "nats": float(nats)})
    return methods


def figure(curves):
    highest = max(point["return"] for points in curves.values() for point in points) * 1.05
    x = lambda nats: LEFT + nats / MOST_NATS * (WIDTH - LEFT - RIGHT)
    y = lambda value: HEIGHT - BOTTOM - max(value, 0) / highest * (HEIGHT - TOP - BOTTOM)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tick in range(MOST_NATS + 1):
        parts.append(text(x(tick), HEIGHT - BOTTOM + 18, "middle", tick))
    step = 0.1 if highest < 0.8 else 0.2
    for tick in range(int(highest / step) + 1):
        parts.append(f'<path d="M{LEFT} {y(tick * step):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y(tick * step) + 4, "end", f"{tick * step:.1f}"))
    parts.append(text(WIDTH - RIGHT, HEIGHT - 8, "end", "KL from the model, nats a text"))
    parts.append(text(LEFT, TOP - 4, "start", "mean return"))
    for index, (name, points) in enumerate(curves.items()):
        colour, dash = COLOURS[index % len(COLOURS)], ' stroke-dasharray="5 4"' if name.startswith("best") else ""
        line = "L".join(f"{x(point['nats']):.1f} {y(point['return']):.1f}" for point in points)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        for point in points:
            parts.append(f'<circle cx="{x(point["nats"]):.1f}" cy="{y(point["return"]):.1f}" r="3" fill="{colour}"/>')
        down = HEIGHT - BOTTOM - 14 * (len(curves) - index)
        parts.append(f'<path d="M{WIDTH - 190} {down - 4}h22" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(text(WIDTH - 162, down, "start", name))
    return "\n".join([*parts, "</svg>"])


if __name__ == "__main__":
    if sys.argv[1] == "--figure":
        print(figure(drawn_table(sys.argv[2], int(sys.argv[3]))))
    else:
        print(table(read(sys.argv[1:])))
