"""The local page: every level of a text, and what is known and paid along the depth."""

from hiermtl.demo.levels import LIMIT, Levels
from hiermtl.demo.server import PORT, DemoServer

__all__ = ["LIMIT", "PORT", "DemoServer", "Levels"]
