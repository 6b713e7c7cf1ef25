"""`python -m base44_web.cli`."""

import sys

from .main import main

sys.exit(main())
