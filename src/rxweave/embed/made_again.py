"""Tensors that the backward pass makes again in place of keeping them from the forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def made_again(tensor: Tensor, make: Callable[[], Tensor]) -> Iterator[None]:
    """Within the block, let autograd save `make` wherever it would save `tensor`, and call it in the backward pass.

    `make` must give the same numbers then; what it needs stays alive meanwhile. It is called without gradients, once
    for each operation of the block that saved the tensor. Worth it for what is large and cheap to compute: trading
    time for memory in this way is from Chen et al. 2016.
    """
    place, shape = tensor.data_ptr(), tensor.shape

    def save(saved: Tensor) -> Tensor | None:
        # By its memory: autograd hands over another object for the same numbers.
        return None if saved.data_ptr() == place and saved.shape == shape else saved

    def restore(saved: Tensor | None) -> Tensor:
        if saved is not None:
            return saved
        with torch.no_grad():
            return make()

    with torch.autograd.graph.saved_tensors_hooks(save, restore):
        yield
