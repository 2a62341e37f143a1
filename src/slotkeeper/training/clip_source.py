"""Batches for training, with clips that grow longer as the curriculum says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from slotkeeper.config import Config
from slotkeeper.data import ClipDataset, ClipLoader, SkippedVideo, VideoItem
from slotkeeper.hardware import choose_device
from slotkeeper.training.needs import ClipNeeds, needs_of
from slotkeeper.types import Clip

if TYPE_CHECKING:
    from slotkeeper.scenes.endless import EndlessScenes


class CurriculumSource:
    """A loader for the present clip length and batch size; a change makes a new one, at the same place in the epoch.

    items: the videos; none where scenes are endless. device: where endless scenes are rendered; None for the config's.
    needs: what clips carry beside frames; None is found out from the config. skipped: videos found unusable so far.
    rank, world_size: this process's part of each batch, as `ClipLoader` takes them. Close it after use.
    """

    def __init__(
        self,
        config: Config,
        items: Sequence[VideoItem],
        *,
        needs: ClipNeeds | None = None,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
        show_progress: bool = False,
    ):
        self._needs = needs_of(config) if needs is None else needs
        self.skipped: dict[str, SkippedVideo] = {}
        self._config, self._items, self._show_progress = config, items, show_progress
        self._rank, self._world_size = rank, world_size
        self._position: Mapping[str, int] = {"epoch": 0, "consumed": 0}
        self._stage: tuple[int, int] | None = None
        self._device = device or choose_device(config.training.device)
        self._dataset: ClipDataset | EndlessScenes | None = None
        self._loader: ClipLoader | None = None

    def next_clip(self, *, clip_length: int, batch_size: int) -> Clip:
        """The next batch.

        Raises:
            DataError: no video is usable.
        """
        self.open(clip_length=clip_length, batch_size=batch_size)
        assert self._loader is not None
        clip = next(self._loader)
        self._position = self._loader.state_dict()
        return clip

    def state(self) -> dict[str, Any]:
        """The position in the data, as JSON values."""
        return dict(self._position)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to a position."""
        self.close()
        self._position = {"epoch": int(state["epoch"]), "consumed": int(state["consumed"])}

    def close(self) -> None:
        """Stop background threads and forget decoded videos."""
        self._stop()
        if self._dataset is not None and not isinstance(self._dataset, ClipDataset):
            self._dataset.close()
        self._dataset = None

    def open(self, *, clip_length: int, batch_size: int) -> None:
        """Make ready for a stage of the curriculum, unless that is done; the first one decodes the videos.

        Raises:
            DataError: no video is usable.
        """
        if self._stage == (clip_length, batch_size):
            return
        self._stop()
        is_first = self._dataset is None
        if self._dataset is None:
            endless = self._config.data.is_endless
            self._dataset = self._endless(clip_length) if endless else self._decoded(clip_length)
        else:
            self._dataset = self._dataset.with_clip_length(clip_length)
        self._dataset.preload(progress=self._show_progress and is_first)
        self._note_skipped()
        self._loader = ClipLoader(
            self._dataset,
            batch_size=batch_size,
            seed=self._config.seed,
            num_workers=self._num_workers(),
            rank=self._rank,
            world_size=self._world_size,
            shuffle=not self._config.data.is_endless,
        )
        self._loader.load_state_dict(self._position)
        self._stage = (clip_length, batch_size)

    def _stop(self) -> None:
        """Stop background threads; decoded videos are kept for the next stage."""
        self._note_skipped()
        if self._loader is not None:
            self._loader.close()
        self._stage = self._loader = None

    def _decoded(self, clip_length: int) -> ClipDataset:
        data = self._config.data
        return ClipDataset(
            self._items,
            clip_length=clip_length,
            size=data.size,
            frame_stride=data.frame_stride,
            fit=data.fit,
            enlarge=data.enlarge,
            augmentation=data.augmentation,
            short_videos=data.short_videos,
            with_segments=self._needs.segments,
            truth=self._needs.truth,
            features=self._needs.features,
            cache_bytes=int(data.cache_gb * 1e9),
        )

    def _endless(self, clip_length: int) -> EndlessScenes:
        from slotkeeper.scenes.endless import EndlessScenes  # deferred: physics is only needed here

        data = self._config.data
        assert data.scenes is not None
        return EndlessScenes(
            data.scenes.family,
            seed=data.scenes.seed,
            num_frames=data.scenes.num_frames,
            clip_length=clip_length,
            size=data.size,
            frame_stride=data.frame_stride,
            augmentation=data.augmentation,
            with_segments=self._needs.segments,
            truth=self._needs.truth,
            device=self._device,
            num_processes=self._num_workers(),
        )

    def _num_workers(self) -> int:
        """As the config says; else none for videos, and for endless scenes one beside a CPU, or all other cores."""
        data = self._config.data
        if data.num_workers is not None or not data.is_endless:
            return data.num_workers or 0
        others = (os.cpu_count() or 1) // self._world_size - 1
        return 1 if self._device.type == "cpu" else max(1, others)

    def _note_skipped(self) -> None:
        if self._dataset is not None:
            self.skipped |= {video.video_id: video for video in self._dataset.skipped}
