"""What everyday words mean in the recipe's own (`rodin.synth.recipe`): written by hand, from general knowledge.

Entries are separated by commas. An entry of several words is read as a whole before any of its words is; hyphens are
spaces, and a plural in s needs no entry of its own. A meaning of several values leaves the choice among them open.

A word that cannot be said of the recipe has no entry, and is named as not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

#: An attribute of the recipe and the values that a word allows, the likeliest first.
Meaning = tuple[str, tuple[str, ...]]


def _split(table: Mapping[str, str]) -> dict[str, str]:
    """{entry: key} of a table {key: "entry, entry"}.

    Raises:
        ValueError: an entry stands twice.
    """
    found: dict[str, str] = {}
    for key, entries in table.items():
        for entry in (" ".join(one.split()) for one in entries.split(",")):
            if entry in found:
                raise ValueError(f"{entry!r} means both {found[entry]!r} and {key!r}")
            found[entry] = key
    return found


def _words(text: str) -> list[str]:
    return [" ".join(word.split()) for word in text.split(",")]


# ---- who

#: Sex, and where it is said the age, by the noun.
PEOPLE = _split(
    {
        "man": """man, men, guy, gentleman, gentlemen, male, bloke, chap, fellow, fella, dude, lad, gent, mister,
            mr, sir,
            husband, father, dad, daddy, papa, brother, uncle, nephew, groom, bachelor, boyfriend, king, prince,
            monk, priest, friar, wizard, sorcerer, warlock, viking, sailor, soldier, lumberjack, cowboy, fisherman,
            fireman, policeman, businessman, salesman, postman, craftsman, knight, samurai, pirate, waiter, actor,
            barber, footballer, hipster, bodybuilder, blacksmith, bro, macho, widower, duke, lord, emperor, macho man,
            sportsman, mailman, milkman, caveman, chairman, spokesman, repairman, cameraman, stuntman, nobleman,
            handyman, serviceman, congressman, masculine, manly""",
        "woman": """woman, women, lady, ladies, female, gal, lass, dame, madam, ma'am, mrs, ms, wife, mother, mum, mom,
            mommy, mummy, sister, aunt, auntie, aunty, niece, bride, girlfriend, queen, princess, nun, witch,
            sorceress, ballerina, actress, waitress, businesswoman, saleswoman, policewoman, sportswoman, hostess,
            stewardess, heroine, mermaid, matron, widow, housewife, chick, duchess, empress, goddess, fairy, cowgirl,
            seamstress, priestess, mademoiselle, senora, heiress, spokeswoman, congresswoman, noblewoman, feminine,
            womanly, geisha, diva, maid, governess""",
        "boy": "boy, schoolboy, little boy, son, choirboy, altar boy, young boy, small boy, baby boy, boy scout",
        "girl": """girl, schoolgirl, little girl, daughter, young girl, small girl, baby girl, girl scout, lassie, wee
            lass""",
        "child": """child, children, kid, kiddie, kiddo, toddler, infant, baby, preschooler, kindergartner,
            kindergartener, schoolchild, pupil, tot, tyke, nipper, youngster, minor, bairn, small child, little child,
            young child, little one, pre teen, preteen, tween, first grader, toddling, newborn""",
        "young": """teenager, teen, adolescent, twentysomething, twenty something, thirtysomething, thirty something,
            student, undergraduate, youth, millennial, young adult, young person, freshman, college kid""",
        "young man": "young man, young guy, young lad, teenage boy, teen boy, college guy, young fellow",
        "young woman": "young woman, young lady, teenage girl, teen girl, college girl, damsel, maiden, debutante",
        "elderly": """pensioner, retiree, octogenarian, nonagenarian, septuagenarian, sexagenarian, centenarian, elder,
            senior citizen, grandparent, old timer, oldster, old person, senior""",
        "elderly man": """grandfather, grandpa, granddad, grandad, gramps, grampa, old man, geezer, codger, old boy,
            great grandfather, patriarch, old guy, santa claus, santa""",
        "elderly woman": """grandmother, grandma, granny, nana, gran, crone, old woman, old lady, great grandmother,
            matriarch, hag, old girl, little old lady, dowager""",
        "adult": "adult, grown up, grownup, middle aged person",
        # Somebody of any sex, and something more that cannot be drawn.
        "of a kind": """teacher, doctor, nurse, chef, cook, baker, engineer, lawyer, judge, scientist, artist, painter,
            musician, singer, dancer, drummer, guitarist, lifeguard, surfer, skater, athlete, boxer, wrestler, runner,
            cyclist, driver, pilot, astronaut, farmer, gardener, builder, plumber, electrician, mechanic, carpenter,
            librarian, accountant, clerk, banker, manager, boss, office worker, worker, programmer, developer, hacker,
            designer, photographer, writer, author, poet, journalist, reporter, politician, president, minister,
            professor, researcher, detective, spy, thief, guard, warrior, elf, dwarf, hobbit, vampire, zombie, angel,
            devil, alien, superhero, villain, ninja, hippie, punk, goth, nerd, geek, rapper, tourist, traveller,
            traveler, neighbour, neighbor, patient, survivor, celebrity, gamer, mayor, miner, butcher, tailor,
            firefighter, police officer, officer, paramedic, surgeon, dentist, vet, coach, player, tennis player""",
        # Nothing but that it is somebody, of any sex.
        "": """person, people, someone, somebody, character, avatar, human, individual, figure, portrait, bust, subject,
            human being, pal, friend, buddy, mate, model, folk""",
    }
)
PERSON_MEANINGS: dict[str, tuple[Meaning, ...]] = {
    "man": (("sex", ("man",)), ("age", ("young", "elderly"))),
    "woman": (("sex", ("woman",)), ("age", ("young", "elderly"))),
    "boy": (("sex", ("man",)), ("age", ("child",))),
    "girl": (("sex", ("woman",)), ("age", ("child",))),
    "child": (("age", ("child",)),),
    "young": (("age", ("young",)),),
    "young man": (("sex", ("man",)), ("age", ("young",))),
    "young woman": (("sex", ("woman",)), ("age", ("young",))),
    "elderly": (("age", ("elderly",)),),
    "elderly man": (("sex", ("man",)), ("age", ("elderly",))),
    "elderly woman": (("sex", ("woman",)), ("age", ("elderly",))),
    "adult": (("age", ("young", "elderly")),),
    "of a kind": (),
    "": (),
}
AGES = _split(
    {
        "child": "in kindergarten, of school age, in primary school, in elementary school, childlike, tiny tot",
        "young": """young, youthful, younger, teenage, teenaged, adolescent age, college aged, college age, in their
            prime, in his prime, in her prime, thirtyish, twentyish, middle aged, midlife, mid aged, adult aged""",
        "elderly": """elderly, old, older, aged, ancient, senior aged, retired, wizened, geriatric, venerable, wrinkled,
            wrinkly, wrinkles, crow's feet, grizzled, silver aged, hoary, long retired, in old age, of great age""",
    }
)
#: The last year of each age but the last. The recipe has no age between young and elderly.
LAST_YEARS = {"child": 12, "young": 49, "elderly": 130}
NUMBERS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
}
TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 1
    )
}
DECADES = {
    word: 10 * value
    for value, word in enumerate(
        ["tens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties"], 1
    )
} | {"teens": 13}

#: What is said of people, as the skins that it allows. Whoever wants one of them names the skin.
ORIGINS = _split(
    {
        "dark": """african, nigerian, kenyan, ghanaian, ethiopian, somali, senegalese, congolese, sudanese, ugandan,
            sub saharan african, west african, east african, black african, malian, tanzanian, zulu, maasai,
            papuan, melanesian""",
        "brown, dark": """african american, afro american, jamaican, haitian, caribbean, afro caribbean, afro latina,
            afro latino, afro brazilian, aboriginal, black british, sri lankan, tamil, south african""",
        "brown, tan": """south asian, indian, pakistani, bangladeshi, desi, nepali, nepalese, polynesian, samoan, maori,
            hawaiian, pacific islander, native american, indigenous, first nations, peruvian, bolivian, mixed race,
            biracial, multiracial, malay, malaysian, indonesian, filipino, filipina, southeast asian, south east
            asian, cambodian, moroccan, egyptian, north african, algerian, tunisian""",
        "tan, light": """latina, latino, latinx, latin american, hispanic, mexican, colombian, cuban, puerto rican,
            venezuelan, middle eastern, arab, arabic, arabian, persian, iranian, turkish, lebanese, syrian, iraqi,
            mediterranean, greek, italian, spanish, sicilian, portuguese, thai, vietnamese, central asian, mongolian,
            berber, kurdish, romani, israeli, afghan""",
        "light": """east asian, asian, chinese, japanese, korean, taiwanese, asian american""",
        "light, pale": """caucasian, european, german, english, british, french, russian, polish, dutch, american
            european, ukrainian, australian european, austrian, swiss, belgian, czech, hungarian, eastern european,
            western european, slavic""",
        "pale": "irish, scottish, swedish, norwegian, danish, finnish, icelandic, nordic, scandinavian, celtic, welsh",
    }
)

PRONOUNS = {"he": "man", "she": "woman"}

# ---- colours

#: Colour words by hue; what a hue is of hair, skin, eyes, cloth or frames stands below.
HUES = _split(
    {
        "red": """red, crimson, scarlet, ruby, ruby red, cherry, cherry red, vermilion, vermillion, cardinal, maroon,
            burgundy, wine red, claret, blood red, brick red, bordeaux, oxblood, tomato red, fire engine red, fiery
            red, cranberry, carmine, reddish, rosewood, garnet, raspberry red, lipstick red""",
        "orange": """orange, tangerine, amber orange, peach, apricot, coral, pumpkin, rust, rust orange, rust coloured,
            rusty orange, burnt orange, terracotta, carrot orange, bright orange, mandarin, persimmon, orangey""",
        "ginger": """ginger, copper, coppery, auburn, carrot, carrot coloured, carroty, titian, orange red, rusty,
            rusty red, copper red, strawberry red, flame coloured, henna, hennaed, russet, fox red, foxy red""",
        "yellow": """yellow, lemon, lemon yellow, mustard, mustard yellow, canary, canary yellow, sunflower, saffron,
            daffodil, banana yellow, primrose, buttercup, ochre, sunny yellow, yellowish""",
        "blond": """blond, blonde, flaxen, flaxen blond, towheaded, tow headed, sandy, sandy blond, straw coloured,
            straw blond, wheat coloured, wheaten, corn coloured, platinum, platinum blond, platinum blonde, honey
            blond, honey blonde, strawberry blond, strawberry blonde, ash blond, ash blonde, dirty blond, dirty
            blonde, dishwater blond, golden blond, golden blonde, sun bleached, sun kissed blond, bleached, bleached
            blond, bleached blonde, blondish, fair haired, sandy coloured, champagne blond""",
        "gold": "gold, golden, gilt, gilded, brass, brassy, gold coloured",
        "green": """green, emerald, emerald green, lime, lime green, olive green, mint, mint green, forest green, moss,
            moss green, mossy, jade, sage, sage green, bottle green, pea green, grass green, seaweed green, sea
            green, hunter green, apple green, pistachio, chartreuse, teal green, khaki green, army green, avocado,
            leaf green, greenish, teal, pine green, kelly green, neon green""",
        "blue": """blue, navy, navy blue, royal blue, azure, cobalt, cobalt blue, sapphire, sapphire blue, sky blue,
            baby blue, powder blue, cyan, turquoise, aqua, aquamarine, cerulean, electric blue, midnight blue, denim,
            denim blue, steel blue, ice blue, icy blue, ocean blue, cornflower, cornflower blue, ultramarine, petrol,
            peacock blue, bluish, indigo blue, prussian blue""",
        "purple": """purple, violet, lilac, lavender, mauve, plum, plum coloured, aubergine, eggplant, indigo, indigo
            purple, amethyst, grape, grape coloured, mulberry, heather, orchid, purplish, periwinkle""",
        "pink": """pink, rose, rose pink, rose coloured, rosy pink, fuchsia, fuchsia pink, fuschia, magenta, magenta
            pink, hot pink, salmon, salmon pink, bubblegum, bubblegum pink, bubble gum pink, candy pink, blush, cerise,
            flamingo pink, baby pink, pinkish, shocking pink, dusty pink, neon pink""",
        "white": """white, snow white, snowy, snowy white, ivory, ivory white, cream, creamy, cream coloured, off white,
            pearl, pearly, pearl white, milk white, chalk white, bone white, eggshell, whitish, lily white, pure white,
            paper white, white as snow""",
        "grey": """grey, gray, greying, graying, ash, ashen, ash grey, ash gray, ashy, slate, slate grey, slate gray,
            charcoal grey, charcoal gray, steel grey, steel gray, greyish, grayish, salt and pepper, pepper and salt,
            iron grey, iron gray, gunmetal, smoky grey, smoky gray, stone grey, pewter, dove grey, ashen grey, ashen
            gray""",
        "silver": """silver, silvery, silver grey, silver gray, chrome, silvery grey, silver white, silvery white,
            metallic""",
        "black": """black, jet, jet black, raven, raven black, ebony, coal black, inky, inky black, onyx, pitch black,
            midnight black, obsidian, sable, charcoal, sooty, sooty black, ink black, tar black, coal, blackish, soot
            black, raven dark, charcoal black""",
        "brunette": "brunette, brunet",
        "brown": """brown, chestnut, chestnut brown, chocolate, chocolate brown, chocolatey, hazelnut,
            walnut, walnut brown, mahogany, coffee, coffee brown, espresso, espresso brown, cocoa, cocoa brown, mocha,
            caramel, caramel brown, toffee, cinnamon, umber, sepia, tawny, tawny brown, nut brown, mousy, mousy brown,
            mousey, mousey brown, mouse brown, brownish, chocolate coloured, hickory, oak brown, umber brown, bronze
            brown, conker, russet brown, reddish brown, chestnut coloured, tobacco""",
        "beige": "beige, tan, camel, khaki, sand coloured, fawn, taupe, biscuit, nude, buff, oatmeal, tan coloured",
        "hazel": "hazel, hazel brown, hazel green, amber, honey, honey coloured, honey brown",
        "olive": "olive, olive toned, olive coloured",
        "dark": "dark, dusky, darkish, very dark, deep dark",
        "light": "light, lightish, light toned",
        "pale": """pale, very light, very pale, pallid, pasty, porcelain, alabaster, milky, milky pale, milky white,
            fair, very fair, fair toned, peaches and cream, deathly pale, rosy, chalky, ghostly, wan, pale pink,
            chalk pale, peachy""",
        "tanned": """tanned, suntanned, sun tanned, bronzed, bronze, sun kissed, sunkissed, sunburnt, sunburned,
            swarthy,
            weather beaten, weathered, golden brown, lightly tanned, heavily tanned, honeyed, sallow, medium, light
            brown, medium light, wheatish, honey toned""",
        "deep": """dark brown, deep brown, deep, very dark brown, dark chocolate, ebony black, dark toned, blue black,
            deep black, dark ebony, deep ebony, mahogany brown""",
        "mid brown": "medium brown, mid brown, warm brown, medium dark, rich brown",
    }
)
#: Before another colour these say how much of it there is, and no more.
SHADES = frozenset(
    _words(
        """dark, light, pale, deep, bright, vivid, soft, pastel, neon, medium, rich, dull, dusty, dusky, faded, intense,
    electric, hot, warm, cool, cold, muted, strong, very, natural, naturally, dyed, burnt, ash, icy, burnished,
    lustrous, shiny, glossy, matte, metallic, smoky, mid, solid, plain, pure, fiery, golden, olive, rosy, creamy,
    milky, snowy, silvery, inky, rusty, copper, reddish, bluish, greenish, yellowish, brownish, greyish, grayish,
    blackish, purplish, pinkish, orangey, heavily, lightly, deeply, slightly"""
    )
)
_ALIKE = {
    hue: (hue,) for hue in ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "grey", "black")
}
#: What each hue is of each thing. A hue without an entry cannot be said of it.
HAIR_HUES: dict[str, tuple[str, ...]] = {
    **_ALIKE,
    "orange": ("red",),
    "ginger": ("red",),
    "yellow": ("blond",),
    "blond": ("blond",),
    "gold": ("blond",),
    "silver": ("grey",),
    "brown": ("brown",),
    "brunette": ("brown",),
    "beige": ("blond",),
    "hazel": ("brown",),
    "dark": ("black", "brown"),
    "light": ("blond",),
    "pale": ("blond",),
    "deep": ("brown",),
    "mid brown": ("brown",),
    "tanned": ("brown",),
}
SKIN_HUES: dict[str, tuple[str, ...]] = {
    "black": ("dark",),
    "brown": ("brown",),
    "beige": ("tan",),
    "white": ("pale",),
    "pink": ("pale",),
    "dark": ("dark",),
    "deep": ("dark",),
    "mid brown": ("brown",),
    "light": ("light",),
    "pale": ("pale",),
    "tanned": ("tan",),
    "olive": ("tan",),
    "hazel": ("tan",),
    "gold": ("tan",),
}
EYE_HUES: dict[str, tuple[str, ...]] = {
    "brown": ("brown",),
    "black": ("brown",),
    "dark": ("brown",),
    "deep": ("brown",),
    "mid brown": ("brown",),
    "tanned": ("brown",),
    "hazel": ("hazel",),
    "gold": ("hazel",),
    "green": ("green",),
    "olive": ("green",),
    "blue": ("blue",),
    "light": ("blue", "grey"),
    "pale": ("blue", "grey"),
    "grey": ("grey",),
    "silver": ("grey",),
}
CLOTH_HUES: dict[str, tuple[str, ...]] = {
    **_ALIKE,
    "ginger": ("orange",),
    "blond": ("yellow",),
    "gold": ("yellow",),
    "silver": ("grey",),
    "brown": ("brown",),
    "beige": ("brown",),
    "hazel": ("brown",),
    "olive": ("green",),
    "deep": ("brown",),
    "mid brown": ("brown",),
    "tanned": ("brown",),
    "dark": ("black",),
}
FRAME_HUES: dict[str, tuple[str, ...]] = {
    "black": ("black",),
    "dark": ("black",),
    "brown": ("brown",),
    "deep": ("brown",),
    "mid brown": ("brown",),
    "hazel": ("brown",),
    "gold": ("gold",),
    "yellow": ("gold",),
    "silver": ("silver",),
    "grey": ("silver",),
    "red": ("red",),
}
HUES_OF = {
    "hair_color": HAIR_HUES,
    "skin": SKIN_HUES,
    "eyes": EYE_HUES,
    "top_color": CLOTH_HUES,
    "hat_color": CLOTH_HUES,
    "glasses_color": FRAME_HUES,
}
#: Beside a person, without another noun, these are of the hair; the others of `SKIN_HUES` are of the skin.
HAIR_OF_PEOPLE = ("ginger", "blond", "brunette", "grey", "silver", "red", "gold")
#: Of these no other thing is said: they need no noun.
OF_HAIR_ALONE = ("ginger", "blond", "brunette")
OF_SKIN_ALONE = ("pale", "tanned", "olive")
WHITE_PEOPLE = ("light", "pale")  # the skin of "a white man"; white skin is pale
BLACK_PEOPLE = ("dark",)
BROWN_PEOPLE = ("brown",)
#: Colour words that name who has the hair.
HAIRED = _split(
    {
        "red": "redhead, redheaded, red headed, red head, carrot top, carrottop, ginge",
        "blond": "blondie, towhead",
        "brown": "brunettes",
        "grey": "silver fox, greybeard, graybeard, silver haired fox",
        "white": "whitebeard",
    }
)


# ---- things


class Thing(Enum):
    """What a noun is, by the attribute of its colour."""

    HAIR = "hair_color"
    BEARD = "beard"
    SKIN = "skin"
    EYES = "eyes"
    GLASSES = "glasses_color"
    HAT = "hat_color"
    TOP = "top_color"


@dataclass(frozen=True, slots=True)
class Noun:
    """A word for a thing, and what it says beyond that the thing is there.

    Args:
        thing: what it is of.
        attribute, values: what it says; without values that the thing is there, of whatever kind.
    """

    thing: Thing
    attribute: str
    values: tuple[str, ...] = ()


def _nouns(thing: Thing, attribute: str, table: Mapping[str, str]) -> dict[str, Noun]:
    """Nouns of a thing by their words; keys are values, the likeliest first, joined by " | "; "" = any."""
    return {
        entry: Noun(thing, attribute, tuple(key.split(" | ")) if key else ()) for entry, key in _split(table).items()
    }


NOUNS: dict[str, Noun] = {
    **_nouns(
        Thing.HAIR,
        "hair",
        {
            "": """hair, haired, hairs, tresses, locks, mane, hairdo, hairstyle, haircut, head of hair, coif, coiffure,
                hair colour, hair color, hairs colour""",
            "bald": """bald, bald head, bald headed, baldness, baldy, hairless, hairless head, shaved head, shaven head,
                shaven headed, shaved headed, bald pate, balding, completely bald, totally bald, bald patch, cueball,
                cue ball, chrome dome, slaphead, skinhead, bare scalp, smooth scalp, shiny scalp, head shaved, head
                is shaved, shaved his head, shaved her head, shaves his head, bald as a coot, head is bare""",
            "buzz cut": """buzz cut, buzzcut, buzz, crew cut, crewcut, crop, cropped hair, close crop, closely
                cropped hair, close cropped hair, very short hair,
                stubbly hair, military cut, military haircut, buzzed hair, shorn hair, ivy league cut,
                number two cut, short back and sides, head shorn, army cut, induction cut, flat top, flattop,
                butch cut, stubble hair, clipped hair""",
            "short": """short hair, short haired, hair cut short, short haircut, pixie, pixie cut, short cut,
                caesar cut,
                side parting, fade, fade haircut, undercut, hair trimmed short, bowl cut, shortish hair, pixie hair""",
            "quiff": """quiff, pompadour, elvis hair, rockabilly hair, ducktail, swept up hair, hair swept up,
                brushed up
                hair, hair brushed up, slicked up hair, elvis pompadour, teddy boy hair, elvis quiff""",
            "mohawk": """mohawk, mohican, mohawks, faux hawk, fauxhawk, fohawk, punk hair, liberty spikes, punk hairdo,
                mowhawk, mohawked, iroquois""",
            "curly": """curly hair, curls, short curly hair, curly haired, ringlets, ringlet, curled hair,
                perm, permed, permed hair, corkscrew curls, tight curls, springy curls, frizz, frizzy hair,
                corkscrews, curly locks, short curls, curls cropped short, curly mop, jheri curl""",
            "afro": """afro, fro, afro hair, afros, natural afro, afro textured hair, big afro, jewfro, afro puff, kinky
                hair, coily hair""",
            "bob": """bob, bob cut, bobbed, bobbed hair, bob haircut, pageboy, pageboy cut, page boy, chin length hair,
                shoulder length hair, shoulder length, jaw length hair, lob, long bob, chin length, medium length hair,
                pageboy bob""",
            "long straight | long wavy": """long hair, long haired, longhaired, waist length hair, hair down to the
                waist,
                flowing hair, flowing locks, long locks, long tresses, hair to the waist, long mane, hippie hair,
                rapunzel hair, floor length hair""",
            "long straight": """straight hair, straight haired, long straight hair, poker straight hair, sleek hair,
                straightened hair, long sleek hair, straight long hair""",
            "long wavy": """wavy hair, waves, long wavy hair, wavy haired, beach waves, long waves, loose waves,
                wavy locks, tousled waves, rippling hair, wavy long hair, mermaid hair, long curly hair, long curls,
                long loose curls, flowing waves, undulating hair""",
            "ponytail": """ponytail, pony tail, ponytails, ponytailed, pony, high ponytail, low ponytail, hair tied
                back,
                tied back hair, tied back, pulled back hair, hair pulled back""",
            "bun": """bun, hair bun, chignon, topknot, top knot, updo, up do, man bun, french twist, beehive,
                ballet bun,
                bun hair, hair pinned up, pinned up hair, knot of hair, hair tied up, hair put up, hair up, tied up,
                messy bun, ballerina bun, hair knot""",
            "braids": """braids, braid, braided hair, plaits, plait, pigtails, pigtail, two braids, plaited hair,
                cornrows,
                box braids, dreadlocks, dreads, twin braids, french braids, hair in braids, bunches, plaited pigtails,
                pigtail braids""",
        },
    ),
    **_nouns(
        Thing.BEARD,
        "beard",
        {
            "full beard | chin beard": "beard, bearded, beards, beardy",
            "full beard | chin beard | moustache": "facial hair, whiskers, whiskered, whiskery",
            "full beard": """full beard, bushy beard, thick beard, long beard, big beard, stubble, stubbly, unshaven,
                five o'clock shadow, scruff, scruffy beard, lumberjack beard, mutton chops, sideburns, santa beard,
                viking beard, wizard beard, huge beard, flowing beard, heavy beard, great beard, boxed beard,
                stubble beard, hipster beard""",
            "moustache": """moustache, mustache, moustaches, mustaches, tache, stache, handlebar moustache, handlebar
                mustache, walrus moustache, walrus mustache, pencil moustache, pencil mustache, moustached, mustached,
                moustachioed, mustachioed, handlebars, mo, moustachio, chevron moustache, hairy upper lip, horseshoe
                moustache, horseshoe mustache""",
            "chin beard": """chin beard, goatee, goatees, goateed, van dyke, vandyke, soul patch, chin strap, chinstrap,
                chin whiskers, tuft of beard, chin tuft, beard on the chin, beard on his chin, chin puff, goatee beard,
                chin hair, small beard on the chin, billy goat beard, imperial beard, chin curtain, pointed beard""",
        },
    ),
    **_nouns(
        Thing.SKIN,
        "skin",
        {
            "": """skin, skinned, complexion, complected, complexioned, skin tone, skin colour, skin color, skin
            toned, toned, """
            "visage, tone of skin, face, faced"
        },
    ),
    **_nouns(Thing.EYES, "eyes", {"": "eyes, eye, eyed, irises, iris, eye colour, eye color, gaze"}),
    **_nouns(
        Thing.GLASSES,
        "glasses",
        {
            "round glasses | square glasses": """glasses, spectacles, specs, eyeglasses, eyeglass, eyewear, reading
                glasses, bespectacled, spectacled, frames, lenses, pair of glasses, goggles, glass, spectacle, rims,
                horn rims, horn rimmed glasses, rimmed glasses, wire spectacles, wire glasses, monocle, bifocals,
                glasses frame, glasses frames""",
            "round glasses": """round glasses, round spectacles, round specs, john lennon glasses, harry potter glasses,
                circular glasses, lennon glasses, round lenses, circular frames, round frames, round eyeglasses,
                round wire spectacles, round rims, oval glasses, circular lenses, granny glasses""",
            "square glasses": """square glasses, square spectacles, square specs, rectangular glasses, square lenses,
                rectangular frames, square frames, rectangular spectacles, square eyeglasses, thick rimmed glasses,
                wayfarer glasses, boxy glasses, square rims, angular glasses, square shaped glasses,
                rectangular lenses""",
            "sunglasses": """sunglasses, shades, sunnies, aviators, aviator, aviator glasses, aviator sunglasses, ray
                bans, raybans, dark glasses, sun glasses, mirrored glasses, mirrored shades, tinted glasses, wayfarers,
                wraparounds, wraparound shades, sunglass, dark shades, cool shades, tinted lenses, dark lenses,
                black shades""",
        },
    ),
    **_nouns(
        Thing.HAT,
        "hat",
        {
            "": """hat, hats, headgear, headwear, head covering, hatted, head cover, something on his head, something on
                her head""",
            "fedora": """fedora, felt hat, trilby, brimmed hat, bowler, bowler hat, panama, panama hat, homburg, cowboy
                hat, stetson, sun hat, straw hat, top hat, wide brimmed hat, boater, pork pie hat, witch hat, wizard
                hat, sombrero, brimmed""",
            "beanie": """beanie, knitted cap, knit cap, woolly hat, wool hat, woolen hat, woollen hat, wooly hat,
                knitted
                hat, bobble hat, toque, tuque, ski hat, winter hat, stocking cap, watch cap, skull cap, skullcap,
                beanies, beanie hat, woolen cap, wool cap, knit hat, bonnet""",
            "baseball cap": """baseball cap, cap, ball cap, trucker hat, trucker cap, snapback, peaked cap,
                baseball hat,
                sports cap, caps, flat cap, newsboy cap, visor cap, capped""",
        },
    ),
    **_nouns(
        Thing.TOP,
        "top",
        {
            "": """top, tops, clothes, clothing, clothed, clad, outfit, garment, garb, attire, dress, robe, robes,
                jacket,
                coat, suit, gown, uniform, cloak, blazer, tunic, apparel, costume, kimono, dressed, overalls, vest,
                waistcoat, poncho, anorak, raincoat, parka, tracksuit""",
            "T-shirt": """t shirt, tshirt, tee, tee shirt, tees, t shirts, tank top, singlet, undershirt, jersey,
                football
                shirt, football jersey, camisole, crop top, basketball jersey, sleeveless top""",
            "hoodie": """hoodie, hooded sweatshirt, hoody, hooded top, hooded jumper, hooded sweater, hoodies, hooded,
                zip up hoodie, hood, hooded jacket""",
            "turtleneck": """turtleneck, turtle neck, polo neck, polo neck sweater, turtleneck sweater, roll neck,
                rollneck, mock neck, mock turtleneck, high neck sweater, high necked sweater, turtleneck jumper,
                polo neck jumper, roll neck sweater, high collar""",
            "collared shirt": """collared shirt, shirt, shirts, button up, button up shirt, button down, button
                down shirt,
                dress shirt, blouse, shirt with a collar, flannel shirt, polo, polo shirt, plaid shirt, oxford shirt,
                denim shirt, flannel, white collar shirt, hawaiian shirt, linen shirt, formal shirt, checked shirt,
                business shirt""",
            "V-neck sweater": """v neck sweater, v neck, v neck pullover, v neck jumper, v necked sweater, vneck,
                cardigan,
                v necked jumper, v neck cardigan""",
            "crew-neck sweater": """crew neck sweater, crew neck, crewneck, crewneck sweater, round neck sweater,
                sweatshirt, crew neck jumper, fleece""",
            "crew-neck sweater | V-neck sweater": """sweater, jumper, pullover, knitwear, sweaters, jumpers, woolly
                jumper,
                knit sweater, knitted sweater, christmas jumper, wool sweater, knitted jumper, woollen sweater, cashmere
                sweater, woolly, knitted pullover""",
        },
    ),
}
#: Adjectives that choose a style or kind where the noun leaves it open.
ADJECTIVES: dict[str, dict[Thing, tuple[str, ...]]] = {
    "long": {Thing.HAIR: ("long straight", "long wavy"), Thing.BEARD: ("full beard",)},
    "waist length": {Thing.HAIR: ("long straight", "long wavy")},
    "flowing": {Thing.HAIR: ("long wavy", "long straight"), Thing.BEARD: ("full beard",)},
    "short": {Thing.HAIR: ("short",)},
    "trimmed": {Thing.HAIR: ("short",)},
    "snipped": {Thing.HAIR: ("short",)},
    "straight": {Thing.HAIR: ("long straight",)},
    "poker straight": {Thing.HAIR: ("long straight",)},
    "wavy": {Thing.HAIR: ("long wavy",)},
    "rippling": {Thing.HAIR: ("long wavy",)},
    "curly": {Thing.HAIR: ("curly",)},
    "curled": {Thing.HAIR: ("curly",)},
    "frizzy": {Thing.HAIR: ("curly",)},
    "frizzled": {Thing.HAIR: ("curly",)},
    "permed": {Thing.HAIR: ("curly",)},
    "cropped": {Thing.HAIR: ("buzz cut",)},
    "closely cropped": {Thing.HAIR: ("buzz cut",)},
    "close cropped": {Thing.HAIR: ("buzz cut",)},
    "very short": {Thing.HAIR: ("buzz cut",)},
    "shorn": {Thing.HAIR: ("buzz cut",)},
    "buzzed": {Thing.HAIR: ("buzz cut",)},
    "braided": {Thing.HAIR: ("braids",)},
    "plaited": {Thing.HAIR: ("braids",)},
    "sleek": {Thing.HAIR: ("long straight",)},
    "full": {Thing.BEARD: ("full beard",)},
    "bushy": {Thing.BEARD: ("full beard",)},
    "thick": {Thing.BEARD: ("full beard",)},
    "huge": {Thing.BEARD: ("full beard",)},
    "big": {Thing.BEARD: ("full beard",)},
    "mighty": {Thing.BEARD: ("full beard",)},
    "unkempt": {Thing.BEARD: ("full beard",)},
    "pointed": {Thing.BEARD: ("chin beard",)},
    "pointy": {Thing.BEARD: ("chin beard",)},
    "small": {Thing.BEARD: ("chin beard",)},
    "round": {Thing.GLASSES: ("round glasses",)},
    "circular": {Thing.GLASSES: ("round glasses",)},
    "square": {Thing.GLASSES: ("square glasses",)},
    "rectangular": {Thing.GLASSES: ("square glasses",)},
    "tinted": {Thing.GLASSES: ("sunglasses",)},
    "mirrored": {Thing.GLASSES: ("sunglasses",)},
    "knitted": {Thing.HAT: ("beanie",), Thing.TOP: ("crew-neck sweater", "V-neck sweater")},
    "woolly": {Thing.HAT: ("beanie",), Thing.TOP: ("crew-neck sweater", "V-neck sweater")},
}
#: What is there or not, without a colour: fringe, freckles, earrings.
MARKS: dict[str, str] = _split(
    {
        "fringe": "fringe, bangs, fringed",
        "freckles": "freckles, freckled, freckle, freckly, freckled face, freckled cheeks",
        "earrings": "earrings, earring, ear rings, ear studs, hoop earrings, hoops, studs, ear jewellery, ear jewelry",
    }
)
#: Words that deny by themselves, as what is not there.
ABSENT: dict[str, str] = _split(
    {
        "beard": """clean shaven, cleanshaven, shaven, shaved, smooth shaven, freshly shaved, freshly shaven, clean
            shaved,
            well shaven, beardless, unbearded, smooth cheeked, smooth faced, shaved face, smooth face, bare faced,
            barefaced, babyfaced, baby faced, whiskerless""",
        "hat": """bare headed, bareheaded, hatless, head uncovered, uncovered head, bare head, nothing on his head,
            nothing on her head, nothing on their head, nothing on the head, head bare, capless""",
        "glasses": "glassless, spectacleless, bare eyed, unspectacled, with the naked eye, glassesless",
        "freckles": "unfreckled, freckleless, clear skin, flawless skin",
        "earrings": "unpierced ears, unadorned ears, earringless",
        "fringe": "bare forehead, forehead bare, open forehead, forehead uncovered, high forehead",
    }
)
EXPRESSIONS = _split(
    {
        "neutral": """neutral, calm, blank, expressionless, serious, relaxed, poker faced, deadpan, composed, solemn,
            stern, straight faced, poker face, neutral expression, blank expression, serious expression, looking calm,
            looks calm, impassive, stoic, unsmiling, pensive, thoughtful, unemotional""",
        "smiling": """smiling, smile, smiles, happy, cheerful, friendly, content, pleased, cheery, smiley, merry,
            kindly,
            good natured, beaming softly, glad, joyful, jolly, warm smile, happily, looking happy, friendly smile""",
        "grinning": """grinning, grin, grins, beaming, laughing, laugh, laughs, toothy grin, big smile, broad
            smile, wide
            smile, broad grin, wide grin, toothy, grinning broadly, laughing out loud, ecstatic, delighted, overjoyed,
            toothy smile, broadly smiling, smiling broadly, big grin, huge smile, smiling widely, chuckling""",
        "frowning": """frowning, frown, frowns, angry, cross, scowling, scowl, scowls, grumpy, mad, furious, annoyed,
            glaring, glowering, irritated, stern frown, ill tempered, bad tempered, enraged, moody""",
        "sad": """sad, unhappy, sorrowful, crying, melancholy, gloomy, depressed, miserable, tearful, downcast, glum,
            looking sad, looks sad, sad expression, sad look, weeping, mournful, upset, sad faced, looking unhappy,
            heartbroken, grieving, dejected, melancholic""",
        "surprised": """surprised, amazed, astonished, shocked, startled, stunned, wide eyed, surprise, open mouthed,
            flabbergasted, surprised look, looking surprised, looks surprised, looking amazed, astounded, gobsmacked,
            bewildered, in awe, scared, frightened, in shock""",
    }
)
FACES = _split(
    {
        "oval": "oval face, oval faced, egg shaped face, oval shaped face",
        "round": "round face, round faced, moon faced, moon face, cherubic face, circular face, rounded face",
        "square": "square face, square faced, square jaw, square jawed, angular face, chiselled jaw, chiseled jaw",
        "heart-shaped": "heart shaped face, heart shaped, heart face, pointed chin",
        "long": "long face, long faced, oblong face, narrow face, elongated face, thin face",
        "diamond-shaped": "diamond shaped face, diamond shaped, diamond face",
    }
)
LIGHTINGS = _split(
    {
        "studio": "studio light, studio lighting, in a studio, studio, studio portrait, studio lit",
        "soft": """soft light, flat light, soft lighting, diffuse light, overcast, softly lit, even light, diffused
            light""",
        "warm": """warm light, evening sun, warm lighting, golden hour, sunset light, candlelight, at sunset, candlelit,
            warmly lit, firelight, evening light""",
        "cool": """cool light, cold light, cool lighting, cold lighting, moonlight, blue light, moonlit,
            fluorescent light""",
        "side": """from the side, side light, side lighting, side lit, lit from the side, light from the side,
            sidelight,
            dramatic lighting, rim light""",
    }
)
#: Traits of the head's shape, each a name and a sign.
TRAITS = _split(
    {
        "nose_length +": "big nose, large nose, long nose, prominent nose, huge nose, hooked nose",
        "nose_length -": "small nose, little nose, short nose, button nose, tiny nose, snub nose, petite nose",
        "nose_length + nose_width +": """big wide nose, large broad nose, big broad nose, large wide nose, long
            wide nose""",
        "nose_length + nose_width -": "long narrow nose, long thin nose",
        "nose_length - nose_width +": "short wide nose, small wide nose, short broad nose",
        "nose_length - nose_width -": "small narrow nose, small thin nose",
        "nose_width +": "wide nose, broad nose, flat nose, bulbous nose",
        "nose_width -": "narrow nose, thin nose, slim nose, slender nose, pointed nose",
        "lip_fullness +": """full lips, plump lips, thick lips, pouty lips, big lips, full lipped, large lips,
            luscious lips""",
        "lip_fullness -": "thin lips, thin lipped, narrow lips, small lips",
        "eye_size +": "large eyes, big eyes, huge eyes, big eyed, doe eyed, saucer eyes, doe eyes",
        "eye_size -": "small eyes, narrow eyes, tiny eyes, beady eyes, little eyes, small eyed",
        "brow_thickness +": """thick eyebrows, bushy eyebrows, heavy brows, thick brows, bushy brows, heavy eyebrows,
            beetle browed, full eyebrows, strong brows, unibrow""",
        "brow_thickness -": """thin eyebrows, fine eyebrows, thin brows, fine brows, pencilled eyebrows, faint eyebrows,
            plucked eyebrows, narrow eyebrows""",
        "ear_size +": "big ears, large ears, big eared, protruding ears, jug ears, huge ears, elf ears",
        "ear_size -": "small ears, little ears, tiny ears",
        "cheek_fullness +": """chubby cheeks, full cheeks, plump cheeks, chubby, round cheeks, chubby cheeked,
            chubby face, """
        "apple cheeks, fat cheeks, plump face",
        "cheek_fullness -": "hollow cheeks, sunken cheeks, gaunt, gaunt face, gaunt cheeks, hollow cheeked, haggard",
        "neck_width +": "thick neck, broad neck, bull neck, thick necked, bull necked, wide neck",
        "neck_width -": "slender neck, slim neck, thin neck, long neck, swan neck, slender necked, narrow neck",
    }
)

# ---- words that say nothing by themselves

#: What has no colour of its own in the recipe: that of red lips was not read, and is not the hair's.
PARTS = frozenset(
    _words(
        """neck, necked, chin, forehead, cheeks, cheek, cheeked, lip, lips, lipped, mouth, jaw, nose, nosed, brow,
    brows, eyebrows, eyebrow, ears, ear, eared, collar, sleeve, sleeves"""
    )
)
#: Neither read nor named as not read.
FILLERS = frozenset(
    _words(
        """a, an, the, and, or, of, on, to, at, by, with, his, her, him, their, its, my, our, your, this, that, these,
    those, who, whose, which, is, are, was, were, be, been, being, as, it, they, them, there, has, have, had,
    having, wears, wear, wearing, worn, wore, dressed, in, from, into, under, over, below, behind, above, down, up,
    only, very, quite, rather, really, some, any, all, one, single, pair, can, will, could, would,
    should, see, i, you, we, me, please, want, take, takes, taking,
    like, draw, make, give, show, do, does, did, generate, create, image, picture, photo, photograph, painting,
    drawing, render, 3d, 2d, head, looks, looking, look, appears, seems, sporting, sports, sport, rocking, both,
    just, also, too, so, then, now, more, most, bit, little, small, big, large, wholly, entirely, completely, fully,
    totally, perfectly, mostly, around, about, style, styled, coloured, colored, colour, color, shade, tone, toned,
    hued, kind, type, sort, add, put, change, turn, keep, get, let, while, still, when, where, how, what, mid,
    early, late, years, year, old, s, t, re, ve, d, ll, m, seen, stands, standing, sits, sitting, sit, stand, cut,
    tied, gathered, pulled, swept, brushed, wound, pinned, falling, falls, fall, hangs, hanging, swinging, side,
    front, back, close, closeup, shot, view, background, against, high, quality, detailed, realistic,
    photorealistic, stylised, stylized, cartoon, cartoonish, 4k, 8k, hd, shoulders, shoulder, chest, waist, it's,
    that's, piece, two, heavily, lightly, deeply, slightly, mildly, well, long, fine, soft, clean, dyed, dye,
    tinted, covered, cover, topped, top, framed, frame, through, self, full, whole, half, every, each, same, other,
    another, such, own, out, off, hiding, hidden, rimless, frameless, bushy, huge, round, square"""
    )
)
