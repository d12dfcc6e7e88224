"""The catalogue: all that we know of venues and places, as data."""
