"""Measurements of the goals for time and size: `make bench`. README's figures come from here."""
