"""Which masks in two places belong together: by name, whatever program wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from slotkeeper.data.conversion.record import why_unfinished
from slotkeeper.data.image_folder import list_images, natural_key
from slotkeeper.errors import DataError, nearest_name

_MASKS_FILE = "masks.npz"
_NAMED_SUFFIX = ".masks.npz"
_NAMED_FOLDER = "_masks"
_MAX_DEPTH = 3


class _Layout(IntEnum):
    """How masks lie on disk; of several for one name the first wins."""

    NAMED_FILE = 0
    NAMED_FOLDER = 1
    FILE_INSIDE = 2
    FOLDER_INSIDE = 3
    PLAIN_FILE = 4
    PICTURES = 5


@dataclass(frozen=True, kw_only=True)
class MaskPair:
    """Masks of one video: an npz file or a folder of PNG files each; None where one side is missing."""

    name: str
    predicted: Path | None
    true: Path | None


def pair_masks(predicted: Path, true: Path) -> list[MaskPair]:
    """Pair the masks in two places, sorted by name; those without a counterpart are kept with None.

    Two places that are one video each are a pair whatever their names; all others are paired by name (see
    `find_masks`).

    Raises:
        DataError: a place is missing or has no masks, or no name occurs in both.
    """
    found, given = find_masks(predicted), find_masks(true)
    if len(found) == len(given) == 1 and is_one_video(predicted) and is_one_video(true):
        ((name, true_masks),) = given.items()
        return [MaskPair(name=name, predicted=next(iter(found.values())), true=true_masks)]
    if not found.keys() & given.keys():
        name = next(iter(found))
        raise DataError(
            f"no masks in {predicted} have the name of masks in {true}: '{name}' has no counterpart, "
            f"{nearest_name(name, list(given)[:10])}"
        )
    names = sorted(found.keys() | given.keys(), key=natural_key)
    return [MaskPair(name=name, predicted=found.get(name), true=given.get(name)) for name in names]


def find_masks(root: Path) -> dict[str, Path]:
    """Masks below `root` by name: the path below it, with "/", without what only says that it holds masks.

    Looked for, down to three folders deep: `NAME.masks.npz`, `NAME_masks/*.png`, `NAME/masks.npz`,
    `NAME/masks/*.png`, `NAME.npz`, `NAME/*.png`; the first of these wins where a name has several. `root` may itself be
    such a file or folder.

    Raises:
        DataError: the path is missing or nothing was found.
    """
    if not root.exists():
        raise DataError(f"no such file or folder: {root}")
    reason = why_unfinished(root)
    if reason is not None:
        raise DataError(f"{root} can't be used: {reason}")
    if root.is_file():
        return {_name_of_file(root): root}
    alone = _masks_of_folder(root)
    if alone is not None:
        return {root.resolve().name: alone[1]}
    candidates = sorted(_walk(root, prefix="", depth=0), reverse=True)
    found = {name: path for _, name, path in candidates}  # the best layout comes last and stays
    if not found:
        raise DataError(f"no masks in {root}: looked for {_MASKS_FILE}, NAME{_NAMED_SUFFIX}, NAME.npz and PNG files")
    return found


def is_one_video(root: Path) -> bool:
    """Whether `root` is one video's masks rather than a folder of several."""
    return root.is_file() or _masks_of_folder(root) is not None


def _walk(folder: Path, *, prefix: str, depth: int) -> Iterator[tuple[_Layout, str, Path]]:
    """Layout, name and path of all masks in a folder of several videos."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_file() and entry.suffix == ".npz":
            layout = _Layout.NAMED_FILE if entry.name.endswith(_NAMED_SUFFIX) else _Layout.PLAIN_FILE
            yield layout, prefix + _name_of_file(entry), entry
        elif entry.is_dir() and entry.name != "frames":
            masks = _masks_of_folder(entry)
            if masks is not None:
                layout, path = masks
                name = entry.name.removesuffix(_NAMED_FOLDER) if layout == _Layout.NAMED_FOLDER else entry.name
                yield layout, prefix + name, path
            elif depth < _MAX_DEPTH:
                yield from _walk(entry, prefix=f"{prefix}{entry.name}/", depth=depth + 1)


def _masks_of_folder(folder: Path) -> tuple[_Layout, Path] | None:
    """The masks of the one video that this folder stands for, or None if it may hold several videos."""
    if (folder / _MASKS_FILE).is_file():
        return _Layout.FILE_INSIDE, folder / _MASKS_FILE
    if (folder / "masks").is_dir() and _has_png(folder / "masks"):
        return _Layout.FOLDER_INSIDE, folder / "masks"
    holds_more = any(entry.is_dir() or entry.suffix == ".npz" for entry in folder.iterdir())
    if holds_more or not _has_png(folder):
        return None
    return _Layout.NAMED_FOLDER if folder.name.endswith(_NAMED_FOLDER) else _Layout.PICTURES, folder


def _has_png(folder: Path) -> bool:
    return any(image.suffix.lower() == ".png" for image in list_images(folder))


def _name_of_file(file: Path) -> str:
    """`clip.masks.npz` and `clip.npz` belong to clip, `clip/masks.npz` too."""
    if file.name == _MASKS_FILE:
        return file.resolve().parent.name
    return file.name.removesuffix(_NAMED_SUFFIX) if file.name.endswith(_NAMED_SUFFIX) else file.stem
