"""Compiled loops of ``nerf/residual_views.py``: the residuals of several views carried to another camera."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
MIN_OPACITY = np.float32(0.1)  # below it a pixel has no surface that could be looked up in other views
MIN_SHARE = np.float32(0.02)  # of the four pixels around a point, by bilinear weight, that must show it
MIN_SPREAD = np.float32(1e-3)  # added to 1 - cos of the angle between two rays: the same ray does not weigh infinitely


@njit(fastmath=True, inline="always")
def surface_point(line, column, depth, camera, lens):
    """Return the point (3,) at ``depth`` along the ray of a pixel, and the ray's unit direction."""
    right = (np.float32(column) + HALF - lens[2]) / lens[0]
    up = -(np.float32(line) + HALF - lens[3]) / lens[1]
    norm = ONE / math.sqrt(right * right + up * up + ONE)
    right, up = right * norm, up * norm
    x = camera[0, 0] * right + camera[0, 1] * up - camera[0, 2] * norm
    y = camera[1, 0] * right + camera[1, 1] * up - camera[1, 2] * norm
    z = camera[2, 0] * right + camera[2, 1] * up - camera[2, 2] * norm
    return (camera[0, 3] + x * depth, camera[1, 3] + y * depth, camera[2, 3] + z * depth), (x, y, z)


@njit(fastmath=True, inline="always")
def sample_view(view, point, ray, views, tolerance):
    """Return the weight of a view at ``point``, seen along ``ray``, and RGB and squared error of its residual there.

    Of the four pixels around the point those count whose surface is no farther than ``tolerance`` from it along the
    ray; the weight is in proportion to their share, and 0 where there are none or the point is out of sight.
    """
    codes, depths, ranges, corners, cameras, lens, decoded = views
    height, width = depths.shape[1:]
    x, y, z = point[0] - cameras[view, 0, 3], point[1] - cameras[view, 1, 3], point[2] - cameras[view, 2, 3]
    back = cameras[view, 0, 2] * x + cameras[view, 1, 2] * y + cameras[view, 2, 2] * z
    if back >= ZERO:
        return ZERO, ZERO, ZERO, ZERO, ZERO
    right = cameras[view, 0, 0] * x + cameras[view, 1, 0] * y + cameras[view, 2, 0] * z
    up = cameras[view, 0, 1] * x + cameras[view, 1, 1] * y + cameras[view, 2, 1] * z
    across = lens[2] - lens[0] * right / back - HALF - np.float32(corners[view, 0])
    down = lens[3] + lens[1] * up / back - HALF - np.float32(corners[view, 1])
    if not (across >= ZERO and down >= ZERO and across < np.float32(width - 1) and down < np.float32(height - 1)):
        return ZERO, ZERO, ZERO, ZERO, ZERO
    column, line = np.int32(across), np.int32(down)
    u, v = across - np.float32(column), down - np.float32(line)
    distance = math.sqrt(x * x + y * y + z * z)
    low = (distance - tolerance - ranges[view, 0]) / ranges[view, 1]
    high = (distance + tolerance - ranges[view, 0]) / ranges[view, 1]
    red, green, blue, error, share = ZERO, ZERO, ZERO, ZERO, ZERO
    for corner in range(4):
        j, i = line + (corner >> 1), column + (corner & 1)
        code = depths[view, j, i]
        if code == 0 or np.float32(code) < low or np.float32(code) > high:
            continue
        part = (v if corner >> 1 else ONE - v) * (u if corner & 1 else ONE - u)
        share += part
        red += part * decoded[codes[view, j, i, 0]]
        green += part * decoded[codes[view, j, i, 1]]
        blue += part * decoded[codes[view, j, i, 2]]
        rms = decoded[codes[view, j, i, 3]]
        error += part * rms * rms
    if share < MIN_SHARE:
        return ZERO, ZERO, ZERO, ZERO, ZERO
    cosine = (x * ray[0] + y * ray[1] + z * ray[2]) / distance
    near, per_share = ONE / (max(ONE - cosine, ZERO) + MIN_SPREAD), ONE / share
    return near * near * share, red * per_share, green * per_share, blue * per_share, error * per_share


@njit(fastmath=True)
def blend_line(line, opacity, depth, camera, lens, views, chosen, tolerance, blended):
    """Fill one line of ``blended``: a function of its own, so that its arrays are taken hold of once a line."""
    for column in range(opacity.shape[1]):
        red, green, blue, error, total = ZERO, ZERO, ZERO, ZERO, ZERO
        if opacity[line, column] >= MIN_OPACITY:
            point, ray = surface_point(line, column, depth[line, column], camera, lens)
            for number in range(len(chosen)):
                weight, a, b, c, d = sample_view(chosen[number], point, ray, views, tolerance)
                red, green, blue = red + weight * a, green + weight * b, blue + weight * c
                error, total = error + weight * d, total + weight
        share = ONE / total if total > ZERO else ZERO
        blended[line, column, 0] = red * share
        blended[line, column, 1] = green * share
        blended[line, column, 2] = blue * share
        blended[line, column, 3] = error * share
        blended[line, column, 4] = total


@njit(parallel=True, fastmath=True, cache=True)
def blend_residuals(opacity, depth, camera, lens, views, chosen, tolerance, blended):
    """Fill ``blended`` (height, width, 5): the weighted means of residual RGB and squared error, and the weights' sum.

    Args:
        opacity, depth: (height, width) of a rendering at ``camera`` (4, 4) with ``lens`` (4,).
        views: codes, depths, ranges, corners and cameras of ``ResidualViews``, the views' lens, the values of codes.
        chosen: (count,) the views to take.
        tolerance: largest distance along a view's ray between a point and the surface that the view shows there.
    """
    for line in prange(len(opacity)):
        blend_line(line, opacity, depth, camera, lens, views, chosen, tolerance, blended)


@njit(fastmath=True)
def look_up_line(line, opacity, depth, camera, lens, views, chosen, tolerance, single):
    """Fill one line of ``single``."""
    for column in range(opacity.shape[1]):
        solid = opacity[line, column] >= MIN_OPACITY
        point, ray = surface_point(line, column, depth[line, column], camera, lens)
        for number in range(len(chosen)):
            weight, red, green, blue, _ = ZERO, ZERO, ZERO, ZERO, ZERO
            if solid:
                weight, red, green, blue, _ = sample_view(chosen[number], point, ray, views, tolerance)
            single[line, column, 4 * number] = red
            single[line, column, 4 * number + 1] = green
            single[line, column, 4 * number + 2] = blue
            single[line, column, 4 * number + 3] = ONE if weight > ZERO else ZERO


@njit(parallel=True, fastmath=True, cache=True)
def look_up_views(opacity, depth, camera, lens, views, chosen, tolerance, single):
    """Fill ``single`` (height, width, 4 views): each view's residual RGB and 1, or 0 where it does not show the point.

    Args:
        opacity, depth, camera, lens, views, chosen, tolerance: as ``blend_residuals`` takes them.
    """
    for line in prange(len(opacity)):
        look_up_line(line, opacity, depth, camera, lens, views, chosen, tolerance, single)


@njit(fastmath=True)
def cell_of(point, low, cell):
    """Return the cell (3,) of a lattice from ``low`` on that contains ``point``; negative ones lie outside."""
    return (
        np.int32(math.floor((point[0] - low[0]) / cell)),
        np.int32(math.floor((point[1] - low[1]) / cell)),
        np.int32(math.floor((point[2] - low[2]) / cell)),
    )


@njit(fastmath=True)
def is_inside(cell, shape):
    """Return whether ``cell`` (3,) is one of a lattice of ``shape``."""
    return 0 <= cell[0] < shape[0] and 0 <= cell[1] < shape[1] and 0 <= cell[2] < shape[2]


@njit(fastmath=True, cache=True)
def count_views(views, low, cell, counts):
    """Add to ``counts`` (nx, ny, nz) how many views show a surface in each cell.

    One view after another: a view counts once in a cell, however many of its pixels fall into it.
    """
    _, depths, ranges, corners, cameras, lens, _ = views
    count, height, width = depths.shape
    window, last = lens.copy(), np.full(counts.shape, -1, np.int32)
    for view in range(count):
        window[2], window[3] = lens[2] - np.float32(corners[view, 0]), lens[3] - np.float32(corners[view, 1])
        for line in range(height):
            for column in range(width):
                code = depths[view, line, column]
                if code == 0:
                    continue
                depth = ranges[view, 0] + np.float32(code) * ranges[view, 1]
                point, _ = surface_point(line, column, depth, cameras[view], window)
                i, j, k = cell_of(point, low, cell)
                if is_inside((i, j, k), counts.shape) and last[i, j, k] != view:
                    last[i, j, k] = view
                    counts[i, j, k] += 1


@njit(fastmath=True)
def count_line(line, opacity, depth, camera, lens, cells, seen):
    """Fill one line of ``seen``."""
    counts, low, side = cells
    for column in range(opacity.shape[1]):
        seen[line, column] = 0
        if opacity[line, column] >= MIN_OPACITY:
            point, _ = surface_point(line, column, depth[line, column], camera, lens)
            i, j, k = cell_of(point, low, side)
            if is_inside((i, j, k), counts.shape):
                seen[line, column] = counts[i, j, k]


@njit(parallel=True, fastmath=True, cache=True)
def look_up_counts(opacity, depth, camera, lens, cells, seen):
    """Fill ``seen`` (height, width) with the count of the cell in which each pixel's surface lies, else 0.

    Args:
        opacity, depth, camera, lens: as ``blend_residuals`` takes them.
        cells: counts (nx, ny, nz), position (3,) of their lattice and side of a cell.
    """
    for line in prange(len(opacity)):
        count_line(line, opacity, depth, camera, lens, cells, seen)
