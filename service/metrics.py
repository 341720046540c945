"""Metrics in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds
OTHER = "other"  # stands for every route and method that there is not, of which there are endlessly many


class Metrics:
    """Counts of one service; several may live in one process."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "pad_requests", "Requests answered.", ("method", "route", "code"), registry=self.registry
        )
        self._verdicts = Counter(
            "pad_verdicts", "Photos and parts judged.", ("object", "kind", "verdict"), registry=self.registry
        )
        self._stages = Histogram(
            "pad_stage_seconds", "Seconds of each stage of a job.", ("stage",), registry=self.registry, buckets=BUCKETS
        )
        ProcessCollector(registry=self.registry)  # resident memory, processor time, open files; on Linux

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show what ``value`` returns whenever the metrics are read."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def count_request(self, method: str, route: str, code: int) -> None:
        """Count one answered request."""
        method = method if method in ("GET", "HEAD", "POST", "DELETE") else OTHER
        self._requests.labels(method, route or OTHER, str(code)).inc()

    def count_result(self, result: Mapping[str, object], stages: Mapping[str, float], seconds: float) -> None:
        """Count one judged job.

        Args:
            result: of the job.
            stages: seconds of each stage.
            seconds: of the whole job, with reading and writing files.
        """
        verdict = str(result.get("verdict", "failed"))
        self._verdicts.labels(str(result["object_name"]), str(result["kind"]), verdict).inc()
        for stage, value in [*stages.items(), ("total", seconds)]:
            self._stages.labels(stage).observe(value)

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry)

    def value(self, name: str, labels: Iterable[tuple[str, str]] = ()) -> float | None:
        """Return one value; None where there is none."""
        return self.registry.get_sample_value(name, dict(labels))
