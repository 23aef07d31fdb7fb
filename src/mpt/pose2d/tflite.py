"""A .tflite network as a torch module: the numbers of LiteRT, for many pictures at once, on any device.

LiteRT looks at one picture at a time on a CPU. To see what a network makes of a hundred thousand pictures
takes a GPU, which torch has. Of the format's operators those are known that BlazePose's networks use.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpt.errors import InputError

SAME = 0  # the format's number of its padding that keeps sizes; the other adds nothing
ACTIVATIONS = {0: lambda x: x, 1: F.relu, 3: F.relu6}


class TorchNetwork(nn.Module):
    """The graph of a .tflite file; a call gives its outputs in the order of their names, like LiteRT's.

    Raises InputError for a file that is no such network, or that has operators unknown here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        from ai_edge_litert import schema_py_generated as schema

        names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
        try:
            model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
            graph = model.subgraphs[0]
        except Exception as error:  # a damaged flatbuffer raises whatever it stumbles over
            raise InputError(f"{path}: is no .tflite network ({error}); fetch it again") from None
        codes = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
        unknown = {codes[op.opcodeIndex] for op in graph.operators} - set(_OPERATORS)
        if unknown:
            raise InputError(f"{path}: uses {', '.join(sorted(unknown))}, which no GPU runs here; use LiteRT")

        constants = {}  # by tensor number
        for number, tensor in enumerate(graph.tensors):
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                values = np.frombuffer(bytes(data), _DTYPES[tensor.type]).reshape(tensor.shape)
                constants[number] = torch.from_numpy(values.copy())
        self._input = graph.inputs[0]
        self._outputs = sorted(graph.outputs, key=lambda number: graph.tensors[number].name)
        self._steps: list[tuple[str, Any, list[int], int]] = []
        for op in graph.operators:
            name, (result,) = codes[op.opcodeIndex], op.outputs
            inputs = list(op.inputs)
            if name == "DEQUANTIZE" and inputs[0] in constants:
                constants[result] = constants[inputs[0]].float()
            else:
                self._steps.append((name, op.builtinOptions, inputs, result))
        self._keep(constants)
        self._last_use = {number: k for k, (_, _, inputs, _) in enumerate(self._steps) for number in inputs}

    def _keep(self, constants: dict[int, Tensor]) -> None:
        """Register those that steps read, as torch orders them: channels before rows and columns."""
        used = {number for _, _, inputs, _ in self._steps for number in inputs}
        kinds = {inputs[1]: name for name, _, inputs, _ in self._steps if len(inputs) > 1}
        self._plain = {}
        for number in sorted(used & constants.keys()):
            value = constants[number]
            match kinds.get(number):
                case "CONV_2D":
                    value = value.permute(0, 3, 1, 2)
                case "DEPTHWISE_CONV_2D":
                    value = value.permute(3, 0, 1, 2)
                case "PAD" | "RESHAPE" | "RESIZE_BILINEAR":  # sizes: not for the device
                    self._plain[number] = value.tolist()
                    continue
            self.register_buffer(f"constant_{number}", value.contiguous())

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> the outputs, each (N, ...) with channels last, as in the file."""
        values: dict[int, Any] = {self._input: pictures} | self._plain
        constants = {int(name.split("_")[1]): value for name, value in self.named_buffers()}
        for k, (name, options, inputs, result) in enumerate(self._steps):
            given = [values[i] if i in values else constants[i] for i in inputs if i >= 0]
            values[result] = _OPERATORS[name](options, *given)
            for number in inputs:
                if self._last_use[number] == k and number not in self._outputs:
                    values.pop(number, None)
        last = [values[number] for number in self._outputs]
        return [value.permute(0, 2, 3, 1) if value.ndim == 4 else value for value in last]


def _convolved(options: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    groups = x.shape[1] if weight.shape[1] == 1 else 1
    stride = options.strideH, options.strideW
    if options.padding == SAME:
        x = F.pad(x, _around(x, weight.shape[2:], stride))
    x = F.conv2d(x, weight, bias, stride=stride, groups=groups)
    return ACTIVATIONS[options.fusedActivationFunction](x)


def _around(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, int]) -> list[int]:
    """Columns left and right, rows above and below: where a number is odd, one more right and below."""
    pads = []
    for size, k, step in zip(x.shape[:1:-1], kernel[::-1], stride[::-1]):
        missing = max((-(-size // step) - 1) * step + k - size, 0)
        pads += [missing // 2, missing - missing // 2]
    return pads


def _padded(options: Any, x: Tensor, pads: list[list[int]]) -> Tensor:
    (_, rows, columns, channels) = pads
    return F.pad(x, [*columns, *rows, *channels])


def _resized(options: Any, x: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=options.alignCorners)


def _reshaped(options: Any, x: Tensor, shape: list[int]) -> Tensor:
    x = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
    return x.reshape(len(x), *shape[1:])


def _pooled(options: Any, x: Tensor) -> Tensor:
    size, stride = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    return F.max_pool2d(x, size, stride, ceil_mode=options.padding == SAME)


def _summed(options: Any, x: Tensor, y: Tensor) -> Tensor:
    return ACTIVATIONS[options.fusedActivationFunction](x + y)


_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}
_OPERATORS = {
    "CONV_2D": _convolved,
    "DEPTHWISE_CONV_2D": _convolved,
    "ADD": _summed,
    "PAD": _padded,
    "RESIZE_BILINEAR": _resized,
    "MAX_POOL_2D": _pooled,
    "RESHAPE": _reshaped,
    "LOGISTIC": lambda options, x: torch.sigmoid(x),
    "DEQUANTIZE": lambda options, x: x.float(),
}
