"""What the gateway answers beside its doors."""
