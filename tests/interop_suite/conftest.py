"""Tests are coroutines on asyncio and trio, as those of the transport; or functions, where processes run."""

from tests.transport.conftest import pytest_generate_tests as pytest_generate_tests
from tests.transport.conftest import pytest_pyfunc_call as pytest_pyfunc_call
