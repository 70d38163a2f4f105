"""The command line: one file a verb, all of them thin over the public API."""

from .main import main as main
