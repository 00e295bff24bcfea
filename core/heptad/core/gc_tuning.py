"""Settings of Python's cyclic garbage collector."""

import gc


def tune_gc() -> None:
    """Make Python collect cycles rarely while it processes many lines or events.

    Rules and modules live until the end, and a batch is thousands of short-lived tuples without
    cycles: scanning them repeatedly costs a fifth of the reading speed.
    """
    gc.unfreeze()  # objects that were frozen for a previous configuration
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
