"""All commands. Importing a module adds its commands."""

from . import bench, entries, report, top, transfer, warm
from .app import app

__all__ = ["app", "bench", "entries", "report", "top", "transfer", "warm"]
