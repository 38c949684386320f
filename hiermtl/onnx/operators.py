"""Operators of the BiLSTM in ONNX, for torch's exporter.

Source: the operators LSTM (version 14) and ScatterND (18) of ONNX. torch's exporter takes an LSTM
apart into as many steps as it was traced with.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


@torch.library.custom_op("hiermtl::lstm", mutates_args=())
def lstm(
    values: Tensor, of_input: Tensor, of_state: Tensor, bias: Tensor, bias_of_state: Tensor
) -> Tensor:
    """(steps, rows, hidden): one layer in one direction from states of 0.

    Shapes: values (steps, rows, width); the rest as an `nn.LSTM` has them.
    """
    begin = values.new_zeros(1, values.shape[1], of_state.shape[1])
    weights = [of_input, of_state, bias, bias_of_state]
    return torch.lstm(values, [begin, begin], weights, True, 1, 0.0, False, False, False)[0]


@lstm.register_fake
def _(values: Tensor, of_input: Tensor, of_state: Tensor, *biases: Tensor) -> Tensor:
    return values.new_empty(*values.shape[:2], of_state.shape[1])


class Lstm(nn.LSTM):
    """One that a graph keeps whole."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(steps, rows, width) to (steps, rows, hidden), and no last states."""
        return lstm(input, *self._flat_weights), None


def keep_whole(model: nn.Module) -> None:
    """Changes each LSTM of a model into one that a graph keeps whole."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.LSTM:
                whole = Lstm(child.input_size, child.hidden_size)
                whole.load_state_dict(child.state_dict())
                setattr(module, name, whole.eval())


def translations() -> dict[Any, Callable[..., Any]]:
    """Which function writes which of torch's operators; needs onnxscript."""
    aten = torch.ops.aten
    bags = (aten.embedding_bag.padding_idx, aten._embedding_bag_forward_only.default)
    return {torch.ops.hiermtl.lstm.default: write_lstm, **dict.fromkeys(bags, write_means)}


def write_lstm(values: Any, of_input: Any, of_state: Any, *biases: Any) -> Any:
    """As `lstm`."""
    op = _operators()
    hidden = of_state.shape[1]
    # ONNX has input, output, forget, cell.
    order = [hidden * gate + row for gate in (0, 3, 1, 2) for row in range(hidden)]

    def gates(weight: Any) -> Any:
        return op.Gather(weight, op.Constant(value_ints=order), axis=0)

    first = op.Constant(value_ints=[0])
    found, *_ = op.LSTM(
        values,
        op.Unsqueeze(gates(of_input), first),
        op.Unsqueeze(gates(of_state), first),
        op.Unsqueeze(op.Concat(*map(gates, biases), axis=0), first),
        direction="forward",
        hidden_size=hidden,
    )
    return op.Squeeze(found, op.Constant(value_ints=[1]))


def write_means(table: Any, indices: Any, starts: Any, *options: Any) -> tuple[Any, Any, Any, Any]:
    """(bags, width): means of rows of a table, 0 for a bag without rows.

    Shapes: table (rows, width); indices (all,); starts (bags,): a bag's first place in `indices`,
    rising. The operator's other results are for its gradient and are given as they come.
    """
    op = _operators()
    del options
    first, last = op.Constant(value_ints=[0]), op.Constant(value_ints=[-1])
    every = op.Shape(indices)
    ends = op.Concat(op.Slice(starts, [1], op.Shape(starts)), every, axis=0)
    sizes = op.Sub(ends, starts)
    # A bag's number is that of the bags that have begun, less one.
    begun = op.ScatterND(
        op.Expand(first, op.Add(every, op.Constant(value_ints=[1]))),
        op.Unsqueeze(starts, last),
        op.Expand(op.Constant(value_ints=[1]), op.Shape(starts)),
        reduction="add",
    )
    numbers = op.Sub(op.CumSum(begun, op.Constant(value_int=0)), op.Constant(value_ints=[1]))
    bags = op.Slice(numbers, first, last)
    nothing = op.Constant(value_floats=[0.0])
    shape = op.Concat(op.Shape(starts), op.Shape(table, start=1), axis=0)
    sums = op.ScatterND(
        op.Expand(nothing, shape),
        op.Unsqueeze(bags, last),
        op.Gather(table, indices),
        reduction="add",
    )
    counts = op.Cast(op.Max(sizes, op.Constant(value_ints=[1])), to=1)
    return op.Div(sums, op.Unsqueeze(counts, last)), bags, sizes, starts


def _operators() -> Any:
    """Those of the version that torch's exporter writes."""
    from onnxscript import opset18

    return opset18
