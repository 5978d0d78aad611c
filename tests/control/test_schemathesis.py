"""Schemathesis drives the app by its own schema."""

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig

from cenote import CacheManager
from cenote.control import Settings, create_app
