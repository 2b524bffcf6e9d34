"""What sinks count, all in one place."""

from prometheus_client import Counter, Gauge

delivered = Counter("fishladder_sink_delivered_total", "Results delivered.", ["sink"])
failures = Counter("fishladder_sink_failures_total", "Tries to deliver that failed.", ["sink"])
missed = Counter("fishladder_sink_missed_total", "Frames whose results were past retention, at least.", ["sink"])
lag = Gauge("fishladder_sink_lag_seconds", "Age of the oldest result not delivered.", ["sink"])
active = Gauge("fishladder_sink_active", "1 while this process delivers, 0 while it stands by.", ["sink"])
