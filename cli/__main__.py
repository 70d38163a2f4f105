"""`python -m weft.cli`: the command line without the installed script."""

import sys

from .main import main

sys.exit(main())
