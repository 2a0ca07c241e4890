from pathlib import Path

import pytest

from tools.samples.packages import unpack


def test_a_missing_package_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"apt-get download gcompris-qt-data=3\.1-2"):
        unpack(tmp_path, tmp_path)
