"""What says which extra of asclib is missing, wherever a library comes with one.

Chapter: book/practice/training.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports in this block need the libraries of an extra of pyproject.toml, e.g. "deploy".

    Raises: ModuleNotFoundError that names the library and the command to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "a library").partition(".")[0]
        message = f'{library} is not installed: pip install "asclib[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from error
