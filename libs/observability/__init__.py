# SPDX-License-Identifier: Apache-2.0
"""Logs, metrics, health and traces: how each service says what it does and how it fares.

The HTTP routes are in `libs.observability.health`, which needs a web framework; the rest does not.
"""

from libs.observability.logs import configure_logging
from libs.observability.metrics import Metric, Metrics
from libs.observability.probes import Probe, ProbeResult
from libs.observability.trace import child_of, new_traceparent

__all__ = [
    "Metric",
    "Metrics",
    "Probe",
    "ProbeResult",
    "child_of",
    "configure_logging",
    "new_traceparent",
]
