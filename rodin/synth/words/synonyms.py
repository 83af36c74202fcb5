"""Synonyms of the recipe's words, and the ways to say each. What has no entry is said by its own word alone.

A word that stands more than once is drawn as often. Ginger, goatee and spectacles stand nowhere, see
`rodin.synth.words.paraphrase`.
"""

from __future__ import annotations

NOUNS = {
    "man": ("man", "man", "man", "guy", "gentleman", "male"),
    "woman": ("woman", "woman", "woman", "lady", "female"),
    "boy": ("boy", "boy", "little boy"),
    "girl": ("girl", "girl", "little girl"),
    "child": ("child", "kid"),
    "": ("person", "person", "character"),
}
AGES = {
    "young": ("young", "young", "youthful"),
    "elderly": ("elderly", "old", "aged", "senior"),
}
#: Years that go with an age, from the first to before the last; of the grown up, decades too.
YEARS = {"child": (4, 12), "young": (18, 36), "elderly": (65, 90)}
DECADES = {
    "young": ("twenties", "early thirties"),
    "elderly": ("sixties", "seventies", "eighties"),
}
#: What people say of each other's skin, by sex where the word has one. Not of pale and light skin alike, of which both
#: "white" may be said, is anything named by it.
PEOPLE: dict[str, dict[str, tuple[str, ...]]] = {
    "pale": {"": ("white", "European")},
    "light": {"": ("white",)},
    "tan": {"man": ("Latino",), "woman": ("Latina",), "": ("Hispanic",)},
    "brown": {"": ("South Asian",)},
    "dark": {"": ("black", "black", "African")},
}
#: What may not be there, and adjectives that say so.
ABSENCES = {"beard": ("clean-shaven", "beardless"), "glasses": (), "hat": ("bare-headed",)}
SKINS = {
    "pale": ("pale", "fair", "very light"),
    "tan": ("tan", "tanned", "olive"),
    "brown": ("brown", "medium brown"),
    "dark": ("dark", "dark brown", "deep brown"),
}
HAIR_COLOURS = {
    "black": ("black", "black", "jet-black", "dark"),
    "brown": ("brown", "brown", "dark brown", "chestnut", "brunette"),
    "red": ("red", "red", "copper", "orange-red", "auburn"),
    "blond": ("blond", "blond", "blonde", "golden"),
    "grey": ("grey", "gray", "silver"),
    "white": ("white", "white", "snow-white"),
    "pink": ("pink", "pink-dyed", "bright pink"),
    "blue": ("blue", "blue-dyed", "bright blue"),
    "green": ("green", "green-dyed", "bright green"),
    "purple": ("purple", "purple-dyed", "violet"),
}
EYE_COLOURS = {"grey": ("grey", "gray")}
#: Wordings of a style; "{c}" is the colour and the space behind it, or nothing.
STYLES = {
    "bald": ("a bald head", "no hair", "a completely bald head", "a hairless head"),
    "buzz cut": ("a {c}buzz cut", "{c}hair in a buzz cut", "very short {c}hair", "closely cropped {c}hair"),
    "short": ("short {c}hair", "{c}hair cut short"),
    "quiff": ("a {c}quiff", "{c}hair in a quiff", "{c}hair brushed up into a quiff"),
    "curly": ("short curly {c}hair", "curly {c}hair", "short {c}curls"),
    "afro": ("a {c}afro", "{c}hair in an afro"),
    "mohawk": ("a {c}mohawk", "{c}hair in a mohawk"),
    "bob": ("a {c}bob", "{c}hair cut in a bob", "a {c}bob cut"),
    "long straight": ("long straight {c}hair", "straight {c}hair", "long {c}hair"),
    "long wavy": ("long wavy {c}hair", "wavy {c}hair", "long {c}waves"),
    "ponytail": ("{c}hair in a ponytail", "a {c}ponytail", "{c}hair tied back in a ponytail"),
    "bun": ("{c}hair in a bun", "a {c}bun", "{c}hair tied up in a bun"),
    "braids": ("{c}hair in two braids", "two {c}braids", "{c}braids", "{c}hair in plaits"),
}
TRAITS = {
    "a small nose": ("a small nose", "a little nose"),
    "a big nose": ("a big nose", "a large nose"),
    "a narrow nose": ("a narrow nose", "a thin nose"),
    "a wide nose": ("a wide nose", "a broad nose"),
    "a big wide nose": ("a big wide nose", "a large broad nose"),
    "full lips": ("full lips", "plump lips"),
    "large eyes": ("large eyes", "big eyes"),
    "thick eyebrows": ("thick eyebrows", "bushy eyebrows", "heavy brows"),
    "thin eyebrows": ("thin eyebrows", "fine eyebrows", "thin brows"),
    "small ears": ("small ears", "little ears"),
    "big ears": ("big ears", "large ears"),
    "chubby cheeks": ("chubby cheeks", "full cheeks", "plump cheeks"),
    "hollow cheeks": ("hollow cheeks", "sunken cheeks"),
    "a slender neck": ("a slender neck", "a slim neck", "a thin neck"),
    "a thick neck": ("a thick neck", "a broad neck"),
}
BEARDS = {
    "full beard": ("a {c}full beard", "a full {c}beard", "a {c}beard"),
    "moustache": ("a {c}moustache", "a {c}mustache"),
    "chin beard": ("a {c}chin beard", "a small {c}beard on the chin", "a short {c}chin beard"),
}
GLASSES = {
    "round glasses": ("round {c}glasses", "{c}round glasses", "glasses with round {c}frames"),
    "square glasses": ("square {c}glasses", "{c}square glasses", "glasses with square {c}frames"),
    "sunglasses": ("{c}sunglasses", "a pair of {c}sunglasses", "{c}shades"),
}
TOPS = {
    "crew-neck sweater": ("crew-neck sweater", "sweater", "jumper", "pullover"),
    "T-shirt": ("T-shirt", "T-shirt", "tee"),
    "V-neck sweater": ("V-neck sweater", "V-neck", "sweater", "V-neck pullover"),
    "turtleneck": ("turtleneck", "turtleneck sweater", "polo-neck sweater"),
    "hoodie": ("hoodie", "hooded sweatshirt"),
    "collared shirt": ("collared shirt", "shirt", "shirt with a collar"),
}
HATS = {
    "beanie": ("beanie", "beanie", "knitted cap"),
    "baseball cap": ("baseball cap", "cap"),
    "fedora": ("fedora", "hat", "felt hat"),
}
CLOTH_COLOURS = {
    "red": ("red", "red", "crimson"),
    "orange": ("orange", "orange", "bright orange"),
    "yellow": ("yellow", "yellow", "lemon-yellow"),
    "green": ("green", "green", "forest green"),
    "blue": ("blue", "blue", "royal blue"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink", "pink", "rose-pink"),
    "white": ("white", "white", "off-white"),
    "grey": ("grey", "gray"),
    "brown": ("brown", "brown", "chocolate-brown"),
}
LIGHTINGS = {
    "studio": ("in studio light", "in a studio"),
    "soft": ("in soft light", "in flat light"),
    "warm": ("in warm light", "in the evening sun"),
    "cool": ("in cool light", "in cold light"),
    "side": ("lit from the side", "in side light"),
}
#: An expression as adjective, as noun, as participle and as verb.
EXPRESSIONS = {
    "neutral": (("calm",), ("a neutral expression", "a blank expression"), ("looking calm",), ("looks calm",)),
    "smiling": (("smiling",), ("a smile",), ("smiling",), ("is smiling", "smiles")),
    "grinning": (("grinning",), ("a broad grin", "a wide grin"), ("grinning", "grinning broadly"), ("is grinning",)),
    "frowning": (("frowning",), ("a frown",), ("frowning",), ("is frowning", "frowns")),
    "sad": (("sad",), ("a sad expression", "a sad look"), ("looking sad", "looking unhappy"), ("looks sad",)),
    "surprised": (("surprised",), ("a surprised look",), ("looking surprised", "looking amazed"), ("looks surprised",)),
}
