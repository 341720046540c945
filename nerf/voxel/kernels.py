"""Compiled ray marching on the CPU: rendering and the gradient of training. The torch twin is ``torch_march.py``.

A ray takes samples at equal steps inside active cells and ends where less than ``MIN_TRANSMITTANCE`` of the light is
left, which its last sample takes. Symbols and formulas: ``nerf/voxel/__init__.py`` and ``nerf/compositing.py``.
All numbers are float32 and every constant is typed: one float64 among them halves the speed. Functions that call each
other stay in this file, because numba's cache does not notice changes in the files of callees.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

MAX_SAMPLES = 128  # samples of a ray
MIN_TRANSMITTANCE = np.float32(0.005)  # transmittance below which a ray ends
MIN_OPTICAL_DEPTH = np.float32(1e-3)  # optical depth below which a sample is skipped
ZERO, HALF, ONE, FAR = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1e9)
EDGE = np.float32(1e-4)  # rays stay inside the grid's box by this much, in voxels


@njit(cache=True)
def new_samples(count):
    """Return buffers for ``count`` samples of one ray or more.

    rows (count, 8) int32: table rows of the corners of each sample's cell; trilinear (count, 8): their weights;
    values (count, 4): raw density, RGB; shares (count, 3): distance, opacity, compositing weight.
    """
    rows, trilinear = np.empty((count, 8), np.int32), np.empty((count, 8), np.float32)
    return rows, trilinear, np.empty((count, 4), np.float32), np.empty((count, 3), np.float32)


@njit(fastmath=True, inline="always")
def softplus(raw):
    if raw > np.float32(15):
        return raw
    return math.log(ONE + math.exp(raw))


@njit(fastmath=True, inline="always")
def pixel_ray(column, line, ray, rays, camera, lens):
    """Return the unit direction in the world of a pixel's only ray, or of one of four on a 2 x 2 pattern."""
    x, y = np.float32(column), np.float32(line)
    x += HALF if rays == 1 else np.float32(0.25) + HALF * np.float32(ray & 1)
    y += HALF if rays == 1 else np.float32(0.25) + HALF * np.float32(ray >> 1)
    right = (x - lens[2]) / lens[0]
    up = -(y - lens[3]) / lens[1]
    norm = ONE / math.sqrt(right * right + up * up + ONE)
    right, up, back = right * norm, up * norm, -norm
    return (
        camera[0, 0] * right + camera[0, 1] * up + camera[0, 2] * back,
        camera[1, 0] * right + camera[1, 1] * up + camera[1, 2] * back,
        camera[2, 0] * right + camera[2, 1] * up + camera[2, 2] * back,
    )


@njit(fastmath=True, inline="always")
def clip_to_slab(start, direction, cells, near, far):
    """Cut [near, far] to where ``start + direction * t`` lies between 0 and ``cells``."""
    if abs(direction) < np.float32(1e-9):
        return (near, far) if ZERO < start < cells else (FAR, ZERO)
    first, last = (EDGE - start) / direction, (cells - EDGE - start) / direction
    if first > last:
        first, last = last, first
    return max(near, first), min(far, last)


@njit(fastmath=True, inline="always")
def block_exit(position, direction, cell):
    """Return the distance at which a ray leaves, along one axis, the block of 4 cells that holds ``cell``."""
    if direction > ZERO:
        return (np.float32(((cell >> 2) + 1) * 4) - position) / direction
    if direction < ZERO:
        return (np.float32((cell >> 2) * 4) - position) / direction
    return FAR


@njit(fastmath=True, inline="always")
def corner_rows(index, i, j, k):
    """Return the table rows of the eight corners of cell (i, j, k)."""
    return (
        index[i, j, k], index[i, j, k + 1], index[i, j + 1, k], index[i, j + 1, k + 1],
        index[i + 1, j, k], index[i + 1, j, k + 1], index[i + 1, j + 1, k], index[i + 1, j + 1, k + 1],
    )  # fmt: skip


@njit(fastmath=True, inline="always")
def trilinear_weights(x, y, z):
    """Return the corners' weights at a position within the cell."""
    u, v, w = ONE - x, ONE - y, ONE - z
    return u * v * w, u * v * z, u * y * w, u * y * z, x * v * w, x * v * z, x * y * w, x * y * z


@njit(fastmath=True, inline="always")
def interpolate_column(table, rows, weights, column):
    """Return the weighted sum of a column of ``table`` over the corners."""
    return (
        weights[0] * table[rows[0], column] + weights[1] * table[rows[1], column]
        + weights[2] * table[rows[2], column] + weights[3] * table[rows[3], column]
        + weights[4] * table[rows[4], column] + weights[5] * table[rows[5], column]
        + weights[6] * table[rows[6], column] + weights[7] * table[rows[7], column]
    )  # fmt: skip


@njit(fastmath=True, cache=True)
def march_ray(camera, direction, offset, grid, samples, first):
    """Take a ray's samples, written to ``samples`` from row ``first`` on; return how many.

    ``offset``: distance of the first sample from the grid's box, in steps.
    """
    origin, voxel, step, index, blocks, table = grid
    rows, trilinear, values, shares = samples
    nx, ny, nz = index.shape
    scale = ONE / voxel
    # In lattice units the ray is (ax + bx t, ay + by t, az + bz t) at distance t.
    ax, ay = (camera[0, 3] - origin[0]) * scale, (camera[1, 3] - origin[1]) * scale
    az = (camera[2, 3] - origin[2]) * scale
    bx, by, bz = direction[0] * scale, direction[1] * scale, direction[2] * scale
    near, far = clip_to_slab(ax, bx, np.float32(nx - 1), ZERO, FAR)
    near, far = clip_to_slab(ay, by, np.float32(ny - 1), near, far)
    near, far = clip_to_slab(az, bz, np.float32(nz - 1), near, far)
    distance, transmittance, count, thickness = near + offset * step, ONE, 0, step * scale
    while distance < far:
        x, y, z = ax + bx * distance, ay + by * distance, az + bz * distance
        i, j, k = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
        if not blocks[i >> 2, j >> 2, k >> 2]:
            leave = min(block_exit(x, bx, i), block_exit(y, by, j), block_exit(z, bz, k))
            distance += np.float32(int(leave / step) + 1) * step
            continue
        corners = corner_rows(index, i, j, k)
        if min(corners) >= 0:
            parts = trilinear_weights(x - np.float32(i), y - np.float32(j), z - np.float32(k))
            raw = interpolate_column(table, corners, parts, 0)
            optical_depth = softplus(raw) * thickness
            if optical_depth > MIN_OPTICAL_DEPTH:
                at = first + count
                for corner in range(8):
                    rows[at, corner], trilinear[at, corner] = corners[corner], parts[corner]
                values[at, 0] = raw
                for column in range(1, 4):
                    values[at, column] = interpolate_column(table, corners, parts, column)
                alpha = ONE - math.exp(-optical_depth)
                share = shares[at]
                share[0], share[1], share[2] = distance, alpha, transmittance * alpha
                count += 1
                transmittance *= ONE - alpha
                if transmittance < MIN_TRANSMITTANCE:
                    share[1], share[2] = ONE, share[2] + transmittance
                    break
                if count >= MAX_SAMPLES:
                    break
        distance += step
    return count


@njit(fastmath=True, inline="always")
def composite_samples(samples, first, last):
    """Return RGB, weighted distance and remaining transmittance of the samples first ... last - 1."""
    _, _, values, shares = samples
    red, green, blue, depth, transmittance = ZERO, ZERO, ZERO, ZERO, ONE
    for s in range(first, last):
        weight = shares[s, 2]
        red += weight * values[s, 1]
        green += weight * values[s, 2]
        blue += weight * values[s, 3]
        depth += weight * shares[s, 0]
        transmittance -= weight
    return red, green, blue, depth, max(transmittance, ZERO)


@njit(fastmath=True, inline="always")
def backpropagate_ray(samples, ends, residual, behind, grid, gradient, peak, mark):
    """Add the gradient of half a ray's squared error to ``gradient`` (vertices, 4), from its last sample to its first.

    ``residual``: the error's derivative by the ray's RGB; ``behind``: that by the logarithm of the light which reaches
    the background. With ``mark``, ``peak`` (vertices,) is updated.
    """
    _, voxel, step, _, _, _ = grid
    rows, trilinear, values, shares = samples
    red, green, blue = residual
    for s in range(ends[1] - 1, ends[0] - 1, -1):
        alpha, weight = shares[s, 1], shares[s, 2]
        by_weight = values[s, 1] * red + values[s, 2] * green + values[s, 3] * blue
        by_raw = ZERO
        if alpha < ONE:
            by_optical_depth = weight / alpha * (ONE - alpha) * by_weight - behind
            by_raw = by_optical_depth * (step / voxel) / (ONE + math.exp(-values[s, 0]))
        behind += weight * by_weight
        for m in range(8):
            at, w = rows[s, m], trilinear[s, m]
            gradient[at, 0] += w * by_raw
            gradient[at, 1] += w * weight * red
            gradient[at, 2] += w * weight * green
            gradient[at, 3] += w * weight * blue
            if mark and weight > peak[at]:
                peak[at] = weight


@njit(parallel=True, fastmath=True, cache=True)
def accumulate_gradient(pixels, offsets, views, grid, gradient, peak, mark):
    """Add the gradient of half the summed squared colour error to ``gradient``; return the mean squared error.

    ``pixels`` (pixels, 4) int32: view, column, row, rays (1: through the centre, 4: averaged over a 2 x 2 pattern).
    ``offsets`` (pixels,): see ``march_ray``. Each of the ``gradient`` (chunks, vertices, 4) buffers takes a fixed share
    of the pixels, so that the sum does not depend on the threads' timing. With ``mark``, ``peak`` (chunks, vertices)
    keeps the largest compositing weight of a sample beside each vertex.
    """
    cameras, lens, images, background = views
    chunks = len(gradient)
    share = (len(pixels) + chunks - 1) // chunks
    losses = np.zeros(chunks)
    for chunk in prange(chunks):
        samples = new_samples(4 * MAX_SAMPLES)
        ends = np.zeros(5, np.int64)
        transmittance = np.zeros(4, np.float32)
        chunk_gradient, chunk_peak = gradient[chunk], peak[chunk]
        loss = 0.0
        for p in range(chunk * share, min(len(pixels), (chunk + 1) * share)):
            view, column, line, rays = pixels[p, 0], pixels[p, 1], pixels[p, 2], pixels[p, 3]
            camera = cameras[view]
            red, green, blue = ZERO, ZERO, ZERO
            for r in range(rays):
                direction = pixel_ray(column, line, r, rays, camera, lens)
                ends[r + 1] = ends[r] + march_ray(camera, direction, offsets[p], grid, samples, ends[r])
                a, b, c, _, transmittance[r] = composite_samples(samples, ends[r], ends[r + 1])
                red += a + transmittance[r] * background[0]
                green += b + transmittance[r] * background[1]
                blue += c + transmittance[r] * background[2]
            part = ONE / np.float32(rays)
            red = red * part - images[view, line, column, 0] * np.float32(1 / 255)
            green = green * part - images[view, line, column, 1] * np.float32(1 / 255)
            blue = blue * part - images[view, line, column, 2] * np.float32(1 / 255)
            loss += red * red + green * green + blue * blue
            red, green, blue = red * part, green * part, blue * part
            for r in range(rays):
                behind = transmittance[r] * (background[0] * red + background[1] * green + background[2] * blue)
                backpropagate_ray(
                    samples, ends[r : r + 2], (red, green, blue), behind, grid, chunk_gradient, chunk_peak, mark
                )
        losses[chunk] = loss
    return losses.sum() / (3 * len(pixels))


@njit(parallel=True, fastmath=True, cache=True)
def visible_samples(origins, directions, grid, distances):
    """Fill ``distances`` (rays, MAX_SAMPLES) of the samples that rays (rays, 3) see; return their counts (rays,)."""
    counts = np.zeros(len(directions), np.int64)
    for ray in prange(len(directions)):
        samples = new_samples(MAX_SAMPLES)
        camera = np.empty((3, 4), np.float32)
        camera[:, 3] = origins[ray]
        direction = (directions[ray, 0], directions[ray, 1], directions[ray, 2])
        count = march_ray(camera, direction, HALF, grid, samples, 0)
        distances[ray, :count] = samples[3][:count, 0]
        counts[ray] = count
    return counts


@njit(fastmath=True, inline="always")
def render_pixel(camera, lens, position, rays, grid, background, samples):
    """Return RGB, opacity and depth of the pixel at ``position`` (column, row), the mean of 1 or 2 x 2 rays."""
    red, green, blue, far, light = ZERO, ZERO, ZERO, ZERO, ZERO
    for r in range(rays):
        direction = pixel_ray(position[0], position[1], r, rays, camera, lens)
        count = march_ray(camera, direction, HALF, grid, samples, 0)
        a, b, c, d, transmittance = composite_samples(samples, 0, count)
        red, green, blue = red + a, green + b, blue + c
        far, light = far + d, light + transmittance
    part = ONE / np.float32(rays)
    opacity = ONE - light * part
    return (
        red * part + light * part * background[0],
        green * part + light * part * background[1],
        blue * part + light * part * background[2],
        opacity,
        far * part / opacity if opacity > np.float32(1e-3) else ZERO,
    )


@njit(fastmath=True, cache=True)
def differs_from_neighbour(window, line, column, contrast):
    """Return whether a pixel differs from one beside it by more than ``contrast`` in a colour or in opacity."""
    height, width, _ = window.shape
    for side in range(4):
        beside = line + (1 if side == 0 else -1 if side == 1 else 0)
        along = column + (1 if side == 2 else -1 if side == 3 else 0)
        if 0 <= beside < height and 0 <= along < width:
            for c in range(4):
                if abs(window[beside, along, c] - window[line, column, c]) > contrast:
                    return True
    return False


@njit(parallel=True, fastmath=True, cache=True)
def render_window(camera, lens, corner, grid, background, contrast, window):
    """Render into ``window`` (height, width, 5), RGB, opacity, depth, whose first pixel is ``corner`` (column, row).

    One ray a pixel; a pixel that differs from a neighbour by more than ``contrast`` is rendered again as the mean of
    2 x 2 rays, as it was trained. Depth is the weighted mean distance.
    """
    height, width, _ = window.shape
    again = np.ones((height, width), np.bool_)
    for rays in (1, 4):
        for line in prange(height):
            samples = new_samples(MAX_SAMPLES)
            for column in range(width):
                if again[line, column]:
                    position = (corner[0] + column, corner[1] + line)
                    values = render_pixel(camera, lens, position, rays, grid, background, samples)
                    for c in range(5):
                        window[line, column, c] = values[c]
        if contrast >= ONE:
            break
        if rays == 1:
            for line in prange(height):
                for column in range(width):
                    again[line, column] = differs_from_neighbour(window, line, column, contrast)
