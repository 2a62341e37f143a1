"""One picture of what a model makes of a clip: frames, reconstructions, segments and slots, over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from slotkeeper.export.palette import color_table
from slotkeeper.masks import segments_from_masks, slot_pictures
from slotkeeper.types import Clip, VideoOutput

_GAP = 2
_LEAST_SIDE = 64
"""Smaller frames are enlarged to about this height."""


def slot_grid(
    clip: Clip, output: VideoOutput, *, index: int = 0, num_frames: int = 6
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw one video of a batch: a column per frame, evenly chosen, and a row per kind of picture.

    Rows: the frame, its reconstruction, the true segments if there are any, the model's segments, then each slot's
    picture behind its mask on a chequered ground. Models that rebuild something else than frames have no row for it,
    and their slots show the frame itself.

    Args:
        clip: what the model saw.
        output: what it made of it.
        index: which video of the batch.
        num_frames: columns, at most the clip's length.
    """
    length = clip.frames.shape[1]
    moments = np.linspace(0, length - 1, min(num_frames, length)).round().astype(int).tolist()
    decoded = output.decoded
    pictures, masks = slot_pictures(decoded, clip.frames.to(decoded.masks.device))
    masks = masks[index : index + 1, moments].detach().float()
    rows = [("frame", _bytes(clip.frames[index, moments]))]
    if decoded.target == "frames":
        rows.append(("rebuilt", _bytes(decoded.reconstruction[index, moments])))
    if clip.segments is not None:
        rows.append(("truth", _colored(clip.segments[index, moments].cpu().numpy())))
    rows.append(("segments", _colored(segments_from_masks(masks)[0].cpu().numpy() + 1)))
    for slot in range(masks.shape[2]):
        picture = _behind_mask(pictures[index, moments, slot], masks[0, :, slot])
        rows.append((f"slot {slot}", picture))
    return _sheet(rows)


def _bytes(pictures: Float[Tensor, "t 3 h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    scaled = (pictures.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()


def _colored(segments: Int[np.ndarray, "t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    colored: UInt8[np.ndarray, "t h w 3"] = color_table(max(1, int(segments.max())))[segments]
    return colored


def _behind_mask(pictures: Float[Tensor, "t 3 h w"], masks: Float[Tensor, "t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    height, width = masks.shape[-2:]
    rows, columns = torch.arange(height)[:, None] // 4, torch.arange(width)[None] // 4
    ground = 0.82 + 0.1 * ((rows + columns) % 2).float().to(masks.device)
    shown = pictures.detach().float().clamp(0, 1) * masks[:, None] + ground * (1 - masks[:, None])
    return _bytes(shown)


def _sheet(rows: Sequence[tuple[str, UInt8[np.ndarray, "t _h _w 3"]]]) -> UInt8[np.ndarray, "height width 3"]:
    """Label each row at its left; rows may differ in resolution, the first one's is taken."""
    height, width = rows[0][1].shape[1:3]
    scale = max(1, round(_LEAST_SIDE / height))
    height, width = height * scale, width * scale
    label_width = 64
    num_columns = len(rows[0][1])
    sheet = Image.new("RGB", (label_width + num_columns * (width + _GAP), len(rows) * (height + _GAP)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for row, (name, pictures) in enumerate(rows):
        top = row * (height + _GAP)
        draw.text((4, top + height // 2 - 7), name, font=font, fill=(40, 40, 40))
        for column, pixels in enumerate(pictures):
            picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(picture, (label_width + column * (width + _GAP), top))
    return np.asarray(sheet)
