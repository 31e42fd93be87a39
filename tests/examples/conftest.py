"""Data of the recipes."""

import pytest
from pipeline_tools import script


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The text of a smoke run, prepared as the recipes do it without --from."""
    folder = tmp_path_factory.mktemp("smoke data") / "prepared"
    script("scripts/prepare_wikitext.sh", 2, "--smoke", "--out", folder)
    return folder
