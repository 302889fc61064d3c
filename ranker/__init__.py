"""The method of CTRL-Rec (arXiv 2510.12742): steer a feed in plain language. Events in, rankings out; no transport."""

from importlib.metadata import version

__version__ = version("ctrlrec")
