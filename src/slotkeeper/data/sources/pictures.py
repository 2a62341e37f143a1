"""Folders and lists of pictures as frames or as labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt, UInt8

from slotkeeper.data.image_folder import read_image
from slotkeeper.data.media import MediaPath
from slotkeeper.data.segments import read_mask
from slotkeeper.data.sources.source import check_truth_size
from slotkeeper.errors import DataError


def frames_of(pictures: Sequence[MediaPath]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Each picture in turn.

    Raises:
        DataError: one can't be read.
    """
    for picture in pictures:
        yield read_image(picture)


def labels_of(pictures: Sequence[MediaPath], place: str) -> UInt[np.ndarray, "t h w"]:
    """The labels of all pictures.

    Raises:
        DataError: one can't be read, or their sizes differ.
    """
    first = read_mask(pictures[0])
    check_truth_size(place, len(pictures), *first.shape, item_bytes=first.itemsize)
    labels = np.zeros((len(pictures), *first.shape), np.uint16 if first.itemsize > 1 else np.uint8)
    for index, picture in enumerate(pictures):
        frame = read_mask(picture)
        if frame.shape != first.shape:
            raise DataError(f"{picture} has another size than the first of {place}")
        if frame.itemsize > labels.itemsize:
            check_truth_size(place, *labels.shape, item_bytes=2)
            labels = labels.astype(np.uint16)
        labels[index] = frame
    return labels
