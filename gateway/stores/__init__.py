"""Ways of keeping the promise of ``gateway.store``."""
