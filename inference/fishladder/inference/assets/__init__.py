"""Models and footage that are fetched rather than shipped: `fetch(name)` gives the path, pulling if need be."""

from fishladder.inference.assets.cache import cached, fetch

__all__ = ["cached", "fetch"]
