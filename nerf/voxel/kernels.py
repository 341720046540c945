"""The voxel field's inner loops, compiled for the CPU. Their obvious twin in torch is ``nerf/voxel/torch_march.py``.

A ray takes samples at equal steps inside active cells. The density of a sample is softplus of the trilinearly
interpolated raw value (post-activation, DVGO, arXiv:2111.11215), so that a surface can lie sharply within a cell;
its optical depth over one step is softplus(raw) * step / voxel. Compositing is NeRF's eq. 3 (arXiv:2003.08934); a ray
that lets less than ``OPAQUE`` through ends there and gives the rest to its last sample.
All numbers are float32 and every constant is typed: one float64 among them halves the speed.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

MAX_SAMPLES = 128
OPAQUE = np.float32(0.005)
FAINT = np.float32(1e-3)  # optical depth below which a sample is skipped
ZERO, HALF, ONE, FAR = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1e9)
EDGE = np.float32(1e-4)


@njit(fastmath=True, inline="always")
def softplus(raw):
    if raw > np.float32(15):
        return raw
    return math.log(ONE + math.exp(raw))


@njit(fastmath=True, inline="always")
def pixel_ray(x, y, camera, lens):
    """Unit direction in the world's frame of the ray through pixel position (x, y)."""
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
def slab(start, slope, cells, near, far):
    """Cuts [near, far] to where ``start + slope t`` lies between 0 and ``cells``."""
    if abs(slope) < np.float32(1e-9):
        return (near, far) if ZERO < start < cells else (FAR, ZERO)
    first, last = (EDGE - start) / slope, (cells - EDGE - start) / slope
    if first > last:
        first, last = last, first
    return max(near, first), min(far, last)


@njit(fastmath=True, inline="always")
def block_exit(position, slope, cell):
    """Distance along the ray at which it leaves, along one axis, the block of 4 cells that holds ``cell``."""
    if slope > ZERO:
        return (np.float32(((cell >> 2) + 1) * 4) - position) / slope
    if slope < ZERO:
        return (np.float32((cell >> 2) * 4) - position) / slope
    return FAR


@njit(fastmath=True, cache=True)
def march(camera, dx, dy, dz, offset, step, origin, voxel, index, blocks, table, rows, weights, values, samples):
    """Takes a ray's samples; returns how many.

    Fills, for each sample, ``rows`` (8) and trilinear ``weights`` (8) of its cell's corners, ``values`` (4): raw
    density and RGB, ``samples`` (3): distance, alpha, compositing weight.
    """
    nx, ny, nz = index.shape
    scale = ONE / voxel
    ax, ay = (camera[0, 3] - origin[0]) * scale, (camera[1, 3] - origin[1]) * scale
    az = (camera[2, 3] - origin[2]) * scale
    sx, sy, sz = dx * scale, dy * scale, dz * scale
    near, far = slab(ax, sx, np.float32(nx - 1), ZERO, FAR)
    near, far = slab(ay, sy, np.float32(ny - 1), near, far)
    near, far = slab(az, sz, np.float32(nz - 1), near, far)
    distance, passed, count, thickness = near + offset * step, ONE, 0, step * scale
    while distance < far:
        x, y, z = ax + sx * distance, ay + sy * distance, az + sz * distance
        i, j, k = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
        if not blocks[i >> 2, j >> 2, k >> 2]:
            leave = min(block_exit(x, sx, i), block_exit(y, sy, j), block_exit(z, sz, k))
            distance += np.float32(int(leave / step) + 1) * step
            continue
        r0 = index[i, j, k]
        r1, r2, r3 = index[i, j, k + 1], index[i, j + 1, k], index[i, j + 1, k + 1]
        r4, r5 = index[i + 1, j, k], index[i + 1, j, k + 1]
        r6, r7 = index[i + 1, j + 1, k], index[i + 1, j + 1, k + 1]
        if min(r0, r1, r2, r3, r4, r5, r6, r7) >= 0:
            fx, fy, fz = x - np.float32(i), y - np.float32(j), z - np.float32(k)
            gx, gy, gz = ONE - fx, ONE - fy, ONE - fz
            w0, w1, w2, w3 = gx * gy * gz, gx * gy * fz, gx * fy * gz, gx * fy * fz
            w4, w5, w6, w7 = fx * gy * gz, fx * gy * fz, fx * fy * gz, fx * fy * fz
            raw = (
                w0 * table[r0, 0] + w1 * table[r1, 0] + w2 * table[r2, 0] + w3 * table[r3, 0]
                + w4 * table[r4, 0] + w5 * table[r5, 0] + w6 * table[r6, 0] + w7 * table[r7, 0]
            )  # fmt: skip
            depth = softplus(raw) * thickness
            if depth > FAINT:
                row, weight, value, sample = rows[count], weights[count], values[count], samples[count]
                row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] = r0, r1, r2, r3, r4, r5, r6, r7
                weight[0], weight[1], weight[2], weight[3] = w0, w1, w2, w3
                weight[4], weight[5], weight[6], weight[7] = w4, w5, w6, w7
                value[0] = raw
                for c in range(1, 4):
                    value[c] = (
                        w0 * table[r0, c] + w1 * table[r1, c] + w2 * table[r2, c] + w3 * table[r3, c]
                        + w4 * table[r4, c] + w5 * table[r5, c] + w6 * table[r6, c] + w7 * table[r7, c]
                    )  # fmt: skip
                alpha = ONE - math.exp(-depth)
                sample[0], sample[1], sample[2] = distance, alpha, passed * alpha
                count += 1
                passed *= ONE - alpha
                if passed < OPAQUE:
                    sample[1], sample[2] = ONE, sample[2] + passed
                    break
                if count >= MAX_SAMPLES:
                    break
        distance += step
    return count


@njit(fastmath=True, inline="always")
def composite(values, samples, first, last):
    """RGB and transmittance of the samples first ... last - 1, and their weighted distance."""
    red, green, blue, depth, passed = ZERO, ZERO, ZERO, ZERO, ONE
    for s in range(first, last):
        weight = samples[s, 2]
        red += weight * values[s, 1]
        green += weight * values[s, 2]
        blue += weight * values[s, 3]
        depth += weight * samples[s, 0]
        passed -= weight
    return red, green, blue, depth, max(passed, ZERO)


@njit(parallel=True, fastmath=True, cache=True)
def accumulate_gradient(
    pixels, offsets, cameras, lens, images, background, step, origin, voxel, index, blocks, table, gradient, peak, mark
):
    """Adds the gradient of half the summed squared colour error; returns the mean squared error.

    ``pixels`` (pixels, 4) int32: view, column, row, rays (1: through the centre, 4: averaged over a 2 x 2 pattern).
    Each of the ``gradient`` (chunks, vertices, 4) buffers takes a fixed share of the pixels, so that the sum does not
    depend on the threads' timing. With ``mark``, ``peak`` (chunks, vertices) keeps each vertex's largest weight.
    """
    chunks = gradient.shape[0]
    share = (len(pixels) + chunks - 1) // chunks
    losses = np.zeros(chunks)
    for chunk in prange(chunks):
        rows = np.empty((4 * MAX_SAMPLES, 8), np.int32)
        weights = np.empty((4 * MAX_SAMPLES, 8), np.float32)
        values = np.empty((4 * MAX_SAMPLES, 4), np.float32)
        samples = np.empty((4 * MAX_SAMPLES, 3), np.float32)
        ends = np.zeros(5, np.int64)
        passed = np.zeros(4, np.float32)
        slope, top = gradient[chunk], peak[chunk]
        loss = 0.0
        for p in range(chunk * share, min(len(pixels), (chunk + 1) * share)):
            view, column, line, rays = pixels[p, 0], pixels[p, 1], pixels[p, 2], pixels[p, 3]
            camera = cameras[view]
            red, green, blue = ZERO, ZERO, ZERO
            for r in range(rays):
                x, y = np.float32(column), np.float32(line)
                x += HALF if rays == 1 else np.float32(0.25) + HALF * np.float32(r & 1)
                y += HALF if rays == 1 else np.float32(0.25) + HALF * np.float32(r >> 1)
                dx, dy, dz = pixel_ray(x, y, camera, lens)
                first = ends[r]
                ends[r + 1] = first + march(
                    camera, dx, dy, dz, offsets[p], step, origin, voxel, index, blocks, table,
                    rows[first:], weights[first:], values[first:], samples[first:],
                )  # fmt: skip
                a, b, c, _, passed[r] = composite(values, samples, first, ends[r + 1])
                red += a + passed[r] * background[0]
                green += b + passed[r] * background[1]
                blue += c + passed[r] * background[2]
            share_of_ray = ONE / np.float32(rays)
            red = red * share_of_ray - images[view, line, column, 0] * np.float32(1 / 255)
            green = green * share_of_ray - images[view, line, column, 1] * np.float32(1 / 255)
            blue = blue * share_of_ray - images[view, line, column, 2] * np.float32(1 / 255)
            loss += red * red + green * green + blue * blue
            red, green, blue = red * share_of_ray, green * share_of_ray, blue * share_of_ray
            for r in range(rays):
                behind = passed[r] * (background[0] * red + background[1] * green + background[2] * blue)
                for s in range(ends[r + 1] - 1, ends[r] - 1, -1):
                    alpha, weight = samples[s, 1], samples[s, 2]
                    own = values[s, 1] * red + values[s, 2] * green + values[s, 3] * blue
                    by_raw = ZERO
                    if alpha < ONE:
                        by_depth = weight / alpha * (ONE - alpha) * own - behind
                        by_raw = by_depth * (step / voxel) / (ONE + math.exp(-values[s, 0]))
                    behind += weight * own
                    for m in range(8):
                        at, w = rows[s, m], weights[s, m]
                        slope[at, 0] += w * by_raw
                        slope[at, 1] += w * weight * red
                        slope[at, 2] += w * weight * green
                        slope[at, 3] += w * weight * blue
                        if mark and weight > top[at]:
                            top[at] = weight
        losses[chunk] = loss
    return losses.sum() / (3 * len(pixels))


@njit(parallel=True, fastmath=True, cache=True)
def adam_step(table, gradient, mean, square, rates, correction):
    """Adam (arXiv:1412.6980) with decays .9 and .99 on what has a gradient; sums and clears ``gradient``.

    Vertices that no ray has touched keep their moments. ``correction`` (2,): the bias corrections of both moments.
    """
    chunks, vertices, columns = gradient.shape
    for v in prange(vertices):
        for c in range(columns):
            slope = ZERO
            for chunk in range(chunks):
                slope += gradient[chunk, v, c]
                gradient[chunk, v, c] = ZERO
            if slope != ZERO:
                mean[v, c] = np.float32(0.9) * mean[v, c] + np.float32(0.1) * slope
                square[v, c] = np.float32(0.99) * square[v, c] + np.float32(0.01) * slope * slope
                size = math.sqrt(square[v, c] / correction[1]) + np.float32(1e-12)
                table[v, c] -= rates[c] * (mean[v, c] / correction[0]) / size


@njit(parallel=True, cache=True)
def neighbour_rows(index, vertices):
    """Rows (vertices, 6) of the neighbours along -x, +x, -y, +y, -z, +z; -1 where there is none."""
    rows = np.full((vertices, 6), -1, np.int32)
    nx, ny, nz = index.shape
    for i in prange(nx):
        for j in range(ny):
            for k in range(nz):
                r = index[i, j, k]
                if r >= 0:
                    rows[r, 0] = index[i - 1, j, k] if i > 0 else -1
                    rows[r, 1] = index[i + 1, j, k] if i < nx - 1 else -1
                    rows[r, 2] = index[i, j - 1, k] if j > 0 else -1
                    rows[r, 3] = index[i, j + 1, k] if j < ny - 1 else -1
                    rows[r, 4] = index[i, j, k - 1] if k > 0 else -1
                    rows[r, 5] = index[i, j, k + 1] if k < nz - 1 else -1
    return rows


@njit(parallel=True, fastmath=True, cache=True)
def smooth_density(table, neighbours, amount, bound, scratch):
    """Moves each raw density by ``amount`` towards the mean of its neighbours, and into [-bound, bound].

    Only axes with both neighbours count: then planes, which are linear in the raw density, stay as they are.
    """
    for v in prange(len(table)):
        bend, axes = ZERO, ZERO
        for axis in range(3):
            before, after = neighbours[v, 2 * axis], neighbours[v, 2 * axis + 1]
            if before >= 0 and after >= 0:
                bend += HALF * (table[before, 0] + table[after, 0]) - table[v, 0]
                axes += ONE
        scratch[v] = table[v, 0] + amount * bend / max(axes, ONE)
    for v in prange(len(table)):
        table[v, 0] = min(max(scratch[v], -bound), bound)


@njit(parallel=True, fastmath=True, cache=True)
def visible_samples(origins, directions, step, origin, voxel, index, blocks, table, distances):
    """Fills ``distances`` (rays, MAX_SAMPLES) of the samples that rays (rays, 3) see; returns their counts (rays,)."""
    counts = np.zeros(len(directions), np.int64)
    for ray in prange(len(directions)):
        rows = np.empty((MAX_SAMPLES, 8), np.int32)
        weights = np.empty((MAX_SAMPLES, 8), np.float32)
        values = np.empty((MAX_SAMPLES, 4), np.float32)
        samples = np.empty((MAX_SAMPLES, 3), np.float32)
        camera = np.empty((3, 4), np.float32)
        camera[:, 3] = origins[ray]
        count = march(
            camera, directions[ray, 0], directions[ray, 1], directions[ray, 2], HALF, step, origin, voxel, index,
            blocks, table, rows, weights, values, samples,
        )  # fmt: skip
        for number in range(count):
            distances[ray, number] = samples[number, 0]
        counts[ray] = count
    return counts


@njit(parallel=True, fastmath=True, cache=True)
def render_window(
    camera, lens, left, top, colour, opacity, depth, background, step, origin, voxel, index, blocks, table, contrast
):
    """Renders a window whose corner is pixel (left, top) into ``colour`` (h, w, 3), ``opacity`` and ``depth`` (h, w).

    One ray a pixel; a pixel that differs from a neighbour by more than ``contrast`` in colour or opacity is rendered
    again as the mean of 2 x 2 rays, as it was trained. ``depth`` is the weighted mean over what is opaque.
    """
    height, width = opacity.shape
    again = np.zeros((height, width), np.uint8)
    for phase in range(2):
        for line in prange(height):
            rows = np.empty((MAX_SAMPLES, 8), np.int32)
            weights = np.empty((MAX_SAMPLES, 8), np.float32)
            values = np.empty((MAX_SAMPLES, 4), np.float32)
            samples = np.empty((MAX_SAMPLES, 3), np.float32)
            for column in range(width):
                if phase == 1 and not again[line, column]:
                    continue
                rays = 1 if phase == 0 else 4
                red, green, blue, far, light = ZERO, ZERO, ZERO, ZERO, ZERO
                for r in range(rays):
                    x, y = np.float32(left + column), np.float32(top + line)
                    x += HALF if rays == 1 else np.float32(0.25) + HALF * np.float32(r & 1)
                    y += HALF if rays == 1 else np.float32(0.25) + HALF * np.float32(r >> 1)
                    dx, dy, dz = pixel_ray(x, y, camera, lens)
                    count = march(
                        camera, dx, dy, dz, HALF, step, origin, voxel, index, blocks, table,
                        rows, weights, values, samples,
                    )  # fmt: skip
                    a, b, c, d, passed = composite(values, samples, 0, count)
                    red, green, blue = red + a, green + b, blue + c
                    far, light = far + d, light + passed
                part = ONE / np.float32(rays)
                solid = ONE - light * part
                colour[line, column, 0] = red * part + light * part * background[0]
                colour[line, column, 1] = green * part + light * part * background[1]
                colour[line, column, 2] = blue * part + light * part * background[2]
                opacity[line, column] = solid
                depth[line, column] = far * part / solid if solid > np.float32(1e-3) else ZERO
        if phase == 0:
            if contrast >= ONE:
                break
            for line in prange(height):
                for column in range(width):
                    for side in range(4):
                        beside = line + (1 if side == 0 else -1 if side == 1 else 0)
                        along = column + (1 if side == 2 else -1 if side == 3 else 0)
                        if 0 <= beside < height and 0 <= along < width:
                            gap = abs(opacity[beside, along] - opacity[line, column])
                            for c in range(3):
                                gap = max(gap, abs(colour[beside, along, c] - colour[line, column, c]))
                            if gap > contrast:
                                again[line, column] = 1
