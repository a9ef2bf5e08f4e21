"""Which files were changed since they were synced last, so that nobody believes a sync that comes after a loss."""

from capkernel.protocols.failures import DeviceError


class Unsynced:
    """Paths of files."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._lost: set[str] = set()

    def changed(self, path: str) -> None:
        """A file is being changed."""
        self._changed.add(path)

    def synced(self, path: str) -> None:
        """All of it is on the disk."""
        self._changed.discard(path)

    def lose(self) -> None:
        """The disk failed: all changes that were not synced are gone."""
        self._lost |= self._changed
        self._changed.clear()

    def lose_one(self, path: str) -> None:
        """A file could not be written: its changes are gone."""
        if path in self._changed:
            self._changed.discard(path)
            self._lost.add(path)

    def check(self, path: str) -> None:
        """Before a sync. Raises DeviceError, once, if something of the file was lost since the last."""
        if path in self._lost:
            self._lost.discard(path)
            raise DeviceError(f"the disk failed, or is full: what was written to {path} after it was synced is lost")

    def check_all(self) -> None:
        """Before the volume is given up. Raises DeviceError while somebody has not been told of a loss."""
        if self._lost:
            raise DeviceError(f"nobody has been told yet what was lost of {', '.join(sorted(self._lost))}")

    def forget(self, path: str) -> None:
        """Nobody has it open any more, or it is not there."""
        self._changed.discard(path)
        self._lost.discard(path)

    def moved(self, path: str, new_path: str) -> None:
        """Something has another path now, and with it what is below; all that was there is synced or lost."""
        self.forget(new_path)
        for each in [each for each in self._lost if each == path or each.startswith(f"{path}/")]:
            self._lost.discard(each)
            self._lost.add(new_path + each[len(path) :])
