"""What protobuf descriptors tell of a server: its methods, and messages that they take. Needs protobuf.

Descriptors come from a file (`methods_of_file`) or from the server itself (`reflect`).
"""

from .drawing import ChooserSource, Source, draw, fill
from .files import DescribedMethod, DescriptorError, methods_of, methods_of_file
from .reflection import reflect

__all__ = [
    "ChooserSource",
    "DescribedMethod",
    "DescriptorError",
    "Source",
    "draw",
    "fill",
    "methods_of",
    "methods_of_file",
    "reflect",
]
