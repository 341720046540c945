"""A device that is none: tensors on it compute on the CPU, but refuse to be mixed with the CPU's, as CUDA's do.

Its name is that of torch's device without storage, ``meta``, the only other one that every build of torch knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

PRETEND = torch.device("meta")
ACROSS = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)  # may have tensors of both devices
INDEXED = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten._index_put_impl_.default)
READ = (Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__)


class PretendTensor(Tensor):
    """A tensor that says it is on ``PRETEND``, with its values on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> PretendTensor:
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        made = Tensor._make_wrapper_subclass(cls, inner.size(), **layout, device=PRETEND)  # type: ignore[attr-defined]
        made.held = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def, override]
        return compute(func, args, kwargs or {})


class Operations(TorchDispatchMode):
    """Computes every operation of torch by ``compute``."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class Numbers(TorchFunctionMode):
    """Goes between tensors and Python's numbers on the CPU: with ``meta`` torch would not know the numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in READ and isinstance(args[0], PretendTensor):
            return func(args[0].held, *args[1:])
        if func is Tensor.new_tensor and isinstance(args[0], PretendTensor):
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, **kwargs}).to(PRETEND)
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == PRETEND:
            return func(*args, **{**kwargs, "device": "cpu"}).to(PRETEND)
        return func(*args, **kwargs)


@contextmanager
def pretend_device() -> Iterator[None]:
    """Within it, ``PRETEND`` is a device to which tensors can be moved and on which they can be made."""
    with Numbers(), Operations():
        yield


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU what torch would on the device of the arguments, or on the one that is asked for.

    Raises:
        RuntimeError: where tensors of both devices meet; numbers, and indices from the CPU, may.
    """
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [each for each in tensors if isinstance(each, PretendTensor)]
    checked = (args[0], *args[2:3]) if func in INDEXED else tensors
    here = [each for each in checked if isinstance(each, Tensor) and each.dim() and not isinstance(each, PretendTensor)]
    if there and here and func not in ACROSS:
        raise RuntimeError(f"{func}: tensors of {tuple(here[0].shape)} on the CPU and of {PRETEND} are mixed.")
    asked = kwargs.get("device")
    on_cpu = {**kwargs, "device": torch.device("cpu")} if asked is not None else kwargs
    given, named = tree_map(lambda each: each.held if isinstance(each, PretendTensor) else each, (args, on_cpu))
    result = func(*given, **named)
    if func._schema.is_mutable and func._schema.name.endswith("_"):
        return args[0]
    pretend = bool(there) if asked is None else torch.device(asked) == PRETEND
    wrap = isinstance(result, (Tensor, tuple, list)) and pretend
    return tree_map(lambda each: PretendTensor(each) if isinstance(each, Tensor) else each, result) if wrap else result
