"""What holds for every test."""

from __future__ import annotations

import os
import signal

import pytest

# Jobs start hundreds of processes. Those that may keep their bytecode start in half the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A suite that runs under nohup, or as a shell's background job, has inherited that these are ignored, and so would the
# programs that tests stop by them.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# Every process that imports aiohttp reads the certificates of all public authorities, twice: a fifth of the time that a
# worker takes to start. No test trusts any of them.
os.environ["SSL_CERT_FILE"] = os.environ["SSL_CERT_DIR"] = os.devnull

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the tests of the Flyte plugin have an environment of their own, without it
    pass
else:
    # What a test proves must not depend on how busy the machine is, nor on the day: no deadline an example, and the
    # same examples every time. `pytest --hypothesis-profile=search` looks at others.
    settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("search", settings.get_profile("same"), derandomize=False)
    settings.load_profile("same")

    def pytest_configure(config: pytest.Config) -> None:
        """Hypothesis also draws from the constants of whatever modules are loaded, and those differ with the tests that
        the same process ran before. The profile "same" does without them."""
        if config.getoption("--hypothesis-profile", None) in (None, "same"):
            from hypothesis.internal.conjecture import providers

            setattr(providers, "_get_local_constants", providers.Constants)  # type: ignore[attr-defined]  # noqa: B010
