"""Videos rendered by CLEVR's generator (Johnson et al., CVPR 2017) or its descendants: files with scenes in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slotkeeper.data.sources.source import FolderSource, SourceVideo, VideoContent, read_json, split_in
from slotkeeper.errors import DataError

_SUFFIXES = (".avi", ".mp4")


class ClevrVideo(FolderSource):
    """`videos/NAME.avi` and `scenes/NAME.json`, or one `*_scenes.json` for all; the objects come without masks."""

    expects = "videos/NAME.avi, and scenes/NAME.json or a CLEVR_*_scenes.json"

    def videos(self) -> Iterator[SourceVideo]:
        """A video for each file."""
        files = [path for suffix in _SUFFIXES for path in self.find(f"*{suffix}")]
        if not files:
            raise self.missing()
        scenes = {path.stem: path for path in self.find("*.json")}
        shared = _shared_scenes([path for stem, path in scenes.items() if stem.endswith("_scenes")])
        for file in sorted(files):
            scene = scenes.get(file.stem)
            yield SourceVideo(
                video_id=file.stem,
                split=split_in(file.relative_to(self.root).parts[:-1]) or split_in(file.stem.split("_")),
                place=str(file),
                read=partial(self._read, file, scene, shared.get(file.stem)),
                files=(file,) if scene is None else (file, scene),
            )

    def _read(self, file: Path, scene: Path | None, shared: Mapping[str, Any] | None) -> VideoContent:
        raw = shared if scene is None else read_json(self.inside(scene))
        objects = raw.get("objects", []) if isinstance(raw, Mapping) else []
        if not isinstance(objects, list) or not all(isinstance(thing, dict) for thing in objects):
            raise DataError(f"{scene or file}: the scene's objects are no list of objects")
        return VideoContent(
            file=self.inside(file), objects=[{"id": index + 1, **thing} for index, thing in enumerate(objects)]
        )


def _shared_scenes(files: list[Path]) -> dict[str, Mapping[str, Any]]:
    """Scenes by the name of their video, from files that hold many."""
    scenes: dict[str, Mapping[str, Any]] = {}
    for file in files:
        raw = read_json(file)
        listed = raw.get("scenes") if isinstance(raw, dict) else None
        for scene in listed if isinstance(listed, list) else []:
            name = scene.get("video_filename") or scene.get("image_filename") if isinstance(scene, dict) else None
            if isinstance(name, str):
                scenes[Path(name).stem] = scene
    return scenes
