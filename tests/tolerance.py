"""How equal two results must be: the tolerance follows the dtype, and is written here alone."""

import torch
from torch import Tensor

SHARE_OF_EPSILON = {torch.float64: 1e5, torch.float32: 1e2, torch.bfloat16: 8, torch.float16: 8}


def tolerance(dtype: torch.dtype) -> float:
    """Absolute and relative: 2e-11 in double, 1e-5 in single precision."""
    return SHARE_OF_EPSILON[dtype] * torch.finfo(dtype).eps


def assert_close(actual: Tensor, expected: Tensor | float, *, dtype: torch.dtype | None = None) -> None:
    """Equal up to the rounding of the coarser dtype of both, or of ``dtype``; shapes must agree."""
    expected = torch.as_tensor(expected).to(actual.device)
    if expected.ndim:
        assert actual.shape == expected.shape, (actual.shape, expected.shape)
    dtype = dtype or max(actual.dtype, _floating(expected.dtype, actual.dtype), key=tolerance)
    torch.testing.assert_close(
        actual.double(), expected.double().expand_as(actual), rtol=tolerance(dtype), atol=tolerance(dtype)
    )


def _floating(dtype: torch.dtype, otherwise: torch.dtype) -> torch.dtype:
    return dtype if dtype in SHARE_OF_EPSILON else otherwise
