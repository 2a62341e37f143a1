"""Evaluation protocols of published systems, by name: what must be the same for two numbers to be laid side by side.

Settings are those of each system's public code; where the paper says otherwise or nothing, `remarks` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from slotkeeper.errors import ConfigError, nearest_name

_BOXES = "boxes of the true objects in the first frame"
_VIDEO_FG_ARI = ("FG-ARI", "video_fg_ari")
_VIDEO_MBO = ("mBO", "video_mbo")


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How one system is scored on one data set.

    num_frames: of each video the first ones; None for all. clip_frames: videos are cut into clips of so many frames,
    each a video of its own, and what is left over is dropped; None for whole videos. fit: how frames and truth become
    squares. frame_size, mask_size: height and width of the frames that the system sees, and of the truth it is compared
    with (nearest labels). num_slots: of the system, the background's among them. num_videos: that are scored.
    figures: the system's name of each score, and ours. Background slots are segments like any other, as in all these
    systems.
    """

    name: str
    data: str
    num_videos: int | None
    num_frames: int | None
    clip_frames: int | None
    fit: Literal["stretch", "center_crop"]
    frame_size: tuple[int, int]
    mask_size: tuple[int, int]
    num_slots: int
    conditioning: str
    figures: tuple[tuple[str, str], ...]
    source: str
    remarks: str


_SAVI = EvaluationProtocol(
    name="movi_a.savi",
    data="MOVi-A, validation, 128x128",
    num_videos=None,
    num_frames=24,
    clip_frames=None,
    fit="stretch",
    frame_size=(64, 64),
    mask_size=(64, 64),
    num_slots=24,
    conditioning=_BOXES,
    figures=(_VIDEO_FG_ARI, ("ARI", "video_ari")),
    source="google-research/slot-attention-video, README.md, savi/configs/movi/savi_conditional_small.py and "
    "savi/lib/metrics.py",
    remarks="evaluated six frames at a time with the state carried on; scores are of all 24 frames, the first among "
    "them, which the papers leave out as the model is told its boxes. The configs have 24 slots for all data sets and "
    "call 11 safe for MOVi-A to C. Pairs of pixels are counted in 32-bit floats there, exactly here.",
)
_SAVI_PP = replace(
    _SAVI,
    name="movi_a.savi++",
    frame_size=(128, 128),
    mask_size=(128, 128),
    source="google-research/slot-attention-video, README.md, savi/configs/movi/savi++_conditional.py and "
    "savi/lib/metrics.py",
)
_STEVE = EvaluationProtocol(
    name="movi_e.steve",
    data="MOVi-E with masks",
    num_videos=None,
    num_frames=None,
    clip_frames=6,
    fit="stretch",
    frame_size=(128, 128),
    mask_size=(128, 128),
    num_slots=15,
    conditioning="none",
    figures=(_VIDEO_FG_ARI,),
    source="singhgautam/steve, eval_fgari_video.py, data.py and ari.py",
    remarks="clips of six frames, so that identities need to last for six. The code takes clips in random order, "
    "leaves out the last incomplete batch of 24, and stays random in evaluation. It enlarges attention by repeating; "
    "soft masks go up bilinearly here.",
)
_VIDEOSAUR = EvaluationProtocol(
    name="movi_c.videosaur",
    data="MOVi-C, validation",
    num_videos=250,
    num_frames=None,
    clip_frames=None,
    fit="stretch",
    frame_size=(224, 224),
    mask_size=(224, 224),
    num_slots=11,
    conditioning="none",
    figures=(_VIDEO_FG_ARI, _VIDEO_MBO, ("image FG-ARI", "frame_fg_ari"), ("image mBO", "frame_mbo")),
    source="martius-lab/videosaur, configs/videosaur/movi_c.yml, videosaur/metrics.py and videosaur/data/transforms.py",
    remarks="whole videos of 24 frames. The repository's table calls FG-ARI 'Video ARI'. Frames are resized "
    "bicubically there, with antialiasing bilinearly here; the first slots are drawn anew in evaluation there. A "
    "frame without an object counts 1 in the image FG-ARI there, since the background is taken away after empty frames "
    "were looked for, and is left out here; both leave it out of the mBO.",
)
_VIDEOSAUR_YTVIS = replace(
    _VIDEOSAUR,
    name="ytvis21.videosaur",
    data="YouTube-VIS 2021, held-out part of the labelled videos",
    num_videos=None,
    clip_frames=6,
    fit="center_crop",
    num_slots=7,
    source="martius-lab/videosaur, configs/videosaur/ytvis.yml and videosaur/data/pipelines.py",
    remarks="clips of six frames, so that identities need to last for six; the middle square of each frame. The config "
    "keeps the background, but the truth has no mask for it, so its pixels are in no ARI, as in FG-ARI here. With "
    "DINOv2 features (ytvis_dinov2.yml) sizes differ.",
)
_SLOT_CONTRAST_SOURCE = (
    "configs/slotcontrast/{file} in a public copy (ugadiarov-la-phystech-edu/slotcontrast) of the authors' code, "
    "and the page slotcontrast.github.io"
)
_SLOT_CONTRAST = replace(
    _VIDEOSAUR,
    name="movi_c.slotcontrast",
    frame_size=(336, 336),
    mask_size=(336, 336),
    source=_SLOT_CONTRAST_SOURCE.format(file="movi_c.yaml"),
    remarks="whole videos of 24 frames. Code and metrics are VideoSAUR's; the authors' own repository was not at hand.",
)
_RANDSFQ = EvaluationProtocol(
    name="movi_c.randsfq",
    data="MOVi-C, validation",
    num_videos=None,
    num_frames=None,
    clip_frames=None,
    fit="center_crop",
    frame_size=(256, 256),
    mask_size=(256, 256),
    num_slots=11,
    conditioning=_BOXES,
    figures=(("ARI", "video_ari"), ("FG-ARI", "video_fg_ari")),
    source="Genera1Z/RandSF.Q, config-randsfq/randsfq_c-movi_c.py",
    remarks="conditional on boxes of the first frame, also for its SlotContrast and VideoSAUR baselines. Its "
    "mBO and mIoU count the background as an object, so ours are not the same. SmoothSA is scored alike.",
)

_ALL = (
    *(
        replace(
            protocol, name=protocol.name.replace("_a", f"_{kind}"), data=f"MOVi-{kind.upper()}, validation, 128x128"
        )
        for protocol in (_SAVI, _SAVI_PP)
        for kind in "abcde"
    ),
    replace(_STEVE, name="movi_d.steve", data="MOVi-D with masks"),
    _STEVE,
    _VIDEOSAUR,
    replace(
        _VIDEOSAUR,
        name="movi_e.videosaur",
        data="MOVi-E, validation",
        num_slots=15,
        source="martius-lab/videosaur, configs/videosaur/movi_e.yml, videosaur/metrics.py and data/transforms.py",
    ),
    _VIDEOSAUR_YTVIS,
    _SLOT_CONTRAST,
    replace(
        _SLOT_CONTRAST,
        name="movi_e.slotcontrast",
        data="MOVi-E, validation",
        num_slots=15,
        source=_SLOT_CONTRAST_SOURCE.format(file="movi_e.yaml"),
    ),
    replace(
        _VIDEOSAUR_YTVIS,
        name="ytvis21.slotcontrast",
        num_videos=200,
        clip_frames=None,
        frame_size=(518, 518),
        mask_size=(518, 518),
        source=_SLOT_CONTRAST_SOURCE.format(file="ytvis2021.yaml"),
        remarks="whole videos of up to 76 frames, the middle square of each frame. The truth has no mask for the "
        "background, so its pixels are in no ARI, as in FG-ARI here.",
    ),
    _RANDSFQ,
    replace(
        _RANDSFQ,
        name="ytvis.randsfq",
        data="YouTube-VIS with high-quality masks, validation",
        num_slots=7,
        conditioning="none",
        source="Genera1Z/RandSF.Q, config-randsfq/randsfq_r-ytvis.py",
        remarks="whole videos. The readme says high-quality masks, its config's files are named ytvis_2022. Its mBO and"
        " mIoU count the background as an object, so ours are not the same. SmoothSA is scored alike.",
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def find_protocol(name: str) -> EvaluationProtocol:
    """The protocol of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol '{name}'; {nearest_name(name, PROTOCOLS)}")
    return PROTOCOLS[name]
