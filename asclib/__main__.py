"""One entry to all that asclib does from a shell.

    python -m asclib COMMAND --help

Chapters: book/practice/listening, book/practice/machines, book/practice/tau.
"""

from __future__ import annotations

import argparse
import importlib
import sys

# A command is the `main(arguments)` of a module; what it returns is the exit status, None is 0.
COMMANDS = {
    "listen": ("asclib.listen.__main__", "name the scene of recordings, second by second"),
    "corpus": ("asclib.corpus.__main__", "check, download or adapt a corpus"),
    "count": ("asclib.complexity.__main__", "count a network or a .tflite, judged by the rules"),
    "firmware": ("asclib.deploy.__main__", "C for a microcontroller, from a full-int8 .tflite"),
    "package": ("asclib.challenge.__main__", "score, write and check a submission"),
    "tuning": ("asclib.tuning.__main__", "work on a search, one of many workers"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command with the arguments behind its name; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    listing = "\n".join(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m asclib",
        description=f"Low-complexity acoustic scene classification.\n\ncommands:\n{listing}",
        epilog="python -m asclib COMMAND --help tells what a command takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of these")
    command = parser.parse_args(given[:1]).command
    return importlib.import_module(COMMANDS[command][0]).main(given[1:]) or 0


if __name__ == "__main__":
    sys.exit(main())
