"""The version of lossaudit, read by the build and by `lossaudit --version`."""

__version__ = "0.1.0"
