"""Whether a file could be written, known before the work whose result it is to hold."""

from pathlib import Path


def unwritable(path: Path, *, makes_folders: bool = False) -> str:
    """Why not, in words; empty if it could. What is there stays as it is; with ``makes_folders``, folders are made."""
    try:
        if makes_folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        is_there = path.exists()
        path.open("a").close()
        if not is_there:
            path.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""
