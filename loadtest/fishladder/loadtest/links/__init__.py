"""Links as data: presets with sources, a user's TOML, mahimahi traces, and the seeded chances of a line."""
