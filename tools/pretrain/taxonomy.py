"""Category words: what kind of thing an emoji shows, from the subgroups of the Unicode tables.

A subgroup is a good but not a perfect category ("transport-ground" holds bus stops, "clothing" holds gems), so some
labels are moved to a category of their own here. The first word of a category is its name; the rest are synonyms.
A word that would be true of many categories at once ("symbol" of buttons, arrows and letters) is said of those alone
that have no better one: else it would draw away what has.
"""

from __future__ import annotations

from collections.abc import Mapping

from tools.pretrain.sources import Emoji

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "face": ("face", "smiley", "facial expression", "emoticon"),
    "cat face": ("cat face", "cat", "animal face", "animal"),
    "monkey face": ("monkey face", "monkey", "animal face", "animal"),
    "creature": ("fantasy creature", "monster", "character"),
    "heart": ("heart", "love symbol"),
    "comic symbol": ("comic symbol", "emotion symbol"),
    "hand gesture": ("hand gesture", "hand", "gesture", "body part"),
    "body part": ("body part", "part of the body", "organ"),
    "person": ("person", "human", "people"),
    "worker": ("worker", "profession", "person", "human", "people"),
    "athlete": ("athlete", "person doing sport", "person", "human", "people"),
    "family": ("family", "couple", "group of people", "people"),
    "mammal": ("mammal", "furry animal", "four-legged animal", "animal", "living thing"),
    "bird": ("bird", "feathered animal", "animal", "living thing"),
    "reptile": ("reptile or amphibian", "reptile", "cold-blooded animal", "animal", "living thing"),
    "sea animal": ("sea animal", "marine animal", "sea creature", "animal", "living thing"),
    "insect": ("insect", "bug", "small crawling animal", "animal", "living thing"),
    "flower": ("flower", "blossom", "plant", "living thing"),
    "plant": ("plant", "tree or leaf", "greenery", "living thing"),
    "fruit": ("fruit", "fresh fruit", "fruit or vegetable", "produce", "food"),
    "vegetable": ("vegetable", "fresh vegetable", "fruit or vegetable", "produce", "food"),
    "dish": ("dish", "prepared meal", "savoury food", "meal", "food"),
    "dessert": ("dessert", "sweet", "sweet food", "food"),
    "drink": ("drink", "beverage", "something to drink"),
    "tableware": ("tableware", "kitchenware", "cutlery", "household item", "object"),
    "map": ("map", "globe", "geography"),
    "landscape": ("landscape", "scenery", "natural landscape", "place"),
    "city view": ("view of a city", "scenery", "landscape", "place"),
    "building": ("building", "house", "architecture", "place"),
    "amusement": ("amusement ride", "fairground attraction", "place"),
    "building material": ("building material", "material", "object"),
    "land vehicle": ("land vehicle", "vehicle", "means of transport"),
    "train": ("train", "rail vehicle", "land vehicle", "vehicle", "means of transport"),
    "boat": ("boat", "watercraft", "vehicle", "means of transport"),
    "aircraft": ("aircraft", "flying vehicle", "vehicle", "means of transport"),
    "traffic sign": ("traffic sign", "road equipment", "street furniture"),
    "clock": ("clock", "timepiece", "time of day"),
    "heavenly body": ("heavenly body", "moon or star", "object in the sky", "sky"),
    "weather": ("weather", "weather symbol", "kind of weather", "sky"),
    "festivity": ("festivity", "party", "party decoration", "celebration", "object"),
    "award": ("award", "medal", "prize", "object"),
    "sport": ("sport", "sports equipment", "ball game or sport", "leisure", "object"),
    "game": ("game", "toy", "toy or game", "leisure", "object"),
    "art": ("art supply", "craft", "handicraft", "object"),
    "clothing": ("clothing", "garment", "something to wear", "piece of clothing"),
    "footwear": ("footwear", "shoe", "something to wear", "piece of clothing", "clothing"),
    "headwear": ("headwear", "hat", "something to wear", "piece of clothing", "clothing"),
    "bag": ("bag", "luggage", "object"),
    "accessory": ("accessory", "jewellery", "object"),
    "sound": ("sound symbol", "loudspeaker or bell", "audio device", "object"),
    "musical instrument": ("musical instrument", "instrument", "music", "object"),
    "music": ("music", "audio", "sound"),
    "electronic device": ("electronic device", "computer equipment", "gadget", "device", "object"),
    "camera": ("camera or lamp", "film equipment", "light source", "object"),
    "book": ("book or paper", "book", "something to read", "stationery", "object"),
    "money": ("money", "currency", "payment", "object"),
    "mail": ("mail", "letter or mailbox", "post", "object"),
    "writing tool": ("writing tool", "pen", "stationery", "object"),
    "office supply": ("office supply", "office item", "stationery", "object"),
    "lock": ("lock or key", "lock", "security", "object"),
    "tool": ("tool", "hand tool", "hardware", "object"),
    "weapon": ("weapon", "arms", "object"),
    "science": ("scientific instrument", "laboratory equipment", "science", "object"),
    "medicine": ("medical item", "medicine", "health care", "object"),
    "household item": ("household item", "furniture", "thing for the home", "object"),
    "sign": ("sign", "warning sign", "notice"),
    "arrow": ("arrow", "direction sign"),
    "religion": ("religious symbol", "religion", "symbol"),
    "zodiac": ("zodiac sign", "star sign", "symbol"),
    "button": ("button", "media control", "push button"),
    "mathematics": ("mathematical symbol", "punctuation mark"),
    "lettering": ("letter or number", "written characters", "text"),
    "shape": ("geometric shape", "coloured shape", "shape", "symbol"),
    "other symbol": ("symbol", "sign"),
    "flag": ("flag", "banner", "national flag"),
}

_OF_SUBGROUP: Mapping[str, str] = {
    **dict.fromkeys(("cat-face",), "cat face"),
    **dict.fromkeys(("monkey-face",), "monkey face"),
    **dict.fromkeys(("face-costume", "person-fantasy"), "creature"),
    "heart": "heart",
    "emotion": "comic symbol",
    "body-parts": "body part",
    **dict.fromkeys(("person", "person-gesture", "person-activity", "person-resting"), "person"),
    "person-role": "worker",
    "person-sport": "athlete",
    "family": "family",
    "animal-mammal": "mammal",
    "animal-bird": "bird",
    **dict.fromkeys(("animal-reptile", "animal-amphibian"), "reptile"),
    "animal-marine": "sea animal",
    "animal-bug": "insect",
    "plant-flower": "flower",
    "plant-other": "plant",
    "food-fruit": "fruit",
    "food-vegetable": "vegetable",
    **dict.fromkeys(("food-prepared", "food-asian"), "dish"),
    "food-sweet": "dessert",
    "drink": "drink",
    "dishware": "tableware",
    "place-map": "map",
    "place-geographic": "landscape",
    "place-building": "building",
    "place-religious": "building",
    "place-other": "city view",
    "transport-ground": "land vehicle",
    "transport-water": "boat",
    "transport-air": "aircraft",
    "time": "clock",
    "sky-weather": "weather",
    "event": "festivity",
    "award-medal": "award",
    "sport": "sport",
    "game": "game",
    "arts-crafts": "art",
    "clothing": "clothing",
    "sound": "sound",
    "music": "music",
    "musical-instrument": "musical instrument",
    **dict.fromkeys(("phone", "computer"), "electronic device"),
    "light-video": "camera",
    "book-paper": "book",
    "money": "money",
    "mail": "mail",
    "writing": "writing tool",
    "office": "office supply",
    "lock": "lock",
    "tool": "tool",
    "science": "science",
    "medical": "medicine",
    "household": "household item",
    **dict.fromkeys(("transport-sign", "warning"), "sign"),
    "arrow": "arrow",
    "religion": "religion",
    "zodiac": "zodiac",
    "av-symbol": "button",
    **dict.fromkeys(("math", "punctuation", "currency"), "mathematics"),
    **dict.fromkeys(("keycap", "alphanum"), "lettering"),
    "geometric": "shape",
    **dict.fromkeys(("gender", "other-symbol", "person-symbol"), "other symbol"),
    **dict.fromkeys(("flag", "country-flag", "subdivision-flag"), "flag"),
}

_MOVED: Mapping[str, str] = {
    "traffic sign": "bus stop|motorway|railway track|oil drum|fuel pump|wheel|police car light|"
    "horizontal traffic light|vertical traffic light|stop sign|construction|anchor|ring buoy|station",
    "train": "locomotive|railway car|high-speed train|bullet train|train|metro|light rail|tram|monorail|"
    "mountain railway|tram car|suspension railway|mountain cableway|aerial tramway",
    "other symbol": "skateboard|roller skate|seat|parachute|satellite|manual wheelchair|motorized wheelchair|"
    "paw prints|pig nose|feather|wing|phoenix|spider web|microbe|nest with eggs|empty nest",
    "creature": "unicorn|dragon|dragon face",
    "building material": "building construction|brick|rock|wood",
    "landscape": "sunrise over mountains|sunrise|foggy|hot springs|tent",
    "festivity": "wedding",
    "amusement": "carousel horse|playground slide|ferris wheel|roller coaster|circus tent|barber pole|fountain",
    "heavenly body": "new moon|waxing crescent moon|first quarter moon|waxing gibbous moon|full moon|"
    "waning gibbous moon|last quarter moon|waning crescent moon|crescent moon|new moon face|ringed planet|"
    "first quarter moon face|last quarter moon face|full moon face|star|glowing star|shooting star|milky way|comet",
    "footwear": "thong sandal|man's shoe|running shoe|hiking boot|flat shoe|high-heeled shoe|woman's sandal|"
    "ballet shoes|woman's boot|socks|ice skate",
    "headwear": "crown|woman's hat|top hat|graduation cap|billed cap|military helmet|rescue worker's helmet",
    "bag": "purse|handbag|clutch bag|shopping bags|backpack|luggage|briefcase",
    "accessory": "folding hand fan|hair pick|prayer beads|lipstick|ring|gem stone",
    "clothing": "running shirt|martial arts uniform",
    "weapon": "dagger|crossed swords|bomb|boomerang|bow and arrow|shield|water pistol|kitchen knife",
    "other": "hourglass done|hourglass not done",
    "music": "musical score|musical note|musical notes",
    "electronic device": "studio microphone|level slider|control knobs|microphone|headphone|radio|television|"
    "video game|joystick|pager",
    "flower": "rosette",
    "money": "currency exchange|heavy dollar sign",
    "vegetable": "mushroom",
}

_BY_LABEL = {label: category for category, labels in _MOVED.items() for label in labels.split("|")}


def category_of(emoji: Emoji) -> str | None:
    """The category an emoji belongs to, or None for the few that belong nowhere."""
    moved = _BY_LABEL.get(emoji.label)
    if moved is not None:
        return moved if moved in CATEGORIES else None
    if emoji.subgroup.startswith("face-"):
        return _OF_SUBGROUP.get(emoji.subgroup, "face")
    if emoji.subgroup.startswith("hand"):
        return "hand gesture"
    return _OF_SUBGROUP.get(emoji.subgroup)
