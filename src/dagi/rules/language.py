"""Which language a prompt is written in: by its script, by letters only that language has, by its commonest words. Pure and cheap."""

import re
from collections.abc import Mapping
from typing import Final

# Enough text to tell a language by; a pasted book must not cost more than a sentence.
_SAMPLE: Final = 1000
# A text is of another script than Latin when at least one in so many letters is: the Latin rest are names and terms.
_SHARE: Final = 5

# Scripts that one language stands for, and those that several share.
_SCRIPTS: Final[Mapping[str, str]] = {
    "cyrillic": "\u0400-\u04ff",
    "el": "\u0370-\u03ff",
    "ka": "\u10a0-\u10ff",
    "hy": "\u0530-\u058f",
    "he": "\u0590-\u05ff",
    "ar": "\u0600-\u06ff",
    "hi": "\u0900-\u097f",
    "th": "\u0e00-\u0e7f",
    "ko": "\uac00-\ud7af",
    "ja": "\u3040-\u30ff",
    "zh": "\u4e00-\u9fff",
}
_OTHERS: Final = {name: re.compile(f"[{letters}]+") for name, letters in _SCRIPTS.items()}
_LATIN: Final = re.compile("[a-z\u00df-\u024f]+")
_WORDS: Final = re.compile(r"[^\W\d_]+")

# Letters that none of the others of the same script has; each weighs as much as a common word.
_LETTERS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "cyrillic": {"uk": frozenset("іїєґ"), "ru": frozenset("ыэё"), "be": frozenset("ўіыэ"), "bg": frozenset()},
    "latin": {
        "en": frozenset(),
        "de": frozenset("äöüß"),
        "fr": frozenset("àâæçèéêëîïôœùû"),
        "es": frozenset("áéíñóú"),
        "it": frozenset("àèéìòù"),
        "pt": frozenset("ãõáâçéêíóú"),
        "pl": frozenset("ąćęłńóśźż"),
        "cs": frozenset("áčďéěíňřšťůýž"),
        "tr": frozenset("çğıöşü"),
    },
}
_COMMON: Final[Mapping[str, frozenset[str]]] = {
    "uk": frozenset("що як це та та й не чи коли де хто чому для від про щоб або але вже ще який яка мене нам будь скажіть дякую".split()),  # noqa: SIM905
    "ru": frozenset("что как это и не или когда где кто почему для от о чтобы но уже ещё какой какая меня нам скажите спасибо он".split()),  # noqa: SIM905
    "be": frozenset("што як гэта і не ці калі дзе хто чаму для ад пра каб але ўжо яшчэ які якая мяне нам скажыце дзякуй".split()),  # noqa: SIM905
    "bg": frozenset("какво как това и не или кога къде кой защо за от че но вече още която мен ни моля благодаря са съм ще се на".split()),  # noqa: SIM905
    "en": frozenset("the of and to is in that it for what how who when where why are you we this do does can our with my please".split()),  # noqa: SIM905
    "de": frozenset("der die das und ist nicht wie was wer wann wo warum ein eine wir ich für mit auf den von zu im bitte".split()),  # noqa: SIM905
    "fr": frozenset("le la les et est pas que qui quand où pourquoi comment un une nous je pour avec des du de dans quel quelle".split()),  # noqa: SIM905
    "es": frozenset("el la los y es no que quién cuándo dónde por cómo un una nosotros yo para con de del en qué cuál las está".split()),  # noqa: SIM905
    "it": frozenset("il la gli e è non che chi quando dove perché come un una noi io per con di del nel cosa qual sono questo".split()),  # noqa: SIM905
    "pt": frozenset("o a os e é não que quem quando onde por como um uma nós eu para com do da em qual isto são está você".split()),  # noqa: SIM905
    "pl": frozenset("i jest nie co jak kto kiedy gdzie dlaczego czy to w na z do się dla my ja proszę jaki jaka od po".split()),  # noqa: SIM905
    "cs": frozenset("a je není co jak kdo kdy kde proč to v na z do se pro my já prosím jaký jaká od po jsou který".split()),  # noqa: SIM905
    "tr": frozenset("ve bu bir ne nasıl kim nerede neden için ile mi mı mu biz ben değil var yok olan daha çok lütfen nedir".split()),  # noqa: SIM905
}

LANGUAGES: Final = tuple(sorted({*_LETTERS["cyrillic"], *_LETTERS["latin"], *(name for name in _SCRIPTS if name != "cyrillic")}))


def language_of(text: str) -> str:
    """The text's language as a two-letter code of ISO 639-1, one of `LANGUAGES`; empty where there is no letter of a known script.

    Latin text that nothing else can be told of is English, Cyrillic text Ukrainian.
    """
    sample = text[:_SAMPLE].lower()
    script = "latin" if sample.isascii() else _script(sample)
    if script == "latin":
        return _likeliest(sample, "latin", "en") if _LATIN.search(sample) else ""
    return _likeliest(sample, "cyrillic", "uk") if script == "cyrillic" else script


def _script(sample: str) -> str:
    latin = _count(_LATIN, sample)
    found: dict[str, int] = {}
    for name, letters in _OTHERS.items():
        found[name] = _count(letters, sample)
        if found[name] * 2 > len(sample):
            # No other script can have more. Most of such texts are Cyrillic, which comes first.
            break
    name = max(found, key=found.__getitem__)
    if name == "zh" and found["ja"]:
        # Japanese is written with Chinese characters and kana between them; Chinese has no kana.
        name = "ja"
    return name if found[name] and found[name] * _SHARE >= found[name] + latin else "latin"


def _count(letters: re.Pattern[str], sample: str) -> int:
    return sum(map(len, letters.findall(sample)))


def _likeliest(sample: str, script: str, default: str) -> str:
    words, letters = set(_WORDS.findall(sample)), set(sample)
    points = {language: len(_COMMON[language] & words) + len(own & letters) for language, own in _LETTERS[script].items()}
    best = max(points, key=points.__getitem__)
    return best if points[best] > points[default] else default
