"""The one list of data sets that are known: name -> "module:Class". A new one is a file and a line."""

from __future__ import annotations

import importlib

from slotkeeper.data.sources.source import Source
from slotkeeper.errors import ConfigError, nearest_name

SOURCES = {
    "clevr_video": "slotkeeper.data.sources.clevr:ClevrVideo",
    "clevrer": "slotkeeper.data.sources.clevrer:Clevrer",
    "movi_a": "slotkeeper.data.sources.movi:MoviA",
    "movi_b": "slotkeeper.data.sources.movi:MoviB",
    "movi_c": "slotkeeper.data.sources.movi:MoviC",
    "movi_d": "slotkeeper.data.sources.movi:MoviD",
    "movi_e": "slotkeeper.data.sources.movi:MoviE",
    "movi_f": "slotkeeper.data.sources.movi:MoviF",
    "obj3d": "slotkeeper.data.sources.frame_folders:Obj3d",
    "cater": "slotkeeper.data.sources.cater:Cater",
    "physion": "slotkeeper.data.sources.physion:Physion",
    "davis16": "slotkeeper.data.sources.davis:Davis16",
    "davis17": "slotkeeper.data.sources.davis:Davis17",
    "ytvis19": "slotkeeper.data.sources.coco_vis:YouTubeVis",
    "ytvis21": "slotkeeper.data.sources.coco_vis:YouTubeVis",
    "ovis": "slotkeeper.data.sources.coco_vis:Ovis",
    "mose": "slotkeeper.data.sources.frame_folders:Mose",
    "ctc": "slotkeeper.data.sources.cell_tracking:CellTracking",
    "atari": "slotkeeper.data.sources.atari:Atari",
}


def find_source(name: str) -> type[Source]:
    """The class that reads a data set.

    Raises:
        ConfigError: no data set has this name.
    """
    if name not in SOURCES:
        raise ConfigError(f"there is no data set named '{name}'; {nearest_name(name, SOURCES)}")
    module, _, class_name = SOURCES[name].partition(":")
    found: type[Source] = getattr(importlib.import_module(module), class_name)
    return found
