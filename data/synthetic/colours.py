"""Colour codes of LDraw."""

from __future__ import annotations

INHERITED = (16, 24)  # codes for the colour given where a part is referred to, and for that of its edges
DIRECT = range(0x2000000, 0x4000000)  # codes that hold red, green and blue: 0x2RRGGBB

# Code: sRGB 0-255, read as diffuse reflectance. LDConfig.ldr has slightly more saturated values; --ldraw uses those.
BUILT_IN = {
    0: (29, 29, 32),  # black
    1: (10, 82, 176),  # blue
    2: (34, 122, 62),  # green
    3: (0, 134, 136),  # dark turquoise
    4: (196, 28, 20),  # red
    5: (205, 70, 150),  # dark pink
    8: (72, 76, 78),  # dark grey
    9: (151, 203, 217),  # light blue
    10: (88, 171, 65),  # bright green
    11: (40, 170, 165),  # light turquoise
    12: (240, 109, 97),  # salmon
    13: (226, 134, 172),  # pink
    14: (240, 196, 38),  # yellow
    15: (232, 232, 227),  # white
    18: (240, 212, 136),  # light yellow
    19: (214, 190, 142),  # tan
    22: (98, 48, 132),  # purple
    25: (238, 122, 24),  # orange
    26: (172, 32, 108),  # magenta
    27: (164, 196, 38),  # lime
    28: (137, 125, 98),  # dark tan
    29: (240, 164, 204),  # bright pink
    30: (160, 110, 185),  # medium lavender
    31: (205, 164, 222),  # lavender
    70: (92, 50, 26),  # reddish brown
    71: (163, 168, 171),  # light bluish grey
    72: (120, 124, 124),  # dark bluish grey
    73: (115, 150, 200),  # medium blue
    78: (240, 196, 150),  # light nougat
    84: (170, 125, 85),  # medium nougat
    92: (187, 128, 90),  # nougat
    151: (200, 200, 200),  # very light bluish grey
    191: (244, 172, 20),  # bright light orange
    212: (157, 195, 240),  # bright light blue
    226: (244, 226, 116),  # bright light yellow
    272: (22, 42, 92),  # dark blue
    288: (22, 70, 44),  # dark green
    308: (53, 33, 8),  # dark brown
    320: (114, 18, 22),  # dark red
    321: (74, 158, 214),  # dark azure
    322: (104, 195, 226),  # medium azure
    330: (119, 119, 78),  # olive green
    353: (240, 112, 118),  # coral
    378: (112, 142, 124),  # sand green
    379: (112, 129, 154),  # sand blue
    484: (145, 80, 28),  # dark orange
    503: (226, 219, 198),  # very light grey
}  # fmt: skip

Colour = tuple[int, int, int]


def rgb(code: int, table: dict[int, Colour]) -> Colour | None:
    """Return the sRGB 0-255 of a colour code, None where ``table`` lacks it.

    >>> rgb(0x2FF8000, {})
    (255, 128, 0)
    """
    if code in DIRECT:
        return (code >> 16 & 255, code >> 8 & 255, code & 255)
    return table.get(code)
