"""A site and its stack as real processes, over an emulated link or none: agents, gateway, stores, a worker."""
