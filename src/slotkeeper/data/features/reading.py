"""Features of videos, read from their shards by frame."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt16

from slotkeeper.data.augment import Augmentation
from slotkeeper.data.features.layout import HEAD_BYTES, file_bytes
from slotkeeper.data.fingerprint import content_mark
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.shards.archive import MAKING_FOLDER, ShardSet, open_shards
from slotkeeper.data.shards.feature_facts import FeatureFacts
from slotkeeper.data.shards.index import FEATURES_FORMAT, INDEX_NAME
from slotkeeper.errors import ConfigError, DataError, counted


class FeatureSet:
    """What `make_features` wrote; all methods may be called by several threads.

    Raises:
        DataError: a file of features can't be as long as it is.
    """

    def __init__(self, shards: ShardSet):
        facts = shards.index.features
        assert facts is not None, "a set of features has facts"
        self.facts: FeatureFacts = facts
        """What all of them have in common."""
        self._shards = shards
        self._videos = {video.video_id: video for video in shards.index.videos}
        for video in shards.index.videos:
            if video.video[0].num_bytes != file_bytes(facts, video.num_frames):
                raise DataError(
                    f"{self}/{INDEX_NAME} can't be used: the features of '{video.video_id}' take "
                    f"{video.video[0].num_bytes} bytes, expected {file_bytes(facts, video.num_frames)}"
                )

    def __str__(self) -> str:
        return str(self._shards.storage)

    @property
    def precision(self) -> torch.dtype:
        """The type that `read` gives the bits of."""
        return self.facts.dtype

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits of all that is in it, so that a run can tell whether it still sees the same."""
        return hashlib.sha256("".join(shard.sha256 for shard in self._shards.index.shards).encode()).hexdigest()

    def check(self, item: VideoItem, num_frames: int) -> None:
        """Find out whether a video's features are here, and of this very video.

        Raises:
            DataError: they aren't.
        """
        known = self._videos.get(item.video_id)
        if known is None:
            raise DataError(
                f"{item.video} has no features: none in {self} are of a video with the id '{item.video_id}'"
            )
        if known.num_frames != num_frames:
            has, video_has = counted(known.num_frames, "frame"), counted(num_frames, "frame")
            raise DataError(f"{self} has features of {has} for '{item.video_id}', but {item.video} has {video_has}")
        if known.source != content_mark(item.video):
            raise DataError(f"the features for '{item.video_id}' in {self} are of another video than {item.video}")

    def read(self, video_id: str, indices: Sequence[int]) -> UInt16[np.ndarray, "t n e"]:
        """The bits of the features of some frames, which may repeat and come in any order; `check` comes first.

        Raises:
            DataError: the shard is missing or damaged.
        """
        facts, rank = self.facts, {index: place for place, index in enumerate(sorted(set(indices)))}
        rows = np.empty((len(rank), facts.num_tokens, facts.width), np.uint16)
        with self._shards.features(self._videos[video_id]).open("rb") as handle:
            for index, place in rank.items():
                handle.seek(HEAD_BYTES + index * facts.frame_bytes)
                content = handle.read(facts.frame_bytes)
                rows[place] = np.frombuffer(content, "<u2").reshape(rows.shape[1:])
        return rows[[rank[index] for index in indices]]


def open_features(path: str | Path) -> FeatureSet:
    """The features in a folder, or at the address of one.

    Raises:
        DataError: there are none, they are not all computed, or their index is damaged.
    """
    shards = open_shards(path, FEATURES_FORMAT)
    if shards is not None:
        return FeatureSet(shards)
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"there is no folder of features {folder}; 'slotkeeper data features' makes one")
    if (folder / MAKING_FOLDER).is_dir():
        raise DataError(
            f"the features in {folder} are not all computed: the same 'slotkeeper data features' goes on where it "
            "stopped"
        )
    raise DataError(f"{folder} holds no features, since it has no {INDEX_NAME} of 'slotkeeper data features'")


def check_feature_settings(*, fit: str, augmentation: Augmentation) -> None:
    """Refuse clips whose pictures are others than those that the features were computed from.

    Raises:
        ConfigError: names the setting.
    """
    if fit != "stretch":
        raise ConfigError(f"data.fit must be 'stretch' with data.features, which are of whole frames, got '{fit}'")
    if augmentation != Augmentation():
        raise ConfigError("data.augmentation must be left out with data.features, which are of the frames as they are")
