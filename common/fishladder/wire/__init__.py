"""The contract between agents, gateways, workers and stores. Pure: nothing in here does I/O or reads a clock."""
