"""How long the fault tests go on: ``SCRM_FAULT_ROUNDS`` kills; a few in ``make test``, hundreds in ``make faults``."""

import os

ROUNDS = int(os.environ.get("SCRM_FAULT_ROUNDS", "8"))
SEED = int(os.environ.get("SCRM_FAULT_SEED", "20261111"))
# A round lasts about a second; what is in flight at the end needs a while to arrive.
DEADLINE = 100 + ROUNDS * 6
