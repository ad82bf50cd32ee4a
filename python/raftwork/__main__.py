"""``python -m raftwork``: the same as the command ``raftwork``."""

import sys

from ._cli import main

sys.exit(main())
