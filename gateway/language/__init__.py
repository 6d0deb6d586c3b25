"""The language of mapping files, from the ground up: masks, phones and converters; paths, YAML and targets; steps; fields."""
