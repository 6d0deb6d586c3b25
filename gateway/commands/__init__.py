"""What the commands do. Each file is loaded only when one of its commands runs, so that ``gateway serve`` starts with what it needs."""
