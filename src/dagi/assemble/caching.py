"""What the metrics tell of the answers that are kept."""

from dagi.observe.metrics import Metrics
from dagi.ports.cache import AnswerCache


def watch_cache(metrics: Metrics, cache: AnswerCache) -> None:
    """Count what the cache does, and show what it holds."""
    metrics.tally("dagi_cache_hits", "Answers given again to an equal question", lambda: cache.stats().hits)
    metrics.tally("dagi_cache_shared", "Questions that waited for an equal one under way", lambda: cache.stats().shared)
    metrics.tally("dagi_cache_misses", "Questions that were asked and may be answered again", lambda: cache.stats().misses)
    metrics.tally("dagi_cache_skipped", "Questions of a caching rule that are not cached", lambda: cache.stats().skipped)
    metrics.tally("dagi_cache_stored", "Answers kept", lambda: cache.stats().stored)
    metrics.tally("dagi_cache_evicted", "Answers dropped for want of room", lambda: cache.stats().evicted)
    metrics.gauge("dagi_cache_entries", "Answers that are kept now", lambda: cache.stats().entries)
    metrics.gauge("dagi_cache_bytes", "Bytes of the answers that are kept now", lambda: cache.stats().bytes)
