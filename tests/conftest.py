"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says how busy the machine is; what must be fast is measured by `make bench`.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
