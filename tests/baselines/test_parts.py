"""Parts of the methods against closed forms and obvious twins, and the facts of their networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baselines import cfa, cflow, cutpaste, fastflow, favae, stfpm, uniad
from baselines.cutpaste_augmentation import AREA, cut_paste, cut_paste_scar
from baselines.draem import DRAEMConfig, paint_anomalies
from baselines.favae_network import Autoencoder
from baselines.feature_extraction import RESNET_CHANNELS, ResNetFeatures, ResNetName
from baselines.ocr_gan_networks import ChannelSelection, Discriminator, FrequencyGenerator, frequency_bands
from baselines.patchcore import coreset, weighted_score
from baselines.textures import noise_mask, random_texture, smooth_noise
from baselines.uniad_network import FeatureTransformer, neighbour_mask
from tests.baselines.discs import disc
from utils.run_context import RunContext
from utils.weights import Weights

CPU = torch.device("cpu")


def random_numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_coreset_takes_the_farthest_each_time() -> None:
    points = random_numbers(60, 5)
    chosen = coreset(points, 12, 0, RunContext(CPU)).tolist()
    twin = chosen[:1]
    while len(twin) < 12:
        distances = [min(float((point - points[row]).norm()) for row in twin) for point in points]
        twin.append(int(np.argmax(distances)))
    assert chosen == twin


def test_patchcores_score_is_weighted_by_neighbours() -> None:
    memory, patches = random_numbers(20, 4), random_numbers(6, 4, seed=1)
    distances, nearest = torch.cdist(patches, memory).min(dim=1)
    worst = int(distances.argmax())
    around = sorted(range(20), key=lambda row: float((memory[row] - memory[nearest[worst]]).norm()))[:5]
    total = sum(math.exp(float((patches[worst] - memory[row]).norm())) for row in around)
    expected = (1 - math.exp(float(distances[worst])) / total) * float(distances[worst])
    assert weighted_score(patches, distances, nearest, memory, 5) == pytest.approx(expected, rel=1e-5)


def test_frozen_layers_have_their_papers_shapes() -> None:
    cases: dict[ResNetName, tuple[int, ...]] = {
        "resnet18": (64, 128, 256, 512),
        "wide_resnet50_2": (256, 512, 1024, 2048),
    }
    assert cases == RESNET_CHANNELS
    for name, channels in cases.items():
        network = ResNetFeatures(name, (1, 2, 3, 4), Weights(backbone="random"))
        shapes = [tuple(each.shape) for each in network(torch.zeros(1, 3, 64, 64))]
        assert shapes == [(1, count, 16 >> level, 16 >> level) for level, count in enumerate(channels)]
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_stfpm_measures_half_the_squared_distance_of_unit_vectors() -> None:
    one, other = [torch.tensor([[[[2.0]], [[0.0]]]])], [torch.tensor([[[[0.0]], [[5.0]]]])]
    assert stfpm.matching_loss(one, other) == 1.0 and stfpm.matching_loss(one, one) == 0.0
    assert stfpm.discrepancy_map(one * 2, other * 2, 4).flatten().tolist() == [1.0] * 16


def test_cfa_attracts_to_the_nearest_and_scores_by_softmin() -> None:
    features, memory = random_numbers(1, 3, 2, 2), random_numbers(3, 7, seed=1)
    distances = cfa.squared_distances(features, memory)
    twin = torch.stack([(point - memory.T).square().sum(1) for point in features[0].flatten(1).T])
    assert torch.allclose(distances[0], twin, atol=1e-5)
    config = cfa.CFAConfig()
    near = twin.sort(dim=1).values[:, :3]
    assert float(cfa.hypersphere_loss(distances, config)) == pytest.approx(1000 * float(near.mean()), rel=1e-4)
    root = near.sqrt()
    assert torch.allclose(cfa.patch_scores(distances, 3)[0], root[:, 0] * torch.softmax(-root, 1)[:, 0], atol=1e-5)


def test_fastflows_likelihood_is_the_jacobians() -> None:
    flows = fastflow.Flows(fastflow.FastFlowConfig(size=16, flow_steps=2, layers=(1,)), (4,))
    values = random_numbers(1, 4, 4, 4)
    with torch.no_grad():
        noise, log = flows([values])
    normed = flows.norms[0](values)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: flows.flows[0](x.reshape(1, 4, 4, 4))[0].flatten(), normed.flatten()
    )
    assert float(log[0]) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-3)
    expected = 0.5 * float(noise[0].square().sum()) - float(log[0])
    assert float(fastflow.likelihood_loss(noise, log)) == pytest.approx(expected, rel=1e-5)
    assert fastflow.unlikeliness_map([torch.zeros(1, 4, 4, 4)], 16).max() == 0


def test_cflow_ranks_by_likelihood_of_normal_views() -> None:
    assert cflow.positional_encoding(8, 3, 5).shape == (15, 8)
    values = cflow.unlikeliness(torch.tensor([-1.0, -3.0, 2.0]), torch.tensor(-1.0))
    assert values.tolist() == pytest.approx([0.0, 1 - math.exp(-2), 0.0])


def test_cut_paste_changes_a_rectangle_of_the_papers_area() -> None:
    image, rng = torch.rand(3, 100, 100, generator=torch.Generator().manual_seed(0)), torch.Generator()
    for seed in range(30):
        changed = (cut_paste(image, rng.manual_seed(seed)) != image).any(0)
        rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
        area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1) / 10000
        assert 0.9 * AREA[0] <= float(area) <= 1.1 * AREA[1]
        thin = (cut_paste_scar(image, rng.manual_seed(seed)) != image).any(0)
        assert 0 < int(thin.sum()) <= 31 * 31


def test_cutpastes_patches_and_distances() -> None:
    image = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0))
    patches = cutpaste.sliding_patches(image, 32, 4)
    assert len(patches) == 57 * 57 and torch.equal(patches[58], image[:, 4:36, 4:36])
    drawn = cutpaste.random_patches(image[:, :34, :33], 32, 20, torch.Generator().manual_seed(0))
    every = cutpaste.sliding_patches(image[:, :34, :33], 32, 1)
    assert len(every) == 6 and all(any(torch.equal(one, each) for each in every) for one in drawn)
    values = random_numbers(40, 6)
    density = cutpaste.fit_gaussian(values)
    offset = (values[3].double() - density["mean"]).numpy()
    expected = math.sqrt(offset @ density["precision"].numpy() @ offset)
    assert float(cutpaste.mahalanobis_distance(values, density)[3]) == pytest.approx(expected)
    head = cutpaste.Classifier(Weights(backbone="random")).head
    assert sum(isinstance(layer, torch.nn.Linear) for layer in head) == 9 and head[-1].out_features == 128


def test_draem_paints_only_inside_its_masks() -> None:
    images = disc(64, 0.5).permute(2, 0, 1).repeat(8, 1, 1, 1)
    painted, masks = paint_anomalies(images, DRAEMConfig(size=64, share=1.0), 3)
    outside = (masks == 0).expand_as(images)
    assert torch.equal(painted[outside], images[outside]) and set(masks.unique().tolist()) == {0.0, 1.0}
    assert all((painted[index] != images[index]).any() for index in range(8))
    assert torch.equal(paint_anomalies(images, DRAEMConfig(size=64, share=0.0), 3)[0], images)


def test_noise_fills_its_range_and_is_finer_with_more_cells() -> None:
    rng = torch.Generator().manual_seed(0)
    coarse, fine = smooth_noise(64, 2, rng), smooth_noise(64, 32, rng)
    for noise in (coarse, fine):
        assert noise.shape == (64, 64) and float(noise.min()) == 0.0 and float(noise.max()) == 1.0
    assert fine.diff(dim=0).abs().mean() > 5 * coarse.diff(dim=0).abs().mean()
    assert torch.equal(smooth_noise(64, 2, rng.manual_seed(0)), coarse)


def test_noise_masks_are_regions_smaller_than_the_image() -> None:
    shares = []
    for seed in range(20):
        mask = noise_mask(64, torch.Generator().manual_seed(seed))
        assert mask.shape == (64, 64) and set(mask.unique().tolist()) == {0.0, 1.0}
        shares.append(float(mask.mean()))
    assert max(shares) < 0.5 and len(set(shares)) > 10


def test_textures_mix_two_colours() -> None:
    sizes_of_palettes = set()
    for seed in range(20):
        texture = random_texture(32, torch.Generator().manual_seed(seed))
        assert texture.shape == (3, 32, 32) and 0.0 <= float(texture.min()) <= float(texture.max()) <= 1.0
        pixels = texture.flatten(1).double()
        spread = torch.linalg.svdvals(pixels - pixels.mean(1, keepdim=True))
        assert spread[0] > 0.01 and spread[1] < 1e-5 * spread[0]  # the colours lie on a line between the two
        sizes_of_palettes.add(len(pixels.T.unique(dim=0)) == 2)
    assert sizes_of_palettes == {True, False}  # checks have only the two colours, the other kinds have more


@torch.no_grad()
def test_favae_is_built_and_scored_as_its_paper_says() -> None:
    network = Autoencoder(128).eval()
    assert network.encoder[-1].kernel_size == (8, 8) and network.encoder[-1].out_channels == 200
    output = network(torch.zeros(1, 3, 128, 128))
    assert [tuple(each.shape[1:]) for each in output.features] == [(128, 64, 64), (256, 32, 32), (512, 16, 16)]
    teacher = favae.Teacher(Weights(backbone="random"))(torch.zeros(1, 3, 128, 128))
    assert [each.shape for each in teacher] == [each.shape for each in output.features]
    wanted = [torch.zeros_like(each) for each in output.features]
    sums = float(output.images.square().sum()) + sum(float(each.square().sum()) for each in output.features)
    divergence = 0.5 * float((-1 - output.log_variance + output.log_variance.exp() + output.mean**2).sum())
    loss = favae.favae_loss(torch.zeros(1, 3, 128, 128), wanted, output, 1.0)
    assert float(loss) == pytest.approx(sums + divergence, rel=1e-4)


def test_ocr_gans_bands_add_up_and_its_networks_are_the_papers() -> None:
    image = 0.4 * disc(64, 0.3).permute(2, 0, 1)[None]  # so dim that no band leaves its range
    low, high = frequency_bands(image)
    assert torch.allclose(low + high, image, atol=1e-5) and low.std() < image.std()
    generator, discriminator = FrequencyGenerator(256, 64), Discriminator(256, 64)
    u_net = [layer for layer in next(generator.down.children()).modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in u_net] == [64, 128, 256, 512, 512, 512, 512, 512]
    convolutions = [layer for layer in discriminator.body.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, 512, 1024, 2048, 100]
    ones = torch.ones(2, 8, 4, 4)
    first, second = ChannelSelection(8)(ones, ones)
    assert torch.allclose(first + second, ones)


def test_uniads_tokens_do_not_see_their_neighbours() -> None:
    mask = neighbour_mask(14, 3)
    assert mask.shape == (196, 196)
    for one in range(0, 196, 17):
        for other in range(196):
            near = abs(one // 14 - other // 14) <= 3 and abs(one % 14 - other % 14) <= 3
            assert bool(mask[one, other]) == near
    network = FeatureTransformer(272, 14, 256, 4, 8, 1024, 0.1).eval()
    assert network(torch.zeros(1, 196, 272)).shape == (1, 196, 272)
    queries = {value.data_ptr() for name, value in network.named_parameters() if name.endswith(".query")}
    assert len(queries) == 4
    tokens = torch.ones(1, 4000, 272)
    noise = uniad.jitter_tokens(tokens, 20.0) - tokens
    assert float(noise.std()) == pytest.approx(20 * math.sqrt(272) / 272, rel=0.02)
