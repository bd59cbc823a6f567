"""A recording in, a scene out."""

from asclib.listen.listener import Heard, Listener, student_of

__all__ = ["Heard", "Listener", "student_of"]
