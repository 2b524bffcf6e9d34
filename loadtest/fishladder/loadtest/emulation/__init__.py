"""A link as Linux makes it: namespaces, the kernel's queue, and a relay for what the kernel does not do."""
