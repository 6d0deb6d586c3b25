"""Ways of delivering: one module for each kind of endpoint."""
