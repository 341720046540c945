"""The light around a toy, fixed to its world: a soft sky and rectangular area lights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from utils.errors import InputError

GLOSSES = ("mild", "glaring", "none")


@dataclass(frozen=True)
class AreaLight:
    """A rectangle that emits light evenly from its front."""

    centre: np.ndarray  # (3,) scene units
    side: np.ndarray  # (3,) half of one edge
    upward: np.ndarray  # (3,) half of the other edge
    radiance: np.ndarray  # (3,) linear RGB

    @property
    def normal(self) -> np.ndarray:
        """Return the unit normal of the front: (3,)."""
        normal = np.cross(self.side, self.upward)
        return (normal / np.linalg.norm(normal)).astype(np.float32)

    def changed(self, change: LightChange) -> AreaLight:
        """Return this light after ``change``: moved, scaled and tinted."""
        angle = math.radians(change.azimuth)
        cosine, sine = math.cos(angle), math.sin(angle)
        rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], dtype="f4")
        radiance = self.radiance * np.float32(change.lights) * np.array(change.tint, dtype="f4")
        return AreaLight(rotation @ self.centre, rotation @ self.side, rotation @ self.upward, radiance)

    @property
    def area(self) -> float:
        """Return the area in square scene units."""
        return float(4.0 * np.linalg.norm(self.side) * np.linalg.norm(self.upward))


@dataclass(frozen=True)
class Lighting:
    """All light, and how the plastic reflects it."""

    zenith: np.ndarray  # (3,) linear RGB radiance of the sky above
    horizon: np.ndarray
    nadir: np.ndarray
    lights: tuple[AreaLight, ...]
    reflectance: float  # Fresnel reflectance at normal incidence; 0 = matt
    roughness: float  # standard deviation of the tilt of the mirroring facets, radians
    bounce: np.ndarray  # (10, 3) coefficients of the irradiance over pi, see `irradiance`

    def sky(self, directions: np.ndarray) -> np.ndarray:
        """Return the radiance (n, 3) of the sky toward ``directions`` (n, 3)."""
        height = directions[:, 2:3]
        return self.horizon + np.where(
            height > 0, height * (self.zenith - self.horizon), -height * (self.nadir - self.horizon)
        )

    def radiance(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return the radiance (n, 3) of the sky and the area lights along unobstructed rays."""
        radiance = self.sky(directions)
        for light in self.lights:
            facing = directions @ light.normal
            distance = ((light.centre - origins) @ light.normal) / np.where(facing < -1e-4, facing, np.float32(-1e-4))
            offset = origins + distance[:, None] * directions - light.centre
            across = np.abs(offset @ (light.side / (light.side @ light.side)))
            along = np.abs(offset @ (light.upward / (light.upward @ light.upward)))
            inside = (facing < -1e-4) & (distance > 0) & (across < 1) & (along < 1)
            radiance[inside] = light.radiance
        return radiance

    def irradiance(self, normals: np.ndarray) -> np.ndarray:
        """Return the unobstructed irradiance over pi (n, 3) on surfaces at the origin with ``normals`` (n, 3)."""
        return np.maximum(_quadratic(normals) @ self.bounce, 0.0)


def _quadratic(n: np.ndarray) -> np.ndarray:
    """Return all polynomials of degree up to 2 in unit vectors (n, 3): (n, 10).

    They represent 99 % of any irradiance (Ramamoorthi and Hanrahan 2001).
    """
    x, y, z = n[:, 0], n[:, 1], n[:, 2]
    return np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, y * z, x * z], axis=1)


def _area_light(
    azimuth: float, elevation: float, distance: float, half: tuple[float, float], power: float, tint
) -> AreaLight:
    """Make a light at angles in degrees that faces the origin; ``power`` is the irradiance there, over pi."""
    a, e = math.radians(azimuth), math.radians(elevation)
    toward = np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
    side = np.cross([0.0, 0.0, 1.0], toward)
    side /= np.linalg.norm(side)
    upward = np.cross(toward, side)
    light = AreaLight(
        (toward * distance).astype("f4"), (-side * half[0]).astype("f4"), (upward * half[1]).astype("f4"), np.zeros(3)
    )
    scale = power * math.pi * distance**2 / light.area
    return AreaLight(light.centre, light.side, light.upward, (scale * np.asarray(tint)).astype("f4"))


@dataclass(frozen=True)
class LightChange:
    """How lighting differs from the usual one."""

    azimuth: float = 0.0  # degrees by which the area lights are rotated about the z axis
    lights: float = 1.0  # factor on the radiance of the area lights
    sky: float = 1.0  # factor on the radiance of the sky
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)  # linear RGB of all light


def changed_lighting(gloss: str, random: np.random.Generator) -> Lighting:
    """Make random lighting of another place: lights on another side, brighter or darker, warmer or cooler."""
    warmth = random.uniform(-0.18, 0.18)
    return make_lighting(
        gloss,
        LightChange(
            azimuth=random.uniform(60.0, 300.0),
            lights=random.uniform(0.8, 2.6),
            sky=random.uniform(0.5, 1.0),
            tint=(1.0 + warmth, 1.0, 1.0 - warmth),
        ),
    )


def make_lighting(gloss: str, change: LightChange = LightChange()) -> Lighting:
    """Make the lighting of a generated set.

    Args:
        gloss: "mild" = soft light and a faint sheen, as in MAD-Sim; "glaring" = area lights that whole flat faces
            mirror in some views; "none" = the mild light on matt plastic.
        change: what is different, for images under changed light.
    Raises:
        InputError: for any other gloss.
    """
    if gloss not in GLOSSES:
        raise InputError(f"gloss '{gloss}': expected one of {', '.join(GLOSSES)}")
    warm, cool, plain = (1.04, 1.0, 0.94), (0.96, 1.0, 1.05), (1.0, 1.0, 1.0)
    lights: tuple[AreaLight, ...]
    if gloss == "glaring":
        sky, reflectance, roughness = 0.6, 0.06, 0.035
        lights = (
            _area_light(-55, 48, 5.0, (1.0, 0.8), 0.34, warm),
            _area_light(35, 12, 5.0, (0.7, 1.2), 0.21, plain),
            _area_light(125, 35, 5.0, (0.9, 0.9), 0.24, cool),
            _area_light(-145, -8, 5.0, (0.8, 1.0), 0.18, plain),
            _area_light(-80, -55, 5.0, (0.8, 0.8), 0.16, warm),
        )
    else:
        sky, reflectance, roughness = 1.35, (0.04 if gloss == "mild" else 0.0), 0.15
        lights = (
            _area_light(-60, 50, 6.0, (2.6, 2.0), 0.27, warm),
            _area_light(150, 25, 6.0, (2.2, 2.2), 0.14, cool),
        )
    tones = [np.array(tone, dtype="f4") * np.float32(sky) for tone in
             [(0.36, 0.37, 0.39), (0.27, 0.275, 0.28), (0.19, 0.185, 0.18)]]  # fmt: skip
    tint = np.array(change.tint, dtype="f4")
    zenith, horizon, nadir = (tone * np.float32(change.sky) * tint for tone in tones)
    lights = tuple(light.changed(change) for light in lights)
    dark = Lighting(zenith, horizon, nadir, lights, reflectance, roughness, np.zeros((10, 3), dtype="f4"))
    return replace(dark, bounce=_fit_irradiance(dark))


def _fit_irradiance(lighting: Lighting) -> np.ndarray:
    """Fit the coefficients of `Lighting.irradiance` to sums over a fixed spiral of directions."""
    count = 4096
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    angle = np.arange(count) * math.pi * (3.0 - math.sqrt(5.0))
    ring = np.sqrt(1.0 - z * z)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1).astype("f4")
    radiance = lighting.radiance(np.zeros_like(directions), directions)
    normals = directions[::16]
    over_pi = np.maximum(normals @ directions.T, 0.0) @ radiance * (4.0 / count)
    return np.linalg.lstsq(_quadratic(normals), over_pi, rcond=None)[0].astype("f4")
