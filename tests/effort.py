"""How hard the property tests try: a few examples in every run, and with EFFORT=10 ten times as many."""

import os

EFFORT = int(os.environ.get("EFFORT", "1"))


def examples(few: int) -> int:
    """So many examples; `few` where nobody asks for more. An example that needs the database costs a hundred of one that does not."""
    return few * EFFORT
