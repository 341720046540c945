from __future__ import annotations

import pytest
import torch

from inerf import se3


def twists(count: int = 64, largest: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rho = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    axis = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=-1)
    angle = torch.linspace(0.0, largest, count, dtype=torch.float64)[:, None]
    return torch.cat([rho, axis * angle], -1)


@pytest.mark.parametrize("scale", [1.0, 1e-1, 1e-2, 1e-4, 1e-8])
def test_exp_is_the_matrix_exponential(scale: float) -> None:
    twist = twists() * scale
    generator = torch.zeros(len(twist), 4, 4, dtype=torch.float64)
    generator[:, :3, :3] = se3.hat(twist[:, 3:])
    generator[:, :3, 3] = twist[:, :3]
    torch.testing.assert_close(se3.exp(twist), torch.matrix_exp(generator), atol=1e-12, rtol=1e-10)


def test_numpy_s_exp_equals_torch_s() -> None:
    for twist in torch.cat([twists(), 0.01 * twists(), twists() * 0.0]):
        torch.testing.assert_close(torch.from_numpy(se3.exp_numpy(twist.numpy())), se3.exp(twist), atol=1e-13, rtol=0)


def test_exp_of_minus_is_the_inverse() -> None:
    twist = twists()
    eye = torch.eye(4, dtype=torch.float64).expand(len(twist), 4, 4)
    torch.testing.assert_close(se3.exp(-twist) @ se3.exp(twist), eye, atol=1e-12, rtol=0)
    torch.testing.assert_close(se3.inverse(se3.exp(twist)), se3.exp(-twist), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 0.05, 0.9])
def test_gradients_also_at_zero(scale: float) -> None:
    twist = (twists(3, 2.0) * scale).requires_grad_()
    assert torch.autograd.gradcheck(se3.exp, (twist,))


def test_rotation_survives_float32_products() -> None:
    motion = torch.eye(4)
    step = se3.exp(torch.tensor([0.1, 0.0, 0.2, 0.01, 0.02, -0.03]))
    for _ in range(2000):
        motion = motion @ step
    rotation = se3.renormalised(motion)[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)
    assert torch.linalg.det(rotation) > 0
