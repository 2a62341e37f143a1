"""What exists: components by family, and models that ship with the package; one line each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from slotkeeper.catalog import FAMILIES, find_component
from slotkeeper.checkpoint import list_shipped_models, read_model
from slotkeeper.metrics.protocols import PROTOCOLS


def component_lines() -> Iterator[str]:
    """Family, name and first sentence of each component of the catalogue."""
    width = max(len(name) for known in FAMILIES.values() for name in known)
    for family, known in FAMILIES.items():
        for name in known:
            text = inspect.getdoc(find_component(family, name)) or ""
            yield f"{family:<12} {name:<{width}}  {text.splitlines()[0] if text else ''}"


def model_lines() -> Iterator[str]:
    """Name, size and components of each shipped model."""
    folders = list_shipped_models()
    if not folders:
        yield "no models ship with this version; 'slotkeeper train' makes one"
    for folder in folders:
        weights, config = read_model(folder)
        num_parameters = sum(tensor.numel() for tensor in weights.values())
        height, width = config.data.size
        model = config.model
        parts = f"{model.encoder.name}, {model.initializer.name}, {model.decoder.name}"
        size = f"{num_parameters / 1e6:.2f} M parameters, {model.num_slots} slots, {width}x{height}"
        yield f"{folder.name}  {size}; {parts}"


def protocol_lines() -> Iterator[str]:
    """Name and settings of each published protocol."""
    width = max(map(len, PROTOCOLS))
    for protocol in PROTOCOLS.values():
        length = f"clips of {protocol.clip_frames} frames" if protocol.clip_frames else "whole videos"
        length = f"first {protocol.num_frames} frames" if protocol.num_frames else length
        fit = "middle square" if protocol.fit == "center_crop" else "stretched"
        height, mask_width = protocol.mask_size
        figures = ", ".join(name for name, _ in protocol.figures)
        given = "" if protocol.conditioning == "none" else "; given boxes"
        yield (
            f"{protocol.name:<{width}}  {protocol.data}; {length}, {fit}, masks {mask_width}x{height}, "
            f"{protocol.num_slots} slots{given}; {figures}"
        )
