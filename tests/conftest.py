"""What all tests share."""

from hypothesis import settings

# How long an example takes says more about the machine than about the code: no timed tests.
settings.register_profile("heptad", deadline=None, print_blob=True)
settings.load_profile("heptad")
