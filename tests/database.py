"""A PostgreSQL server of one's own in a temporary folder, where the programs are installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where Debian keeps them."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    whole = (f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists())
    return next(whole, None)


def _ordinary_user() -> str | None:
    """Whom to run the server as: it refuses to be root's. None when we are ordinary ourselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextlib.contextmanager
def server(password: str | None = None) -> Iterator[str]:
    """The URL of an empty database on a server that lives as long as the block.

    Args: password, which the server asks for and the URL does not hold; None trusts everybody.
    """
    bin_folder, user = programs(), _ordinary_user()
    # a short path of its own: the server's user may not enter pytest's folders
    with tempfile.TemporaryDirectory(prefix="asclib-pg-") as folder:
        os.chmod(folder, 0o777)
        data = f"{folder}/data"
        prefix = [] if user is None else ["setpriv", f"--reuid={user}", "--clear-groups"]

        def run(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [*prefix, str(bin_folder / program), *arguments],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode:
                log = Path(folder, "log")
                raise RuntimeError(done.stdout + (log.read_text() if log.exists() else ""))

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        trust = ["-A", "trust"]
        if password is not None:
            Path(folder, "password").write_text(password)
            trust = ["-A", "scram-sha-256", f"--pwfile={folder}/password"]
        run("initdb", "-D", data, "-U", "asclib", *trust, "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        # its output goes to a file, for a pipe would keep this process waiting for the server
        run("pg_ctl", "-D", data, "-l", f"{folder}/log", "-o", options, "-w", "start")
        try:
            yield f"postgresql://asclib@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
