"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How long an example takes, and how long it takes to make one, says how busy the machine is; what must be fast is measured by `make bench`.
# A run is repeatable: whoever wants another search asks for it with `--hypothesis-profile=default`.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
