"""Compiled ray marching on the CPU: rendering and the gradient of training. The torch twin is ``torch_march.py``.

A ray takes samples at equal steps inside solid cells and ends where less than ``MIN_TRANSMITTANCE`` of the light is
left, which its last sample takes. Symbols and formulas: ``nerf/voxel/__init__.py`` and ``nerf/compositing.py``. Samples
lie half a voxel apart, hence a sample passes exp(-softplus(raw) / 2) = 1 / sqrt(1 + exp(raw)) of the light.
All numbers are float32 and every constant is typed: one float64 among them halves the speed. Functions that call each
other stay in this file, because numba's cache does not notice changes in the files of callees. What a parallel loop
writes to is an argument of its own: numba (0.68) loses writes to arrays that it takes out of a tuple.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

MAX_SAMPLES = 128  # samples of a ray
MIN_TRANSMITTANCE = np.float32(0.05)  # transmittance below which a ray ends
EMPTY_RAW_DENSITY = np.float32(-4)  # up to it, a sample absorbs less than a hundredth of the light, and is skipped
GRADIENT_COLUMNS = 8  # raw density, RGB, the largest compositing weight, and padding to half a cache line
TILE = 8  # pixels along a side of the tiles whose rays begin at one distance
ZERO, HALF, ONE, FAR = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1e9)
EDGE = np.float32(1e-4)  # rays stay inside the grid's box by this much, in voxels


@njit(cache=True)
def new_samples(count):
    """Return buffers for ``count`` samples of one ray or more.

    rows (count, 4) int32: table rows of the corners of each sample's cell with the lower k, each followed by the one
    with the upper k; places (count, 3): position within the cell; values (count, 4): share of the light that passes,
    RGB; shares (count, 2): distance, compositing weight.
    """
    rows, places = np.empty((count, 4), np.int32), np.empty((count, 3), np.float32)
    return rows, places, np.empty((count, 4), np.float32), np.empty((count, 2), np.float32)


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
def block_exit(position, direction, cell, gap):
    """Return the distance at which a ray leaves, along one axis, the blocks nearer than ``gap`` to that of ``cell``."""
    if direction > ZERO:
        return (np.float32(((cell >> 2) + gap) * 4) - position) / direction
    if direction < ZERO:
        return (np.float32(((cell >> 2) - gap + 1) * 4) - position) / direction
    return FAR


@njit(fastmath=True, inline="always")
def interpolate_column(table, rows, shares, heights, column):
    """Interpolate a column of ``table`` between the corners of a cell.

    ``shares`` (4,): weights along i and j of the corners in ``rows``; ``heights`` (2,): weights along k.
    """
    low, high = heights
    return (
        shares[0] * (low * table[rows[0], column] + high * table[rows[0] + 1, column])
        + shares[1] * (low * table[rows[1], column] + high * table[rows[1] + 1, column])
        + shares[2] * (low * table[rows[2], column] + high * table[rows[2] + 1, column])
        + shares[3] * (low * table[rows[3], column] + high * table[rows[3] + 1, column])
    )


@njit(fastmath=True, inline="always")
def enter_grid(camera, direction, grid):
    """Return a ray in lattice units, (a + b t) at distance t for each axis, and where it enters and leaves the box."""
    nx, ny, nz = grid.rows.shape
    scale = ONE / grid.voxel
    ax, ay = (camera[0, 3] - grid.origin[0]) * scale, (camera[1, 3] - grid.origin[1]) * scale
    az = (camera[2, 3] - grid.origin[2]) * scale
    bx, by, bz = direction[0] * scale, direction[1] * scale, direction[2] * scale
    near, far = clip_to_slab(ax, bx, np.float32(nx - 1), ZERO, FAR)
    near, far = clip_to_slab(ay, by, np.float32(ny - 1), near, far)
    near, far = clip_to_slab(az, bz, np.float32(nz - 1), near, far)
    return (ax, ay, az), (bx, by, bz), near, far


@njit(fastmath=True, cache=True)
def march_ray(camera, direction, offset, begin, grid, samples, first):
    """Take a ray's samples, written to ``samples`` from row ``first`` on; return the row behind the last one.

    ``offset``: distance of the first sample from the grid's box, in steps. ``begin``: distance before which the ray
    meets nothing. ``grid``: ``MarchArrays``.
    """
    _, _, step, index, solid, gaps, table = grid
    rows, places, values, shares = samples
    nx, ny, nz = index.shape
    (ax, ay, az), (bx, by, bz), near, far = enter_grid(camera, direction, grid)
    steps = ONE / step
    if begin > near:
        offset += np.float32(int((begin - near) * steps))
    distance, transmittance, at = near + offset * step, ONE, first
    while distance < far:
        x, y, z = ax + bx * distance, ay + by * distance, az + bz * distance
        i, j, k = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
        gap = int(gaps[i >> 2, j >> 2, k >> 2])
        if gap > 0:
            leave = min(block_exit(x, bx, i, gap), block_exit(y, by, j, gap), block_exit(z, bz, k, gap))
            distance += np.float32(int(leave * steps) + 1) * step
            continue
        if solid[i, j, k]:
            x, y, z = x - np.float32(i), y - np.float32(j), z - np.float32(k)
            corners = (index[i, j, k], index[i, j + 1, k], index[i + 1, j, k], index[i + 1, j + 1, k])
            parts, heights = ((ONE - x) * (ONE - y), (ONE - x) * y, x * (ONE - y), x * y), (ONE - z, z)
            raw = interpolate_column(table, corners, parts, heights, 0)
            if raw > EMPTY_RAW_DENSITY:
                for corner in range(4):
                    rows[at, corner] = corners[corner]
                for column in range(1, 4):
                    values[at, column] = interpolate_column(table, corners, parts, heights, column)
                places[at, 0], places[at, 1], places[at, 2] = x, y, z
                passes = ONE / math.sqrt(ONE + math.exp(raw))
                values[at, 0] = passes
                shares[at, 0], shares[at, 1] = distance, transmittance * (ONE - passes)
                at += 1
                transmittance *= passes
                if transmittance < MIN_TRANSMITTANCE:
                    values[at - 1, 0] = ZERO
                    shares[at - 1, 1] += transmittance
                    break
                if at - first >= MAX_SAMPLES:
                    break
        distance += step
    return at


@njit(fastmath=True, inline="always")
def composite_samples(samples, first, last):
    """Return RGB, weighted distance and remaining transmittance of the samples first ... last - 1."""
    _, _, values, shares = samples
    red, green, blue, depth, transmittance = ZERO, ZERO, ZERO, ZERO, ONE
    for s in range(first, last):
        weight = shares[s, 1]
        red += weight * values[s, 1]
        green += weight * values[s, 2]
        blue += weight * values[s, 3]
        depth += weight * shares[s, 0]
        transmittance -= weight
    return red, green, blue, depth, max(transmittance, ZERO)


@njit(fastmath=True, cache=True)
def backpropagate_ray(samples, ends, residual, behind, spread, buffers, count):
    """Add the gradient of half a ray's squared error and of its spread to ``gradient``, from its last sample on.

    ``residual``: the error's derivative by the ray's RGB; ``behind``: that by the logarithm of the light which reaches
    the background; ``spread``: factor of the sum of w_i w_j |t_i - t_j| over the pairs of samples; ``buffers``:
    ``gradient`` and ``touched``. Column 4 of ``gradient`` keeps the largest compositing weight beside a vertex; rows
    where it was 0 are appended to ``touched``, which holds ``count``. Returns their new count.
    """
    rows, places, values, shares = samples
    gradient, touched = buffers
    red, green, blue = residual
    front_weight, front_moment, back_weight, back_moment = ZERO, ZERO, ZERO, ZERO
    for s in range(ends[0], ends[1]):
        front_weight += shares[s, 1]
        front_moment += shares[s, 1] * shares[s, 0]
    for s in range(ends[1] - 1, ends[0] - 1, -1):
        passes, distance, weight = values[s, 0], shares[s, 0], shares[s, 1]
        front_weight -= weight
        front_moment -= weight * distance
        by_weight = values[s, 1] * red + values[s, 2] * green + values[s, 3] * blue
        by_weight += spread * (distance * (front_weight - back_weight) - front_moment + back_moment)
        back_weight += weight
        back_moment += weight * distance
        by_raw = ZERO
        if passes > ZERO:
            by_optical_depth = weight * passes / (ONE - passes) * by_weight - behind
            by_raw = by_optical_depth * HALF * (ONE - passes * passes)
        behind += weight * by_weight
        x, y, z = places[s, 0], places[s, 1], places[s, 2]
        parts = ((ONE - x) * (ONE - y), (ONE - x) * y, x * (ONE - y), x * y)
        for m in range(4):
            for upper in range(2):
                at, part = rows[s, m] + upper, parts[m] * (z if upper else ONE - z)
                if gradient[at, 4] == ZERO:
                    touched[count] = at
                    count += 1
                gradient[at, 0] += part * by_raw
                gradient[at, 1] += part * weight * red
                gradient[at, 2] += part * weight * green
                gradient[at, 3] += part * weight * blue
                gradient[at, 4] = max(gradient[at, 4], weight)
    return count


@njit(parallel=True, fastmath=True, cache=True)
def accumulate_gradient(pixels, offsets, views, grid, spread, gradient, touched, counts):
    """Add the gradient of half the summed squared colour error to ``gradient``; return the mean squared error.

    ``pixels`` (pixels, 4) int32: view, column, row, rays (1: through the centre, 4: averaged over a 2 x 2 pattern).
    ``offsets`` (pixels,): see ``march_ray``. ``views``: cameras, lens, images, alphas (0, 0, 0) or of the images, their
    background (3,), and the one before which they are shown now. ``spread``: factor of the rays' spread in voxels, see
    ``backpropagate_ray``. Each of ``gradient`` (chunks, vertices, GRADIENT_COLUMNS) takes a fixed share of
    the pixels, so that the sum does not depend on the threads' timing; ``touched`` (chunks, vertices) lists the rows
    that it changed, ``counts`` (chunks,) how many.
    """
    cameras, lens, images, alphas, plain, background = views
    chunks = len(gradient)
    share = (len(pixels) + chunks - 1) // chunks
    losses = np.zeros(chunks)
    for chunk in prange(chunks):
        samples = new_samples(4 * MAX_SAMPLES)
        ends = np.zeros(5, np.int64)
        transmittance = np.zeros(4, np.float32)
        loss, count = 0.0, 0
        for p in range(chunk * share, min(len(pixels), (chunk + 1) * share)):
            view, column, line, rays = pixels[p, 0], pixels[p, 1], pixels[p, 2], pixels[p, 3]
            camera = cameras[view]
            red, green, blue = ZERO, ZERO, ZERO
            for r in range(rays):
                direction = pixel_ray(column, line, r, rays, camera, lens)
                ends[r + 1] = march_ray(camera, direction, offsets[p], ZERO, grid, samples, ends[r])
                a, b, c, _, transmittance[r] = composite_samples(samples, ends[r], ends[r + 1])
                red += a + transmittance[r] * background[0]
                green += b + transmittance[r] * background[1]
                blue += c + transmittance[r] * background[2]
            part = ONE / np.float32(rays)
            through = ONE - alphas[view, line, column] * np.float32(1 / 255) if alphas.size else ZERO
            red = red * part - images[view, line, column, 0] * np.float32(1 / 255)
            green = green * part - images[view, line, column, 1] * np.float32(1 / 255)
            blue = blue * part - images[view, line, column, 2] * np.float32(1 / 255)
            red -= through * (background[0] - plain[0])
            green -= through * (background[1] - plain[1])
            blue -= through * (background[2] - plain[2])
            loss += red * red + green * green + blue * blue
            red, green, blue = red * part, green * part, blue * part
            for r in range(rays):
                behind = transmittance[r] * (background[0] * red + background[1] * green + background[2] * blue)
                own = (gradient[chunk], touched[chunk])
                residual = (red, green, blue)
                count = backpropagate_ray(samples, ends[r : r + 2], residual, behind, spread / grid.voxel, own, count)
        losses[chunk], counts[chunk] = loss, count
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
        count = march_ray(camera, direction, HALF, ZERO, grid, samples, 0)
        distances[ray, :count] = samples[3][:count, 0]
        counts[ray] = count
    return counts


@njit(fastmath=True, cache=True)
def find_tiles(camera, lens, corner, blocks, radius, tiles):
    """Fill ``tiles`` (rows, columns) with the distance before which no ray of a tile of TILE^2 pixels meets a block.

    FAR where none does. ``corner``: first pixel (column, row) of the first tile. ``blocks`` (blocks, 3): their centres;
    ``radius``: of the sphere around a block.
    """
    rows, columns = tiles.shape
    tiles[:] = FAR
    for block in range(len(blocks)):
        x, y, z = blocks[block, 0] - camera[0, 3], blocks[block, 1] - camera[1, 3], blocks[block, 2] - camera[2, 3]
        right = camera[0, 0] * x + camera[1, 0] * y + camera[2, 0] * z
        up = camera[0, 1] * x + camera[1, 1] * y + camera[2, 1] * z
        depth = -(camera[0, 2] * x + camera[1, 2] * y + camera[2, 2] * z)
        begin = max(math.sqrt(x * x + y * y + z * z) - radius, ZERO)
        if depth > np.float32(2) * radius:
            right, up = right / depth, up / depth
            # d tan / d angle is 1 + tan^2; the sphere's half angle is below radius / (depth - radius)
            reach = (ONE + right * right + up * up) * radius / (depth - radius)
            across, along = lens[0] * reach + ONE, lens[1] * reach + ONE
            column = lens[2] + lens[0] * right - np.float32(corner[0])
            row = lens[3] - lens[1] * up - np.float32(corner[1])
            left, last = max(int((column - across) / TILE), 0), min(int((column + across) / TILE), columns - 1)
            top, lowest = max(int((row - along) / TILE), 0), min(int((row + along) / TILE), rows - 1)
            if column + across < ZERO or row + along < ZERO:
                continue
        elif depth > -radius:
            left, last, top, lowest = 0, columns - 1, 0, rows - 1
        else:
            continue
        for line in range(top, lowest + 1):
            for tile in range(left, last + 1):
                tiles[line, tile] = min(tiles[line, tile], begin)


@njit(fastmath=True, inline="always")
def render_pixel(camera, lens, position, rays, begin, grid, background, samples):
    """Return RGB, opacity and depth of the pixel at ``position`` (column, row), the mean of 1 or 2 x 2 rays."""
    red, green, blue, far, light = ZERO, ZERO, ZERO, ZERO, ZERO
    for r in range(rays):
        direction = pixel_ray(position[0], position[1], r, rays, camera, lens)
        count = march_ray(camera, direction, HALF, begin, grid, samples, 0)
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
def render_window(place, grid, tiles, background, contrast, workers, window):
    """Render into ``window`` (height, width, 5), RGB, opacity, depth.

    One ray a pixel; a pixel that differs from a neighbour by more than ``contrast`` is rendered again as the mean of
    2 x 2 rays, as it was trained. Depth is the weighted mean distance. ``place``: camera, lens, and the window's first
    pixel (column, row); ``tiles``: see ``find_tiles``; ``workers``: how many threads share the lines.
    """
    camera, lens, corner = place
    height, width, _ = window.shape
    again = np.zeros((height, width), np.bool_)
    for rays in (1, 4):
        for worker in prange(workers):  # lines in turn, for the object may fill one half of the window
            samples = new_samples(MAX_SAMPLES)
            for line in range(worker, height, workers):
                for column in range(width):
                    begin = tiles[line // TILE, column // TILE]
                    if begin < FAR and (rays == 1 or again[line, column]):
                        position = (corner[0] + column, corner[1] + line)
                        values = render_pixel(camera, lens, position, rays, begin, grid, background, samples)
                        for c in range(5):
                            window[line, column, c] = values[c]
                    elif rays == 1:
                        for c in range(3):
                            window[line, column, c] = background[c]
                        window[line, column, 3] = window[line, column, 4] = ZERO
        if contrast >= ONE:
            break
        if rays == 1:
            for line in prange(height):
                for column in range(width):
                    if tiles[line // TILE, column // TILE] < FAR:
                        again[line, column] = differs_from_neighbour(window, line, column, contrast)
