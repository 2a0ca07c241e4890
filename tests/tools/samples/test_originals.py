from pathlib import PurePosixPath

import pytest

from tools.samples.originals import plain_licence, stated_in

FOLDER = PurePosixPath("/gcompris/src/activities/zoo/resource")
README = """Copyright: Jane Doe
Source: https://example.org/Cat.jpg
License: CC-BY-SA 4.0
Comments: cropped
Files:
cat.webp
cats/kitten.webp

Files: dog.webp
License: Public Domain
Copyright: anonymous
Source: https://example.org/dog.webp

Copyright: Nobody
Files: unlicensed.webp

License: CC0-1.0
Files: unclaimed.webp

Copyright: 2000 The Team
License: CC-BY-SA 4.0
Files:
house.webp
Comment: based on a photo by John Roe, license CC-BY-SA 3.0, source at https://example.org/house.jpg
"""
FILES = {
    f"{FOLDER}/{name}.webp": name.encode()
    for name in ("cat", "cats/kitten", "dog", "house", "unlicensed", "unclaimed", "unlisted")
}


def test_a_readme_gives_each_picture_its_author_licence_and_source() -> None:
    found = {one.name: (one.author, one.licence, one.source) for one in stated_in(README, FOLDER, FILES)}

    jane = ("Jane Doe", "CC-BY-SA-4.0", "https://example.org/Cat.jpg")
    team = "2000 The Team; based on a photo by John Roe, license CC-BY-SA 3.0"
    assert found == {
        "gcompris/zoo/resource/cat.webp": jane,
        "gcompris/zoo/resource/cats/kitten.webp": jane,
        "gcompris/zoo/resource/dog.webp": ("anonymous", "public domain", "https://example.org/dog.webp"),
        "gcompris/zoo/resource/house.webp": (team, "CC-BY-SA-4.0", "https://example.org/house.jpg"),
    }


def test_a_picture_keeps_its_path_and_content() -> None:
    kitten = next(one for one in stated_in(README, FOLDER, FILES) if "kitten" in one.name)

    assert kitten.path == f"{FOLDER}/cats/kitten.webp"
    assert kitten.read() == b"cats/kitten"


@pytest.mark.parametrize(
    ("stated", "plain"),
    [
        ("CC-BY-SA 4.0", "CC-BY-SA-4.0"),
        ("CC0-1.0", "CC0-1.0"),
        ("Public Domain", "public domain"),
        ("Public domain\nmore", "public domain"),
    ],
)
def test_licences_are_spelled_one_way(stated: str, plain: str) -> None:
    assert plain_licence(stated) == plain
