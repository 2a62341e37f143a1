"""Atari games, played at random and recorded with the boxes that `ocatari` reads from the game's memory.

OCAtari: Delfosse et al., RLJ 2024, arXiv 2306.08649. The source is no folder but a list of games: `Pong`, or
`Pong,Breakout:20` for 20 episodes of each.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from slotkeeper.data.sources.source import Source, SourceVideo, VideoContent
from slotkeeper.errors import ConfigError, DataError

_FPS = Fraction(15)  # 60 pictures a second, of which the environment shows every fourth
_DEFAULT_EPISODES = 10
_MAX_FRAMES = 500
"""Of an episode; longer ones are cut."""


class Atari(Source):
    """Episodes of games; each has its own seed, so that the same list gives the same videos."""

    expects = "games and how many episodes of each, such as Pong,Breakout:20"

    def videos(self) -> Iterator[SourceVideo]:
        """All episodes of all games."""
        match = re.fullmatch(r"([A-Za-z0-9]+(?:,[A-Za-z0-9]+)*)(?::(\d{1,6}))?", self.place)
        if match is None:
            raise ConfigError(f"the source of atari must be {self.expects}, got '{self.place}'")
        environment = _environment()
        for game in match[1].split(","):
            for episode in range(int(match[2] or _DEFAULT_EPISODES)):
                yield SourceVideo(
                    video_id=f"{game}/{episode:04d}",
                    split=None,
                    place=f"{game}, episode {episode}",
                    read=partial(_play, environment, game, episode),
                    part=f"{game} {episode}",
                )


def _environment() -> Any:
    try:
        return importlib.import_module("ocatari.core").OCAtari
    except ImportError as error:
        raise ConfigError(f"atari needs the package ocatari and its games: pip install ocatari ({error})") from error


def _play(environment: Any, game: str, episode: int) -> VideoContent:
    try:
        env = environment(f"ALE/{game}-v5", mode="ram", hud=False, render_mode="rgb_array")
    except (Exception, SystemExit) as error:  # gymnasium and ocatari have kinds of their own
        raise DataError(f"{game} can't be played: {error}") from error
    try:
        actions = np.random.default_rng(episode)
        frames, boxes = [np.asarray(env.reset(seed=episode)[0])], [_boxes(env)]
        is_over = False
        while not is_over and len(frames) < _MAX_FRAMES:
            frame, _, terminated, truncated, _ = env.step(int(actions.integers(env.action_space.n)))
            frames.append(np.asarray(frame))
            boxes.append(_boxes(env))
            is_over = bool(terminated or truncated)
    finally:
        env.close()
    if any(frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 for frame in frames):
        raise DataError(f"{game} gives no colour pictures")
    return VideoContent(frames=frames, fps=_FPS, objects=_objects(boxes), facts={"game": game, "seed": episode})


def _boxes(env: Any) -> dict[tuple[str, int], list[int]]:
    """x0 y0 x1 y1 of each object; those of one kind are numbered as the library lists them."""
    seen: Counter[str] = Counter()
    found = {}
    for thing in env.objects:
        x, y, width, height = (int(value) for value in thing.xywh)
        kind = str(thing.category)
        if width > 0 and height > 0:
            found[kind, seen[kind]] = [x, y, x + width, y + height]
        seen[kind] += 1
    return found


def _objects(boxes: list[dict[tuple[str, int], list[int]]]) -> list[dict[str, Any]]:
    names = sorted({name for frame in boxes for name in frame})
    return [
        {"id": number, "category": kind, "index": index, "boxes": [frame.get((kind, index)) for frame in boxes]}
        for number, (kind, index) in enumerate(names, start=1)
    ]
