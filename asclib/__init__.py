"""The library behind the book on low-complexity acoustic scene classification."""

import warnings

__version__ = "0.1.0"

# tqdm warns on its first import, inside whatever cell that happens to be; the book has no widgets
# on purpose.
warnings.filterwarnings("ignore", message="IProgress not found")
