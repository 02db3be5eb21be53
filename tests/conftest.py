"""What every test shares is in tests/plugins; fixtures live in the conftest.py of their own folder."""

pytest_plugins = ("tests.plugins.garbage", "tests.plugins.requirements", "tests.plugins.fuzzing", "tests.plugins.http2")
