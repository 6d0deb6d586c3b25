"""One folder per partner; ``registry`` names them all."""
