"""The page itself: what stands on it, filled into its template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from slotkeeper.export.palette import css_color
from slotkeeper.export.video_facts import VideoFacts
from slotkeeper.files import atomic_path
from slotkeeper.report.moments import Moment
from slotkeeper.report.timeline import TimelineRow


@dataclass(frozen=True, kw_only=True)
class SlotRow:
    """One slot's pictures through time, as data addresses, and which objects it held."""

    slot: int
    is_background: bool
    track_ids: tuple[int, ...]
    pictures: tuple[Moment[str], ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything on the page.

    clip: base64 of an H.264 file, source at the left and overlay at the right, each of size `pane` (height, width).
    times: seconds of the clip's frames in the source; shorter than the video if it was cut. rows: of the timeline.
    crops: pictures of each object. num_tracks, num_rows: objects, and objects counted once per frame they show in.
    seconds: that tracking took.
    """

    facts: VideoFacts
    clip: str
    pane: tuple[int, int]
    times: tuple[float, ...]
    num_bins: int
    rows: tuple[TimelineRow, ...]
    crops: Mapping[int, list[Moment[str]]]
    slots: tuple[SlotRow, ...]
    num_tracks: int
    num_rows: int
    settings: Mapping[str, str]
    seconds: float

    @property
    def title(self) -> str:
        """The file's name, and the results' where that says more."""
        name, stem = self.facts.name, self.facts.stem
        return name if stem == Path(name).stem else f"{stem} · {name}"

    @property
    def notices(self) -> list[str]:
        """What a reader must know before believing the page."""
        notices = [] if self.facts.problem is None else [self.facts.problem]
        if len(self.times) < self.facts.num_frames:
            notices.append(
                f"The player holds the first {len(self.times)} of {self.facts.num_frames} frames, so that this page "
                "stays small; the timeline, the tables and the other result files cover all of them."
            )
        if self.facts.crowding is not None:
            notices.append(f"{self.facts.crowding[0].upper()}{self.facts.crowding[1:]}.")
        if len(self.rows) < self.num_tracks:
            notices.append(
                f"The {len(self.rows)} objects that show longest are listed, of {self.num_tracks}; the other result "
                "files hold all of them."
            )
        return notices

    @property
    def cut_places(self) -> list[float]:
        """Where the timeline shows cuts, in percent from its left; at most one per bin."""
        bins = sorted({cut * self.num_bins // max(1, self.facts.num_frames) for cut in self.facts.cuts})
        return [100 * place / self.num_bins for place in bins]

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """The headline figures."""
        facts = self.facts
        speed = f"{facts.num_frames / self.seconds:.1f}" if self.seconds > 0 else "–"
        return [
            ("objects", str(self.num_tracks)),
            ("at a time, on average", f"{self.num_rows / max(1, facts.num_frames):.1f}"),
            ("frames", str(facts.num_frames)),
            *([("cuts between shots", str(len(facts.cuts)))] if facts.cuts else []),
            ("frames per second", f"{float(facts.fps):g}" if facts.fps.denominator == 1 else f"{float(facts.fps):.3f}"),
            ("pixels", f"{facts.width} × {facts.height}"),
            ("frames tracked per second", speed),
        ]

    def script_data(self) -> dict[str, Any]:
        """What the page's script needs to know."""
        return {
            "fps": float(self.facts.fps),
            "numFrames": self.facts.num_frames,
            "paneHeight": self.pane[0],
            "paneWidth": self.pane[1],
            "times": [round(time, 3) for time in self.times],
            "numBins": self.num_bins,
            "tracks": [row.as_json() for row in self.rows],
        }


def write_page(path: Path, page: Page) -> None:
    """Write a page that loads nothing; every text that comes from a user is escaped.

    Raises:
        OutputError: it can't be written.
    """
    template = _environment().get_template("page.html.j2")
    text = template.render(page=page, style=_asset("page.css"), script=_asset("page.js"), css_color=css_color)
    with atomic_path(path) as partial:  # "replace": names of files need not be Unicode
        partial.write_text(text, encoding="utf-8", errors="replace")


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("slotkeeper.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> Markup:
    """A style sheet or script of this package, which is not escaped."""
    text = resources.files("slotkeeper.report").joinpath("assets", name).read_text(encoding="utf-8")
    return Markup(text)
