"""Prometheus: the newest values, as a text file, and as an endpoint if `PROMETHEUS_PORT` is set."""

import os
import re
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, start_http_server, write_to_textfile

from mssr_rl.errors import UserError
from mssr_rl.run.loggers import PROJECT, LoggedRollout, LoggedRun

ADDRESS = "127.0.0.1"  # the endpoint has no password: other machines reach it through a proxy


class PrometheusValues:
    """Holds the newest value of every metric, labelled with the run's name."""

    def __init__(self, run: LoggedRun) -> None:
        self._name = run.name
        self._file = str(run.folder / "metrics.prom")
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._server = None
        if port := os.environ.get("PROMETHEUS_PORT"):
            if not port.isdecimal() or not 0 < int(port) < 2**16:
                raise UserError(f"PROMETHEUS_PORT={port} is no port; give one from 1 to 65535")
            self._server, _ = start_http_server(int(port), ADDRESS, self._registry)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Set the gauges to the values of a step, and write the file."""
        for metric, value in {"step": step, **values}.items():
            self._gauge(metric).labels(run=self._name).set(value)
        write_to_textfile(self._file, self._registry)

    def rollouts(self, step: int, shown: Sequence[LoggedRollout]) -> None:
        """Do nothing: Prometheus holds numbers only."""

    def close(self, status: str, results: Mapping[str, float]) -> None:  # noqa: ARG002
        """Close the endpoint; the file keeps the last values."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _gauge(self, metric: str) -> Gauge:
        if metric not in self._gauges:
            name = f"{PROJECT}_{re.sub('[^a-zA-Z0-9_]', '_', metric)}"
            self._gauges[metric] = Gauge(name, metric, ["run"], registry=self._registry)
        return self._gauges[metric]


def open_logger(run: LoggedRun) -> PrometheusValues:
    """Return a logger that writes `metrics.prom` for node_exporter's collector of text files."""
    return PrometheusValues(run)
