"""Which picture shows which class: looked at one by one, before any model saw them.

A class takes whole folders where the package sorts its pictures as we do, and names where it does not. What such a
folder holds and we do not take stands in `LEFT_OUT` with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

ANIMALS = "stamps/animals"
FARM = "gcompris/explore_farm_animals/resource/animals"
WORLD = "gcompris/explore_world_animals/resource/animals"
WILD = "gcompris/erase/resource"
MONUMENTS = "gcompris/explore_monuments/resource"
SORTED = "gcompris/categorization/resource/images"
DETAILS = "gcompris/details/resource/image"
SCRATCH = "scratch/Costumes"


def _in(folder: str, names: str, ending: str = ".webp") -> tuple[str, ...]:
    return tuple(f"{folder}/{name}{ending}" for name in names.split())


PHOTOGRAPHS: Mapping[str, tuple[str, ...]] = {
    "animal_with_hooves": (
        f"{ANIMALS}/mammals/bovines/*",
        f"{ANIMALS}/mammals/deer/*",
        f"{ANIMALS}/mammals/equines/*",
        *_in(f"{ANIMALS}/mammals", "giraffe pig pig_golden wildboar", ".png"),
        *_in(WILD, "calf giraffe goat horse nubian_ibex"),
        *_in(WORLD, "bison giraffe moose"),
        *_in(FARM, "cow horse pig sheep"),
        *_in(f"{SCRATCH}/Animals", "buffalo1 cow1", ".gif"),
    ),
    "animal_with_paws": (
        f"{ANIMALS}/mammals/bears/*",
        f"{ANIMALS}/mammals/cats/*",
        f"{ANIMALS}/mammals/dogs/*",
        f"{ANIMALS}/mammals/rodents/*",
        f"{ANIMALS}/marsupials/*",
        *_in(f"{ANIMALS}/mammals", "badger ferret rabbit_little aquatic/otter", ".png"),
        *_in(WILD, "cheetah kitten meerkats pika red_panda squirrel"),
        *_in(WORLD, "hedgehog jaguar kangaroo koala panda polar_bear"),
        *_in(FARM, "cat dog"),
    ),
    "bird": (
        f"{ANIMALS}/birds/*",
        *_in(WILD, "gosling heron kingfisher northern_harrier penguin spoonbills swans toucan"),
        *_in(WORLD, "scarlet_macaw"),
        *_in(FARM, "chicken duck owl"),
        *_in(f"{SCRATCH}/Animals", "bird-flying", ".gif"),
    ),
    "building": (
        f"{MONUMENTS}/france/*",
        f"{MONUMENTS}/germany/*",
        f"{MONUMENTS}/india/*",
        f"{SORTED}/monuments/*",
        *_in(f"{MONUMENTS}/usa", "georgeWashingtonBirthplace lincolnMemorial"),
        *_in(f"{MONUMENTS}/wonders", "colosseum tajMahal"),
        *_in(DETAILS, "EgeskovSlotSpejling_background"),
        *_in("scratch/Backgrounds/Outdoors", "building-at-mit mansion wooden-house", ".jpg"),
        *_in(f"{SCRATCH}/Things", "marble-building", ".gif"),
    ),
    "fish": (f"{SORTED}/fishes/*", f"{ANIMALS}/fish/*"),
    "flower": (
        "stamps/plants/flowers/*",
        "mate/*",
        *_in("scratch/Backgrounds/Nature", "flowers", ".gif"),
        *_in(f"{SCRATCH}/Things", "flower-vase", ".gif"),
    ),
    "fruit": (
        "stamps/food/fruit/*",
        *_in("stamps/plants/trees", "rambutan", ".png"),
        *_in(f"{SCRATCH}/Things", "fruit_platter", ".gif"),
    ),
    "household_item": (
        f"{SORTED}/others/*",
        *_in(f"{SORTED}/tools", "spray"),
        *_in("stamps/household", "Lightbulb garbagecan home_compost_bin kettle toilet wheelie_bin", ".png"),
        *_in("stamps/household/dishes", "mug pitcher_small teapot", ".png"),
        "stamps/household/dishes/utensils/*",
        *_in("stamps/clothes", "clothespin_new clothespin_old", ".png"),
        *_in("stamps/seasonal", "candle", ".png"),
        *_in(f"{SCRATCH}/Things", "lamp", ".gif"),
    ),
    "tool": (f"{SORTED}/tools/*", "stamps/household/tools/*"),
    "vehicle": (
        "stamps/military/vehicles/*",
        "stamps/vehicles/auto/*",
        *_in(
            "stamps/vehicles",
            "construction/dumper cycle/pink_tricycle emergency/firetruck flight/balloon360 flight/planes/747"
            " garbagetruck masstransit/green_korean_bus race/indycar",
            ".png",
        ),
        *_in(
            f"{SCRATCH}/Transportation", "airplane bike bus car-blue car-bug car-cow sail-boat tug-boat yacht", ".gif"
        ),
        *_in(f"{SCRATCH}/Transportation", "street-cleaner-mit", ".png"),
    ),
}
"""Class to patterns of short names."""

_DRAWN = "a drawing"
_TWICE = "the same animal or thing is in another picture"
_NO_BUILDING = "a monument, but not a building that one would call so"

LEFT_OUT: Mapping[str, str] = {
    "*/cartoon/*": _DRAWN,
    "*/plastic/*": "made of plastic",
    "*/toys/*": "a toy",
    f"{ANIMALS}/birds/albino_peahen.png": "white, and not to be seen on white",
    f"{ANIMALS}/mammals/bovines/gnu-baby-stand.png": _TWICE,
    f"{ANIMALS}/mammals/bovines/gnu-sitting.png": _TWICE,
    f"{ANIMALS}/mammals/rodents/capybara.png": "its feet are half hooves",
    f"{ANIMALS}/fish/lobster.png": "no fish",
    f"{ANIMALS}/fish/shrimp.png": "no fish",
    f"{SORTED}/fishes/fish26.webp": "as fish2: the same kind by the same photographer",
    f"{MONUMENTS}/france/eiffelTower.webp": _NO_BUILDING,
    f"{MONUMENTS}/france/montStMichel.webp": "an island",
    f"{MONUMENTS}/france/pontduGard.webp": "a bridge",
    f"{MONUMENTS}/france/rocamadour.webp": "a village on a cliff",
    f"{MONUMENTS}/germany/brandenburgGate.webp": _NO_BUILDING,
    f"{MONUMENTS}/germany/trierImperialBaths.webp": "a ruin",
    f"{MONUMENTS}/germany/wormsCathedral.webp": "a model of the building in front of it",
    f"{MONUMENTS}/india/ajantaCave.webp": "caves in a hillside",
    f"{MONUMENTS}/india/gatewayofIndia.webp": _NO_BUILDING,
    f"{MONUMENTS}/india/greatStupa.webp": _NO_BUILDING,
    f"{MONUMENTS}/india/konarkSunTemple.webp": "a ruin",
    f"{MONUMENTS}/india/qutubMinar.webp": _NO_BUILDING,
    f"{SORTED}/monuments/IndiaGate.webp": _NO_BUILDING,
    f"{SORTED}/monuments/arcDeTriomphe.webp": _NO_BUILDING,
    f"{SORTED}/monuments/bayterek.webp": _NO_BUILDING,
    f"{SORTED}/monuments/brandenburgGate.webp": _NO_BUILDING,
    f"{SORTED}/monuments/christTheRedeemer.webp": "a statue",
    f"{SORTED}/monuments/colosseum.webp": _TWICE,
    f"{SORTED}/monuments/eiffelTower.webp": _NO_BUILDING,
    f"{SORTED}/monuments/greatPyramid.webp": _NO_BUILDING,
    f"{SORTED}/monuments/greatWall.webp": "a wall",
    f"{SORTED}/monuments/jucheTower.webp": _NO_BUILDING,
    f"{SORTED}/monuments/kutubMinar.webp": _NO_BUILDING,
    f"{SORTED}/monuments/monument2.webp": "a ruin",
    f"{SORTED}/monuments/mountRushmore.webp": "statues",
    f"{SORTED}/monuments/statueOfLiberty.webp": "a statue",
    f"{SORTED}/monuments/tajMahal.webp": _TWICE,
    f"{SORTED}/monuments/victoriaMemorial.webp": "a statue",
    "stamps/plants/flowers/appooppanthady.png": "the seed of a flower",
    "stamps/food/fruit/apple_green.png": "as apple_red, in another colour",
    "stamps/food/fruit/avocado.png": "as much a vegetable",
    f"{SORTED}/others/baseball.webp": "sports gear",
    f"{SORTED}/others/blackslate.webp": "school gear",
    f"{SORTED}/others/erasers.webp": "school gear",
    f"{SORTED}/others/igloo.webp": "a building",
    f"{SORTED}/others/pencil.webp": "school gear",
    f"{SORTED}/others/volleyball.webp": "sports gear",
    f"{SORTED}/others/weighingMachine.webp": "laboratory gear",
    f"{SORTED}/tools/hammer9.webp": "as hammer8: the same hammer",
    f"{SORTED}/tools/measuringTape3.webp": "a tailor's tape is as much a household item",
    f"{SORTED}/tools/measuringTape4.webp": "a tailor's tape is as much a household item",
    f"{SORTED}/tools/multimeter?.webp": "a measuring instrument",
    f"{SORTED}/tools/nailCutter.webp": "as much a household item",
    f"{SORTED}/tools/scissors?.webp": "as much a household item",
    f"{SORTED}/tools/tweezer.webp": "as much a household item",
    f"{SORTED}/tools/tweezer1.webp": "as much a household item",
    "stamps/household/tools/cementmixer.png": "a machine on wheels",
    "stamps/household/tools/paintbrush_large.png": "as much a household item",
    "stamps/household/tools/toolbox.png": "holds tools",
}
"""Pictures of those folders whose label could be argued about, or that show what another shows; with the reason."""

SHARED: Mapping[str, str] = {f"{SORTED}/tools/spray.webp": "household_item"}
"""Pictures that two classes' patterns meet, and the class that they show."""

DRAWINGS: Mapping[str, tuple[str, ...]] = {
    "animal_with_hooves": (
        *("bison", "boar", "cow", "cow face", "deer", "donkey", "ewe", "giraffe", "goat", "horse", "horse face"),
        *("moose", "ox", "pig", "pig face", "ram", "water buffalo", "zebra"),
    ),
    "animal_with_paws": (
        *("badger", "bear", "beaver", "black cat", "cat", "chipmunk", "dog", "dog face", "fox", "hamster"),
        *("hedgehog", "kangaroo", "koala", "leopard", "lion", "mouse", "otter", "panda", "polar bear", "poodle"),
        *("rabbit", "raccoon", "rat", "skunk", "tiger", "wolf"),
    ),
    "bird": (
        *("baby chick", "bird", "black bird", "chicken", "dodo", "dove", "duck", "eagle", "flamingo", "goose"),
        *("hatching chick", "owl", "parrot", "peacock", "penguin", "rooster", "swan", "turkey"),
    ),
    "building": (
        *("bank", "castle", "church", "classical building", "convenience store", "department store", "derelict house"),
        *("factory", "hindu temple", "hospital", "hotel", "house", "house with garden", "houses", "hut"),
        *("Japanese castle", "mosque", "office building", "post office", "school", "stadium", "synagogue"),
    ),
    "fish": ("blowfish", "fish", "shark", "tropical fish"),
    "flower": (
        *("blossom", "bouquet", "cherry blossom", "hibiscus", "hyacinth", "lotus", "rose", "sunflower", "tulip"),
        "wilted flower",
    ),
    "fruit": (
        *("banana", "blueberries", "cherries", "coconut", "grapes", "green apple", "kiwi fruit", "lemon", "lime"),
        *("mango", "melon", "peach", "pear", "pineapple", "red apple", "strawberry", "tangerine", "watermelon"),
    ),
    "household_item": (
        *("basket", "bathtub", "bed", "broom", "bucket", "candle", "chair", "couch and lamp", "fork and knife"),
        *("jar", "light bulb", "mantelpiece clock", "mirror", "plunger", "roll of paper", "soap", "sponge", "spoon"),
        *("toilet", "toothbrush"),
    ),
    "tool": (
        *("axe", "carpentry saw", "clamp", "hammer", "hammer and pick", "hammer and wrench", "pick", "screwdriver"),
        *("shovel", "wrench"),
    ),
    "vehicle": (
        *("airplane", "ambulance", "articulated lorry", "automobile", "bicycle", "bus", "canoe", "delivery truck"),
        *("fire engine", "helicopter", "locomotive", "motor scooter", "motorcycle", "passenger ship", "police car"),
        *("racing car", "sailboat", "small airplane", "speedboat", "taxi", "tractor", "tram car"),
    ),
}
"""Class to the labels of the emojis that show it."""

OTHER_DRAWINGS: Mapping[str, tuple[str, ...]] = {
    "fish": (
        *_in("gcompris/lang/resource/words_sample", "fish shark"),
        *_in(f"{SCRATCH}/Animals", "fish1-a", ".gif"),
        *_in(f"{SCRATCH}/Animals", "fish2 fish3 fish4 shark1-a", ".png"),
    ),
}
"""Class to drawings of the packages, where there are too few emojis of it."""


def photographs_of(name: str, originals: Iterable[str]) -> list[str]:
    """The short names among `originals` that show the class `name`, in order.

    Raises ValueError when one of its patterns meets nothing: a name that is not there is a slip.
    """
    originals = sorted(originals)
    met = {pattern: {one for one in originals if fnmatchcase(one, pattern)} for pattern in PHOTOGRAPHS[name]}
    if idle := [pattern for pattern, found in met.items() if not found]:
        raise ValueError(f"{name}: no picture is called {idle}")
    candidates = sorted(set().union(*met.values()))
    return [one for one in candidates if left_out(one) is None and SHARED.get(one, name) == name]


def left_out(original: str) -> str | None:
    """Why a picture is not taken, or None if nothing speaks against it."""
    return next((reason for pattern, reason in LEFT_OUT.items() if fnmatchcase(original, pattern)), None)
