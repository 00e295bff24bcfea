"""How often Python looks for garbage that reference counts do not see."""

import gc


def tune_gc() -> None:
    """Have Python look for cycles seldom while many lines or events are worked off.

    Rules and modules live for ever, and a batch is thousands of short-lived tuples without
    cycles: looking through them again and again costs a fifth of the reading speed.
    """
    gc.unfreeze()  # what was frozen for a configuration before
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
