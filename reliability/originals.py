"""Small whole files that the fuzzing starts from: videos in many containers, masks, a trained run."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from slotkeeper.config import config_yaml, parse_config
from slotkeeper.data import save_segments
from slotkeeper.training import train

SIDE, NUM_FRAMES = 64, 12
CODECS = {
    "h264.mp4": "libx264",
    "h265.mp4": "libx265",
    "turned.mp4": "libx264",
    "h264.mkv": "libx264",
    "vp9.webm": "libvpx-vp9",
    "av1.webm": "libsvtav1",
    "mpeg4.avi": "mpeg4",
    "gif.gif": "gif",
    "mjpeg.mov": "mjpeg",
    "mpeg2.ts": "mpeg2video",
    "mpeg1.mpg": "mpeg1video",
    "wmv2.wmv": "wmv2",
}
_PIXEL_FORMATS = {"gif": "rgb8", "mjpeg": "yuvj420p"}


def frames_and_segments() -> tuple[np.ndarray, np.ndarray]:
    """Two squares that move over a grey ground, and their labels."""
    frames = np.full((NUM_FRAMES, SIDE, SIDE, 3), 90, np.uint8)
    segments = np.zeros((NUM_FRAMES, SIDE, SIDE), np.uint8)
    for time in range(NUM_FRAMES):
        squares = ((8, 4 + 3 * time, (220, 30, 30)), (40, 44 - 3 * time, (40, 60, 230)))
        for label, (top, left, color) in enumerate(squares, start=1):
            area = (time, slice(top, top + 14), slice(left, left + 14))
            frames[area], segments[area] = color, label
    return frames, segments


def write_videos(folder: Path) -> list[Path]:
    """One video for each container, as far as this build of the library has its encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name, codec in CODECS.items() if codec in av.codecs_available]
    return [_once(folder / name, _write_video) for name in names]


def write_pictures(folder: Path, suffix: str, num_frames: int = 4) -> list[Path]:
    """Frames as a folder of pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.{suffix}" for number in range(num_frames)]
    for path, pixels in zip(paths, frames_and_segments()[0], strict=False):
        _once(path, Image.fromarray(pixels).save)
    return paths


def write_masks(folder: Path) -> tuple[Path, Path]:
    """The labels as npz, and as a folder of PNG files."""
    segments = frames_and_segments()[1]
    folder.mkdir(parents=True, exist_ok=True)
    archive, pictures = folder / "masks.npz", folder / "masks"
    _once(archive, lambda path: save_segments(path, segments))
    pictures.mkdir(exist_ok=True)
    for number, labels in enumerate(segments[:4]):
        _once(pictures / f"{number}.png", Image.fromarray(labels).save)
    return archive, pictures


def write_labels(path: Path, num_frames: int) -> Path:
    """The labels of the first frames as npz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return _once(path, lambda place: save_segments(place, frames_and_segments()[1][:num_frames]))


def write_video_once(path: Path, num_frames: int) -> Path:
    """The first frames as one video, of the codec that is usual for its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return _once(path, lambda place: _write_video(place, num_frames))


def raw_config(videos: Path) -> dict[str, object]:
    """A small complete config with something in every section."""
    return {
        "seed": 0,
        "data": {"train": str(videos), "val_share": 0.0, "size": [32, 32], "augmentation": {"flip": True, "hue": 0.1}},
        "model": {
            "num_slots": 4,
            "slot_dim": 16,
            "bptt": "full",
            "encoder": {"name": "cnn", "width": 16, "feature_dim": 16, "num_blocks": 1, "pixel_dim": 4},
            "initializer": {"name": "first_frame"},
            "corrector": {"name": "slot_attention", "hidden_dim": 16, "num_iterations_first": 2},
            "predictor": {"name": "transformer", "hidden_dim": 16},
            "decoder": {"name": "layered", "hidden_dim": 16},
        },
        "losses": [{"name": "reconstruction", "weight": 1.0}, {"name": "mask_sparsity", "weight": 0.1}],
        "training": {
            "steps": 2,
            "batch_size": 2,
            "clip_length": [[0, 2], [1, 3]],
            "lr": 0.001,
            "warmup_steps": 1,
            "precision": "fp32",
            "log_every": 1,
            "sample_every": 0,
            "checkpoint_minutes": 0.0001,
        },
        "evaluation": {"num_frames": 4},
    }


def write_run(folder: Path) -> Path:
    """A finished run of two steps with both of its checkpoints, and the videos that it learned from."""
    run, videos = folder / "run", folder / "videos"
    if not run.exists():
        for name in ("a", "b"):
            (videos / name).mkdir(parents=True, exist_ok=True)
            _write_video(videos / name / "video.mp4")
        train(parse_config(raw_config(videos), "the fuzzing's config"), run, show_progress=False)
    return run


def config_text(videos: Path) -> str:
    """The config as YAML."""
    return config_yaml(parse_config(raw_config(videos), "the fuzzing's config"))


def _once(path: Path, write: Callable[[Path], object]) -> Path:
    """A worker that takes over from a dead one finds the files there."""
    if not path.exists():
        write(path)
    return path


def _write_video(path: Path, num_frames: int = NUM_FRAMES) -> None:
    codec = CODECS.get(path.name, "libvpx-vp9" if path.suffix == ".webm" else "libx264")
    options = {"g": "6"} if codec not in ("gif", "mjpeg") else {}
    options |= {"preset": "8"} if codec == "libsvtav1" else {}
    options |= {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else {}
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream(codec, rate=12, options=options)
        stream.width = stream.height = SIDE
        stream.pix_fmt = _PIXEL_FORMATS.get(codec, "yuv420p")
        if path.stem == "turned":
            stream.set_display_rotation(90, False, False)
        if codec.startswith("mpeg"):
            stream.codec_context.framerate = Fraction(25)
        for pixels in frames_and_segments()[0][:num_frames]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
