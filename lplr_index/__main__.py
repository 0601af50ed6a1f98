"""``python -m lplr_index`` is ``lplr-index``."""

import sys

from lplr_index.cli import main

sys.exit(main())
