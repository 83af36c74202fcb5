"""Synonyms of the recipe's words, and the ways to say each. What has no entry is said by its own word alone.

A word that stands more than once is drawn as often. Ginger, goatee and spectacles stand nowhere, see
`rodin.synth.paraphrase`.
"""

from __future__ import annotations

NOUNS = {
    "man": ("man", "man", "man", "guy", "gentleman", "male"),
    "woman": ("woman", "woman", "woman", "lady", "female"),
    "": ("person", "person", "character"),
}
AGES = {
    "young": ("young", "young", "youthful"),
    "middle-aged": ("middle-aged", "middle-aged", "mature"),
    "elderly": ("elderly", "old", "aged", "senior"),
}
SKINS = {
    "tan": ("tan", "tanned"),
    "dark brown": ("dark brown", "dark"),
    "deep brown": ("deep brown", "very dark"),
}
HAIR_COLORS = {
    "black": ("black", "black", "jet-black", "dark"),
    "dark brown": ("dark brown", "dark-brown", "deep brown", "dark"),
    "chestnut": ("chestnut", "chestnut-brown", "reddish brown"),
    "auburn": ("auburn", "reddish-brown"),
    "ginger": ("copper", "copper-red", "orange-red"),
    "dark blond": ("dark blond", "dark blonde", "dirty blond"),
    "blond": ("blond", "blonde", "golden", "fair"),
    "platinum blond": ("platinum blond", "platinum", "very light blond", "pale blonde"),
    "grey": ("grey", "gray"),
    "white": ("white", "snow-white"),
    "pink": ("pink", "pink-dyed", "bright pink"),
    "blue": ("blue", "blue-dyed", "bright blue"),
    "green": ("green", "green-dyed"),
    "purple": ("purple", "purple-dyed", "violet"),
    "red": ("red", "red-dyed", "bright red"),
}
EYE_COLORS = {"grey": ("grey", "gray")}
#: Wordings of a style; "{c}" is the colour and the space behind it, or nothing.
STYLES = {
    "bald": ("a bald head", "no hair", "a completely bald head", "a hairless head"),
    "buzz cut": ("a {c}buzz cut", "{c}hair in a buzz cut", "very short {c}hair", "closely cropped {c}hair"),
    "short": ("short {c}hair", "{c}hair cut short"),
    "pixie cut": ("a {c}pixie cut", "{c}hair in a pixie cut", "{c}hair cut short"),
    "side-parted": ("side-parted {c}hair", "{c}hair with a side parting", "{c}hair parted on the side"),
    "quiff": ("a {c}quiff", "{c}hair in a quiff", "{c}hair brushed up into a quiff"),
    "curly": ("short curly {c}hair", "curly {c}hair", "short {c}curls"),
    "afro": ("a {c}afro", "{c}hair in an afro"),
    "mohawk": ("a {c}mohawk", "{c}hair in a mohawk"),
    "bob": ("a {c}bob", "{c}hair cut in a bob", "a {c}bob cut"),
    "long straight": ("long straight {c}hair", "straight {c}hair", "long {c}hair"),
    "long wavy": ("long wavy {c}hair", "wavy {c}hair", "long {c}waves"),
    "long curly": ("long curly {c}hair", "long {c}curls"),
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
    "stubble": ("stubble", "a stubbly chin", "some stubble"),
    "full beard": ("a {c}full beard", "a full {c}beard", "a {c}beard"),
    "moustache": ("a {c}moustache", "a {c}mustache"),
    "goatee": ("a {c}chin beard", "a small {c}beard on the chin", "a short {c}chin beard"),
}
GLASSES = {
    "round glasses": ("round {c}glasses", "{c}round glasses", "glasses with round {c}frames"),
    "square glasses": ("square {c}glasses", "{c}square glasses", "glasses with square {c}frames"),
    "cat-eye glasses": ("{c}cat-eye glasses", "glasses with {c}cat-eye frames"),
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
    "sun hat": ("sun hat", "hat", "wide-brimmed hat"),
}
CLOTH_COLORS = {
    "burgundy": ("burgundy", "wine-red", "dark red"),
    "mustard": ("mustard", "mustard-yellow"),
    "olive": ("olive", "olive-green"),
    "mint": ("mint", "mint-green", "pale green"),
    "sky blue": ("sky blue", "light blue"),
    "navy": ("navy", "navy blue", "dark blue"),
    "lilac": ("lilac", "light purple"),
    "grey": ("grey", "gray"),
    "charcoal": ("charcoal", "dark grey"),
    "cream": ("cream", "cream-coloured"),
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
