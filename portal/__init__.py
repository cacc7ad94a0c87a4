"""The portal. Whatever starts here makes thousands of objects that stay, most of all while it loads: Python looks for circles seldom."""

import gc

gc.set_threshold(20_000, 20, 50)
