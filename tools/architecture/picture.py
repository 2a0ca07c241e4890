"""The imports as an SVG picture: text that stays text, in colours for light and for dark pages."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from tools.architecture.imports import API_PROCESS, CORE, SERVERS, WORKER_PROCESS, Imports, Package
from tools.architecture.layout import BOXES, FOUNDATION, HEIGHT, NO_PLACE, WIDTH, Box, Point, ways

LETTER = 6.8
"""Pixels of a letter of the small text, at most."""
LINES = 3
"""Of small text in a box."""
WIDE = 500
"""Boxes that are wider have what is said of their process at the right."""
RADIUS = 8
"""Of the corners of arrows."""
HTTP_STEP = 10
"""From the client to the way of its requests."""
PROCESSES = {
    frozenset({API_PROCESS}): ("api", "in the API's process"),
    frozenset({WORKER_PROCESS}): ("worker", "in the worker's process"),
    frozenset({API_PROCESS, WORKER_PROCESS}): ("both", "in both"),
    frozenset(): ("command", "in neither"),
}
"""Colour and words for the processes that a package is loaded in."""
MARKS = {
    "saft": "process: saft serve, which starts the others",
    "ui": "in the API's process",
    "api": "process: saft api",
    "worker": "process: saft worker",
    "evaluation": "process: saft evaluate",
    "migrations": "run at every start",
}
"""What a box says of the process that begins in it."""
STYLE = """
  svg { color-scheme: light dark; --page: #ffffff; --ink: #1f2933; --soft: #52606d; --line: #7b8794;
    --api: #e3edfc; --api-edge: #3b6fc4; --worker: #e2f4e7; --worker-edge: #2f855a;
    --both: #efe8fb; --both-edge: #7350b5; --command: #f2f3f5; --command-edge: #7b8794;
    --server: #fdf1dc; --server-edge: #b7791f; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --soft: #a9b4c0; --line: #8b949e;
      --api: #14243f; --api-edge: #6ea0f0; --worker: #12301f; --worker-edge: #57b57f;
      --both: #261b40; --both-edge: #a88be0; --command: #1c222a; --command-edge: #8b949e;
      --server: #33260f; --server-edge: #d9a441; } }
  text { font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; font-size: 12px;
    fill: var(--soft); }
  .name { font-size: 15px; font-weight: 650; fill: var(--ink); }
  .mark { font-size: 11px; font-weight: 600; }
  .way { fill: none; stroke: var(--line); stroke-width: 1.5; }
  .http { stroke-dasharray: 5 4; }
  .head { fill: var(--line); }
  .page { fill: var(--page); }
""" + "".join(
    f"  .{kind} {{ fill: var(--{kind}); stroke: var(--{kind}-edge); stroke-width: 1.3; }}"
    f" .mark.of-{kind} {{ fill: var(--{kind}-edge); }}\n"
    for kind in ("api", "worker", "both", "command", "server")
)


def draw(imports: Imports) -> str:
    """The picture, the same for the same imports. Raises ValueError as `ways` does."""
    if missing := sorted(imports.packages.keys() - BOXES.keys()):
        raise ValueError(f"{', '.join(missing)}: {NO_PLACE}")
    arrows = ways(imports.arrows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title">',
        '<title id="title">Which package imports which, and in which process it runs</title>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="head" d="M0 0.5 L8 4 L0 7.5 z"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
        *(_arrow(arrows[arrow]) for arrow in sorted(arrows)),
        _http(),
        *(_package(imports.packages[name]) for name in sorted(imports.packages)),
        *(_server(server.name, server.line, BOXES[server.name]) for server in SERVERS),
        *_foundation(imports),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _arrow(corners: Sequence[Point], style: str = "way") -> str:
    """A line with round corners and a head."""
    path = [f"M{_xy(corners[0])}"]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        path.append(f"L{_xy(_towards(corner, before))} Q{_xy(corner)} {_xy(_towards(corner, after))}")
    path.append(f"L{_xy(corners[-1])}")
    return f'<path class="{style}" d="{" ".join(path)}" marker-end="url(#head)"/>'


def _towards(corner: Point, other: Point) -> Point:
    (x, y), (to_x, to_y) = corner, other
    length = abs(to_x - x) + abs(to_y - y)
    share = min(RADIUS, length / 2) / length if length else 0
    return x + (to_x - x) * share, y + (to_y - y) * share


def _xy(point: Point) -> str:
    return " ".join(f"{value:g}" for value in point)


def _http() -> str:
    """The one way between packages that is no import: the client's requests to the API."""
    client, api = BOXES["saft_client"], BOXES["api"]
    x, level = client.right + HTTP_STEP, api.middle[1] - HTTP_STEP
    way = [(client.right, client.middle[1]), (x, client.middle[1]), (x, level), (api.x, level)]
    return _arrow(way, "way http") + _text(x - 4, client.y - 16, "HTTP", anchor="end")


def _package(package: Package) -> str:
    place = BOXES[package.name]
    kind, _ = PROCESSES[frozenset() if package.name == "saft" else package.processes]
    name = package.name.replace(".", "/")
    mark = MARKS.get(package.name)
    lines = _wrapped(package.line, place)
    return "\n".join(
        [
            _rectangle(place, kind),
            _text(place.x + 12, place.y + 24, name, "name"),
            *(_text(place.x + 12, place.y + 44 + 17 * number, line) for number, line in enumerate(lines)),
            *([_mark(place, mark, kind)] if mark else []),
        ]
    )


def _rectangle(place: Box, kind: str) -> str:
    size = f'x="{place.x:g}" y="{place.y:g}" width="{place.width:g}" height="{place.height:g}"'
    return f'<rect class="{kind}" {size} rx="8"/>'


def _mark(place: Box, mark: str, kind: str) -> str:
    if place.width > WIDE:
        return _text(place.right - 12, place.y + 24, mark, f"mark of-{kind}", "end")
    return _text(place.x + 12, place.bottom - 12, mark, f"mark of-{kind}")


def _wrapped(text: str, place: Box) -> list[str]:
    """As much of a sentence as there is room for: what follows its last colon is left out where it is too long."""
    width = int((place.width - 20) / LETTER)
    while len(lines := textwrap.wrap(text, width)) > LINES and ":" in text:
        text = text.rpartition(":")[0]
    if len(lines) > LINES:
        raise ValueError(f"{text!r} is too long for its box: shorten the package's docstring")
    return lines


def _server(name: str, line: str, place: Box) -> str:
    """A cylinder."""
    x, y, right, bottom, tilt = place.x, place.y, place.right, place.bottom, 7
    arc = f"A{place.width / 2:g} {tilt} 0 0"
    body = f"M{x:g} {y + tilt:g} V{bottom - tilt:g} {arc} 0 {right:g} {bottom - tilt:g} V{y + tilt:g}"
    lid = f"M{x:g} {y + tilt:g} {arc} 1 {right:g} {y + tilt:g} {arc} 1 {x:g} {y + tilt:g} z"
    lines = textwrap.wrap(line, int((place.width - 8) / LETTER))
    return "\n".join(
        [
            f'<path class="server" d="{body}"/><path class="server" d="{lid}"/>',
            _text(place.middle[0], y + 29, name, "name", "middle"),
            *(_text(place.middle[0], y + 45 + 14 * number, text, anchor="middle") for number, text in enumerate(lines)),
        ]
    )


def _foundation(imports: Imports) -> Iterable[str]:
    names = ", ".join(name.removeprefix(f"{CORE}.") for name in imports.modules)
    excepted = "".join(
        f" ({importer.removeprefix(f'{CORE}.')} imports {imported.removeprefix(f'{CORE}.')})"
        for importer, imported in sorted(imports.exceptions)
    )
    place, words = FOUNDATION, f"{names}{excepted}"
    if len(words) > place.width / LETTER:
        raise ValueError(f"{CORE} has more modules than fit on a line of the picture")
    return [
        _rectangle(place, "both"),
        _text(place.x + 12, place.y + 24, f"{CORE}/*.py", "name"),
        _text(place.x + 12, place.y + 44, words),
        _text(place.right - 12, place.y + 24, "for all but ui and saft_client", "mark of-both", "end"),
    ]


def _legend() -> Iterable[str]:
    """What the colours and lines mean, in the free corner on the right."""
    x, y = BOXES["evaluation"].x + 10, BOXES["saft_core.export"].y + 14
    rows = [*PROCESSES.values(), ("server", "a server, or the disk")]
    for number, (kind, words) in enumerate(rows):
        top = y + 26 * number
        yield f'<rect class="{kind}" x="{x:g}" y="{top:g}" width="16" height="16" rx="4"/>'
        yield _text(x + 26, top + 12, words)
    for number, (style, words) in enumerate((("way", "imports"), ("way http", "asks"))):
        level = y + 26 * (len(rows) + number) + 8
        yield _arrow([(x - 4, level), (x + 20, level)], style) + _text(x + 26, level + 4, words)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    of = f' class="{style}"' if style else ""
    where = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text{of} x="{x:g}" y="{y:g}"{where}>{escape(text)}</text>'
