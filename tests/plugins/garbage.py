"""What collecting the tests has made stays to the end: the garbage collector need not look at it again and again."""

import gc


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
