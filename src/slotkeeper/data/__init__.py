"""Videos, masks and data sets: from files on disk to clips."""

from __future__ import annotations

from slotkeeper.data.augment import Augmentation
from slotkeeper.data.clips import ClipDataset
from slotkeeper.data.conversion.run import convert_dataset
from slotkeeper.data.features import FeatureSet, make_features, open_features
from slotkeeper.data.fingerprint import data_fingerprint
from slotkeeper.data.folders import find_videos, split_folders, split_videos
from slotkeeper.data.frames import VideoFrame, VideoInfo
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.loader import ClipLoader
from slotkeeper.data.media import MediaPath, path_or_url
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.resizing import resize_frames
from slotkeeper.data.segments import load_segments, save_segments
from slotkeeper.data.shards.making import make_shards
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.data.starts import Start, given_start, read_starts, start_from_segments
from slotkeeper.data.truth import TruthKind, check_flow_settings
from slotkeeper.data.whole_videos import iterate_videos, load_video

__all__ = [
    "Augmentation",
    "ClipDataset",
    "ClipLoader",
    "FeatureSet",
    "MediaPath",
    "SkippedVideo",
    "Start",
    "TruthKind",
    "VideoFrame",
    "VideoInfo",
    "VideoItem",
    "VideoReader",
    "check_flow_settings",
    "convert_dataset",
    "data_fingerprint",
    "find_videos",
    "given_start",
    "iterate_videos",
    "load_segments",
    "load_video",
    "make_features",
    "make_shards",
    "open_features",
    "path_or_url",
    "read_starts",
    "resize_frames",
    "save_segments",
    "split_folders",
    "split_videos",
    "start_from_segments",
]
