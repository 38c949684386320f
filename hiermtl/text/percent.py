"""Labels in values where some characters have a meaning: these are written as in addresses."""

import re
from urllib.parse import unquote

__all__ = ["quoted", "unquote"]


def quoted(text: str, reserved: re.Pattern[str]) -> str:
    """The text with what matches in hexadecimal, `%2D`; `unquote` undoes it if `%` matches."""
    return reserved.sub(lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), text)
