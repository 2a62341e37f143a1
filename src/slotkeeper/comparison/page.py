"""The page of a comparison: tables, intervals, curves, the video side by side; one file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from slotkeeper.comparison.cells import Cell
from slotkeeper.comparison.charts import HEIGHT, WIDTH, make_charts, points_of, variant_color
from slotkeeper.comparison.plan import LOWER_IS_BETTER
from slotkeeper.comparison.showcase import make_showcase
from slotkeeper.comparison.videos import ComparedVideos
from slotkeeper.files import atomic_path

_FEW_SEEDS = 3
_WHOLE = frozenset({"id_switches"})


def write_page(path: Path, comparison: Mapping[str, Any], cells: Sequence[Cell], videos: ComparedVideos) -> None:
    """Write the page; every text that comes from a user is escaped.

    Raises:
        OutputError: it can't be written.
    """
    showcase = make_showcase(videos.scoring.video, cells)
    text = (
        _environment()
        .get_template("comparison.html.j2")
        .render(
            comparison=comparison,
            showcase=showcase,
            charts=make_charts(comparison),
            chart_size=(WIDTH, HEIGHT),
            notices=notices(comparison),
            numbers=headline(comparison),
            style=_asset("slotkeeper.report", "page.css") + _asset("slotkeeper.comparison", "comparison.css"),
            script=_asset("slotkeeper.comparison", "comparison.js"),
        )
    )
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")


def notices(comparison: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the page."""
    told = [f"{variant['name']}: {variant['outcome']}." for variant in comparison["variants"] if variant["outcome"]]
    num_seeds = len(comparison["seeds"])
    if num_seeds < _FEW_SEEDS:
        word = "one seed" if num_seeds == 1 else f"{num_seeds} seeds"
        told.append(f"With {word} the spread between seeds is hardly known; intervals mostly tell that of the videos.")
    spread = sorted({cell["steps"] for cell in comparison["cells"] if cell["steps"]})
    if len(spread) > 1:
        told.append(f"Cells trained for different numbers of steps, {spread[0]} to {spread[-1]}; see Cost.")
    return told


def headline(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures at the top."""
    cells = comparison["cells"]
    num_scored = sum(cell["outcome"] in ("finished", "collapsed") for cell in cells)
    seconds = sum(cell["train_seconds"] or 0 for cell in cells)
    ((kind, amount),) = comparison["budget"].items()
    return [
        ("variants, the base included", str(len(comparison["variants"]))),
        ("seeds each", str(len(comparison["seeds"]))),
        ("cells with scores", f"{num_scored} of {len(cells)}"),
        (f"{kind} for each cell", f"{amount:g}"),
        ("training in all", _duration(seconds)),
    ]


def _value(value: int | float | None, metric: str = "") -> str:
    """A score as tables show it."""
    if value is None:
        return "–"
    if metric in _WHOLE:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}" if metric == "psnr" else f"{value:.3f}"


def _signed(value: int | float | None, metric: str = "") -> str:
    if value is None:
        return "–"
    shown = _value(abs(value), metric)
    return shown if float(shown) == 0 else f"{'+' if value > 0 else '−'}{shown}"


def _duration(seconds: int | float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _number(value: int | float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _spread(cost: Mapping[str, int | float | None], form: str = "") -> str:
    """A mean, with the least and the most where these differ."""
    show = _duration if form == "time" else _number
    if cost["least"] == cost["most"] or show(cost["least"]) == show(cost["most"]):
        return show(cost["mean"])
    return f"{show(cost['mean'])} ({show(cost['least'])} to {show(cost['most'])})"


def _setting(value: Any) -> str:
    """A config's value as YAML writes it, nearly."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_setting(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(_setting(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _reach(comparison: Mapping[str, Any], name: str, metric: str) -> float:
    """How far from zero a metric's intervals reach, so that all bars of a column share one scale."""
    differences = [variant["scores"][name][metric]["difference"] for variant in comparison["variants"]]
    known = [item for item in differences if item and item["low"] is not None]
    return points_of([(item["low"], item["high"]) for item in known])


def _best(comparison: Mapping[str, Any], name: str, metric: str) -> float | None:
    means = [variant["scores"][name][metric]["mean"] for variant in comparison["variants"]]
    known = [mean for mean in means if mean is not None]
    return None if not known else min(known) if metric in LOWER_IS_BETTER else max(known)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("slotkeeper.comparison", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "value": _value,
        "signed": _signed,
        "duration": _duration,
        "number": _number,
        "spread": _spread,
        "setting": _setting,
        "color": variant_color,
    }
    environment.globals |= {"reach": _reach, "best": _best, "lower_is_better": LOWER_IS_BETTER}
    return environment


def _asset(package: str, name: str) -> Markup:
    """A style sheet or script of this package, which is not escaped."""
    return Markup(resources.files(package).joinpath("assets", name).read_text(encoding="utf-8"))
