"""A page of metrics over HTTP, as Prometheus fetches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmdedup.errors import EnvironmentLacksError, UsageError, VmdedupError
from vmdedup.metrics.figures import COUNTER, Figure, by_metric

if TYPE_CHECKING:
    from prometheus_client import Metric as Family
    from prometheus_client.registry import Collector, CollectorRegistry

Source = Callable[[], Sequence[Figure]]


def need_client() -> None:
    """EnvironmentLacksError: prometheus-client is not installed."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise EnvironmentLacksError(
            "metrics need prometheus-client; install it: pip install 'vmdedup[prometheus]'"
        ) from None


def families(figures: Sequence[Figure]) -> Iterator[Family]:
    """What the library prints."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for metric, each in by_metric(figures).items():
        kind = CounterMetricFamily if metric.kind == COUNTER else GaugeMetricFamily
        family = kind(metric.name, metric.meaning, labels=metric.labels)
        for figure in each:
            family.add_metric(figure.labels, figure.value)
        yield family


def registry_of(source: Source) -> CollectorRegistry:
    """Asks the source at each scrape. What cannot be had once the host has ended is an empty page."""
    from prometheus_client.registry import CollectorRegistry

    class Page:
        def collect(self) -> Iterator[Family]:
            try:
                found = source()
            except VmdedupError:
                return
            yield from families(found)

    registry = CollectorRegistry(auto_describe=False)
    page: Collector = Page()
    registry.register(page)
    return registry


def address_of(text: str) -> tuple[str, int]:
    """HOST:PORT, or PORT of this machine alone. UsageError: it is neither."""
    name, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen {text!r} is no address; give HOST:PORT, or PORT")
    return name.strip("[]") or "127.0.0.1", int(port)


@contextmanager
def served(source: Source, address: tuple[str, int]) -> Iterator[str]:
    """Serve inside, by threads. Yields the page's address. UsageError: nobody can listen there."""
    from prometheus_client import start_http_server

    name, port = address
    try:
        server, thread = start_http_server(port, name, registry_of(source))
    except OSError as error:
        raise UsageError(f"{name}:{port} cannot be listened at: {error.strerror}; give another --listen") from None
    try:
        yield f"http://{f'[{name}]' if ':' in name else name}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
