# SPDX-License-Identifier: Apache-2.0
"""The table of metrics, and that metrics come from it only."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from libs.observability import Metrics
from libs.observability import metrics as table


def test_names_are_unique_and_as_prometheus_wants_them() -> None:
    names = [row.name for row in table.TABLE]
    assert len(set(names)) == len(names)
    for row in table.TABLE:
        assert re.fullmatch(r"daicho_[a-z_]+", row.name)
        assert row.name.endswith("_total") == (row.kind == "counter")
        assert row.name.endswith("_seconds") == (row.unit == "seconds")


def test_every_row_says_what_it_is_and_what_to_do() -> None:
    for row in table.TABLE:
        assert row.help.endswith(".")
        assert row.action
        assert row.unit


def test_every_row_of_the_module_is_in_the_table() -> None:
    rows = [value for value in vars(table).values() if isinstance(value, table.Metric)]
    assert set(rows) == set(table.TABLE)


def test_metrics_are_counted_and_shown() -> None:
    metrics = Metrics()
    metrics.counter(table.CONSUMED).labels("inventory", "daicho.feed.v1").inc(3)
    metrics.counter(table.CONSUMED).labels("inventory", "daicho.feed.v1").inc()
    metrics.gauge(table.OUTBOX_ROWS).set(7)
    metrics.histogram(table.BATCH_SECONDS).labels("inventory").observe(0.2)
    shown = metrics.exposition().decode()
    assert 'daicho_consumed_total{consumer="inventory",topic="daicho.feed.v1"} 4.0' in shown
    assert "daicho_outbox_rows 7.0" in shown
    assert 'daicho_batch_seconds_bucket{consumer="inventory",le="0.25"} 1.0' in shown


def test_two_processes_in_one_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.gauge(table.OUTBOX_ROWS).set(7)
    assert b"daicho_outbox_rows" not in other.exposition()


def test_a_metric_of_no_row_or_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the table"):
        Metrics().counter(replace(table.CONSUMED, name="daicho_other_total"))
    for refused in (
        lambda m: m.gauge(table.CONSUMED),
        lambda m: m.histogram(table.LAG),
        lambda m: m.counter(table.DELAY),
    ):
        with pytest.raises(ValueError, match=" is a "):
            refused(Metrics())
