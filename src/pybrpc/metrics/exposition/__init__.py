"""Metrics as text for Prometheus: `prometheus.py` in its two formats, `brpc_metrics.py` in the form
of C++ bRPC."""
