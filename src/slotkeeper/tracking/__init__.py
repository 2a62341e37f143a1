"""Tracking: soft masks of slots, frame by frame, to objects that keep their ids.

Identities come from slots: an object's id is the occupancy of one slot, so nothing is matched between frames.
"""

from __future__ import annotations

from slotkeeper.tracking.background import BackgroundRecognition, measure_background
from slotkeeper.tracking.clips import object_segments, slot_labels
from slotkeeper.tracking.rules import TrackingRules
from slotkeeper.tracking.shot_log import ShotLog
from slotkeeper.tracking.tracked import TrackedFrame, TrackedObject, collect_tracks
from slotkeeper.tracking.tracker import Tracker

__all__ = [
    "BackgroundRecognition",
    "ShotLog",
    "TrackedFrame",
    "TrackedObject",
    "Tracker",
    "TrackingRules",
    "collect_tracks",
    "measure_background",
    "object_segments",
    "slot_labels",
]
