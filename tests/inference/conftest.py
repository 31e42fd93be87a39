"""A text of one language with its record."""

import pytest
from recorded_text import write_byte_record


@pytest.fixture(scope="session")
def byte_record(tmp_path_factory):
    return write_byte_record(tmp_path_factory.mktemp("bytes"))
