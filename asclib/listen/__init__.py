"""A recording in, a scene out."""

from asclib.listen.listener import Heard, Listener

__all__ = ["Heard", "Listener"]
