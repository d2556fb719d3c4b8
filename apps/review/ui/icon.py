"""The app's sign in the browser's tab: drawn here, since a named icon would be fetched from elsewhere."""

from __future__ import annotations

import functools

from PIL import Image, ImageDraw

_SIDE = 128
_GROUND, _BODY, _OUTLINE = (11, 107, 122, 255), (226, 239, 241, 255), (240, 160, 60, 255)


@functools.cache
def icon() -> Image.Image:
    """A body in cross-section with an outline in it, 128 x 128 pixels."""
    image = Image.new("RGBA", (_SIDE, _SIDE))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, _SIDE - 1, _SIDE - 1), radius=28, fill=_GROUND)
    draw.ellipse((16, 30, 112, 98), fill=_BODY)
    draw.ellipse((28, 44, 68, 84), outline=_OUTLINE, width=9)
    return image
