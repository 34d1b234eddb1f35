from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are tiny, and tests may run side by side
