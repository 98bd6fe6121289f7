"""Measures Heliostat beside its limits. Run by scripts/bench."""
