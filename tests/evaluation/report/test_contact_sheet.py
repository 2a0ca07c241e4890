from PIL import Image

from evaluation.report.contact_sheet import (
    DASH,
    FRAME,
    GAP,
    LINE,
    NAMES,
    RIGHT,
    SIGN,
    TILE,
    WRONG,
    Hit,
    Query,
    contact_sheet,
)

BLUE, WHITE = (10, 20, 200), (255, 255, 255)


def _hits(*labels: str) -> list[Hit]:
    return [Hit(Image.new("RGB", (90, 40), BLUE), label) for label in labels]


def _query(base: list[Hit], adapter: list[Hit]) -> Query:
    return Query("a photo of a dog.", "dog", base, adapter)


def _tile(sheet: Image.Image, row: int, position: int) -> Image.Image:
    """What is at one place of the first query: row 0 is the base's, row 1 the adapter's."""
    left = NAMES + position * (TILE + GAP)
    top = GAP + LINE + GAP + row * (TILE + LINE + GAP)
    return sheet.crop((left, top, left + TILE, top + TILE))


def _edge(tile: Image.Image) -> set[object]:
    """Colours along the middle of the upper side of its frame."""
    return {tile.getpixel((at, FRAME // 2)) for at in range(TILE)}


def test_right_hits_have_a_whole_green_frame_and_wrong_ones_a_dashed_red_one() -> None:
    sheet = contact_sheet([_query(_hits("wolf", "dog"), _hits("dog", "cat"))])

    found = [[_edge(_tile(sheet, row, position)) for position in range(2)] for row in range(2)]
    whole, dashed = {RIGHT}, {WRONG, WHITE}
    assert found == [[dashed, whole], [whole, dashed]]


def test_dashes_are_on_all_four_sides() -> None:
    tile = _tile(contact_sheet([_query(_hits("wolf"), [])]), 0, 0)

    in_a_gap, far = DASH + 1, TILE - 1
    for place in ((in_a_gap, 0), (0, in_a_gap), (in_a_gap, far), (far, in_a_gap)):
        assert tile.getpixel(place) == WHITE
    for place in ((2, 0), (0, 2), (2, far), (far, 2)):
        assert tile.getpixel(place) == WRONG


def test_the_picture_is_within_its_frame() -> None:
    tile = _tile(contact_sheet([_query(_hits("dog"), [])]), 0, 0)

    assert tile.getpixel((FRAME, FRAME)) == BLUE
    assert tile.getpixel((TILE // 2, TILE // 2)) == BLUE
    assert tile.getpixel((FRAME - 1, FRAME - 1)) == RIGHT


def test_a_tick_and_a_cross_are_told_apart_without_colours() -> None:
    sheet = contact_sheet([_query(_hits("dog", "wolf"), [])])
    corner = (TILE - SIGN, TILE - SIGN, TILE - FRAME, TILE - FRAME)

    def strokes(position: int) -> bytes:
        sign = _tile(sheet, 0, position).crop(corner)
        return bytes(sign.getpixel((x, y)) == WHITE for y in range(sign.height) for x in range(sign.width))

    tick, cross = strokes(0), strokes(1)
    assert sum(tick) > 20
    assert sum(cross) > 20
    assert tick != cross


def test_only_the_first_hits_are_shown_and_places_without_one_stay_empty() -> None:
    sheet = contact_sheet([_query(_hits(*["dog"] * 9), _hits("dog"))], hits=3)

    assert sheet.width == NAMES + 3 * (TILE + GAP) + GAP
    assert _edge(_tile(sheet, 0, 2)) == {RIGHT}
    assert _tile(sheet, 1, 1).getcolors() == [(TILE * TILE, WHITE)]


def test_each_query_has_its_own_part_and_long_words_stay_within_their_place() -> None:
    long = Query("a very long question " * 40, "x" * 400, _hits("x" * 400), [])
    one, two = contact_sheet([long]), contact_sheet([long, long])
    block = one.height - GAP

    assert two.height == GAP + 2 * block
    assert two.crop((0, GAP, two.width, GAP + block)).tobytes() == two.crop((0, GAP + block, *two.size)).tobytes()
    label = one.crop((NAMES + TILE, GAP + LINE + GAP, one.width, one.height))
    assert label.getcolors() == [(label.width * label.height, WHITE)]


def test_pictures_with_transparency_or_of_one_channel_are_shown() -> None:
    hits = [Hit(Image.new(mode, (5, 9)), "dog") for mode in ("RGBA", "L", "P")]

    assert contact_sheet([_query(hits, hits)]).mode == "RGB"
