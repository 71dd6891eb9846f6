"""A form in which a cleaned dataset is written: in a file or a folder, as a copy of its source or anew."""

from abc import ABC, abstractmethod
from pathlib import Path


class Form(ABC):
    """A form in which a cleaned dataset is written."""

    @property
    def lost(self) -> str | None:
        """What of the source it can't hold; None where all but the decided cells stays as it is."""
        return None

    @property
    def has_splits(self) -> bool:
        """Whether it is a saved dataset of several splits."""
        return False

    @abstractmethod
    def write(self, place: Path, name: str) -> None:
        """Writes the cleaned dataset. name: the final one, which tells how it is compressed."""

    @abstractmethod
    def check(self, place: Path, name: str) -> int:
        """Reads what was written, and returns its number of rows. Raises DifferentError if it isn't as decided."""
