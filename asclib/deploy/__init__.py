"""From a full-int8 .tflite to C for a microcontroller, bit for bit as its reference kernels.

Chapter: book/compression/chip.
"""

from asclib.deploy.build import Counted, run_on_chip, run_on_host, write_firmware
from asclib.deploy.plan import plan, products
from asclib.deploy.read import read_model
from asclib.deploy.sound import Heard, hear_on_chip, hear_on_host, write_listener

__all__ = [
    "Counted",
    "Heard",
    "hear_on_chip",
    "hear_on_host",
    "plan",
    "products",
    "read_model",
    "run_on_chip",
    "run_on_host",
    "write_firmware",
    "write_listener",
]
