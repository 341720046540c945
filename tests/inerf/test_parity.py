"""One step of the paper's iNeRF: our rendered pixels, loss and gradients against numbers of the original code."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from nerf.mlp.method import MlpMethod
from tests.nerf.mlp.official_weights import Case, cases
from utils.rendering import Field
from utils.run_context import RunContext

CASE = cases(Path(__file__).with_name("inerf_step.json"))["step"]


def field_of(case: Case, folder: Path) -> Field:
    """The case's field, read from a checkpoint in nerf-pytorch's format."""
    method = MlpMethod(case.write_tar(folder / "200000.tar"))
    return method.train(case.views(), RunContext(torch.device("cpu")), None)


def original_motion(w: Tensor, v: Tensor, theta: Tensor) -> Tensor:
    """The paper's motion (4, 4): Rodrigues' formula with an axis of any length, hence not in SE(3)."""
    zero = torch.zeros(())
    cross = torch.stack([zero, -w[2], w[1], w[2], zero, -w[0], -w[1], w[0], zero]).view(3, 3)
    rotation = torch.eye(3) + theta.sin() * cross + (1 - theta.cos()) * cross @ cross
    shift = theta * torch.eye(3) + (1 - theta.cos()) * cross + (theta - theta.sin()) * cross @ cross
    return torch.cat([torch.cat([rotation, (shift @ v)[:, None]], 1), torch.tensor([[0.0, 0.0, 0.0, 1.0]])])


def test_a_step_of_the_paper_s_refinement(tmp_path: Path) -> None:
    field, numbers = field_of(CASE, tmp_path), CASE.numbers
    w, v, theta = (numbers[name].clone().requires_grad_(True) for name in ("w", "v", "theta"))
    pose = original_motion(w, v, theta) @ numbers["start"]
    pose.retain_grad()
    torch.testing.assert_close(pose.detach(), CASE.pose, atol=1e-6, rtol=0)
    colour = field.render_pixels(numbers["pixels"] + 0.5, pose, CASE.camera)
    loss = (colour - numbers["target"]).square().mean()
    loss.backward()
    torch.testing.assert_close(colour.detach(), numbers["colour"], atol=1e-5, rtol=0)
    torch.testing.assert_close(loss.detach(), numbers["loss"], atol=1e-5, rtol=0)
    torch.testing.assert_close(pose.grad, numbers["pose_gradient"], atol=1e-4, rtol=1e-4)
    for name, variable in (("w", w), ("v", v), ("theta", theta)):
        torch.testing.assert_close(variable.grad, numbers[f"{name}_gradient"], atol=1e-4, rtol=1e-4)
