"""Targets around a target: timeout, queue, breaker, retry; and fallback over several."""

from dagi.targets.resilience.fallback import Fallback
from dagi.targets.resilience.resilient import ResilientTarget, resilient
from dagi.targets.resilience.settings import RESILIENCE_KEYS, ResilienceSettings

__all__ = ["RESILIENCE_KEYS", "Fallback", "ResilienceSettings", "ResilientTarget", "resilient"]
