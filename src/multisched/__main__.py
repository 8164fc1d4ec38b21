"""`python -m multisched`: the command."""

import sys

from multisched.cli import main

sys.exit(main())
