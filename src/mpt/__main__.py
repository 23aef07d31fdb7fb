"""``python -m mpt`` is ``mpt``."""

import sys

from mpt.cli import main

sys.exit(main())
