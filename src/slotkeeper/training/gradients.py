"""How the gradient of the loss grows or fades on its way back through the frames."""

from __future__ import annotations

from torch import Tensor

from slotkeeper.training.processes import Processes


class SlotGradients:
    """Norms of the loss's gradient with respect to each frame's corrected slots, taken while it flows by.

    The gradient is the whole one: what frame t's slots do to the loss in frame t and, through the recurrence, in all
    later frames. One object serves one step; give `watch` to the model.
    """

    def __init__(self) -> None:
        self._norms: dict[int, Tensor | None] = {}

    def watch(self, index: int, slots: Tensor) -> None:
        """Take the norm as soon as the gradient of these slots is known."""
        self._norms[index] = None
        if slots.requires_grad:
            slots.register_hook(lambda gradient: self._norms.update({index: gradient.detach().float().norm()}))

    def norms(self) -> list[float]:
        """Of each frame, 0 where no gradient arrived; waits for the device."""
        return [0.0 if norm is None else float(norm) for _, norm in sorted(self._norms.items())]

    def read(self, processes: Processes | None = None) -> dict[str, float]:
        """`slot_gradient/00` and so on by frame; `slot_gradient_ratio`: first over last frame.

        processes: those among which the batch is split, if it is.
        """
        norms = self.norms() if processes is None else processes.norms(self.norms())
        values = {f"slot_gradient/{index:02d}": norm for index, norm in enumerate(norms)}
        if len(norms) > 1 and norms[-1] > 0:
            values["slot_gradient_ratio"] = norms[0] / norms[-1]
        return values
