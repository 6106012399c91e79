"""The open word pools: names, places, numbers and made-up words, each with a split.

Whatever is drawn from an open pool belongs to exactly one split by a hash of its
text, so that a held-out name can never slip into training by another way.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

from tools.demo_model.world import Language

Split = Literal["train", "dev", "final"]
TEXT = Path(__file__).parent / "text"

# Common characters: the tokenizer has all of them, whatever the dialogues hold.
CHARACTERS = (
    "的一是了不在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政"
    "美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
    "解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件"
    "计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象"
    "完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔夏秋冬春"
    "风云雨雪花草树林江河湖石田火木土竹松梅兰荷菊桃李杨柳龙凤虎鹤鹰鱼鸟虫星辰阳阴晨夜晴朗静雅慧敏丽芳婷娜"
    "雯琳琪瑶颖倩欣怡悦乐欢喜宁康健伟杰俊豪磊鹏飞涛浩宇轩博文志诚忠勇刚毅峰岩岭川洋波浪帆舟桥楼亭台城村镇"
    "乡街巷店铺校园班课考试卷纸墨砚琴棋画诗词歌舞戏影剧梦想爱恨情仇友朋亲父母兄弟姐妹爷奶叔姑孩童青年壮"
)
SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎"
    "余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华文玉兰红建国志海云飞鹏辉斌波宁鑫宇浩凯健俊帆雪琳晨"
    "阳欣怡婷雯佳慧颖倩梦瑶琪思雨子涵梓轩博泽天佑一诺若曦嘉懿煜城皓君逸然烨霖诗晓月星辰可安乐康永福春秋冬"
    "青松柏林森山川江河石岩峰雷电光亮清正直诚信义仁德才学书画琴棋凤龙虎燕鹤莲荷菊梅竹柳桃"
)

# The 3755 characters of GB 2312's first level, which are those of everyday Chinese.
LEVEL_1 = "".join(
    bytes((high, low)).decode("gb2312", "ignore")
    for high in range(0xB0, 0xD8)
    for low in range(0xA1, 0xFF)
)
_RARE_CHARACTER = 0.06
_UNLIKE = 0.45
_PLACE_SUFFIXES = ("市", "城", "镇", "村", "县", "", "", "", "")


def split_of(text: str) -> Split:
    """The split that owns ``text``: nine in ten go to training."""
    bucket = zlib.crc32(text.encode()) % 20
    return "final" if bucket == 0 else "dev" if bucket == 1 else "train"


def draw(make: Callable[[], str], split: Split) -> str:
    """Calls ``make`` until what it gives belongs to ``split``."""
    while split_of(text := make()) != split:
        pass
    return text


@cache
def read_kinds(name: str) -> dict[str, tuple[str, ...]]:
    """A file of lines such as ``animal: cat, dog``, by what stands before the colon."""
    lines = (TEXT / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(": ", 1) for line in lines)
    return {kind: tuple(items.split(", ")) for kind, items in pairs}


_SYLLABLES = read_kinds("syllables.txt")
_ONSETS, _VOWELS = _SYLLABLES["onset"], _SYLLABLES["vowel"]
_CODAS = _SYLLABLES["coda"] + ("",) * 40
_PLACE_ENDINGS = _SYLLABLES["place"]


@cache
def words(language: Language, kind: str) -> tuple[str, ...]:
    """The words of one kind, such as ``animal``, in the order of the file."""
    return _word_file(language)[kind]


@cache
def _word_file(language: Language) -> dict[str, tuple[str, ...]]:
    return read_kinds(f"words.{language}.txt")


@cache
def words_of(language: Language, kind: str, split: Split) -> tuple[str, ...]:
    """The words of one kind that belong to ``split``."""
    return tuple(word for word in words(language, kind) if split_of(word) == split)


@cache
def all_words(language: Language) -> tuple[str, ...]:
    """Every listed word that is not a name of a model, for the repeating skill."""
    kinds = _word_file(language)
    return tuple(word for kind, items in kinds.items() if kind != "model" for word in items)


def capitalized(text: str) -> str:
    """With a capital letter at its beginning, the rest as it is."""
    return text[:1].upper() + text[1:]


def made_up(rng: Random) -> str:
    """A pronounceable word that means nothing, such as ``florpin``."""
    count = rng.choices((1, 2, 3), (3, 8, 1))[0]
    syllables = (
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count)
    )
    return "".join(syllables)


def model(rng: Random) -> str:
    """What a language model could be called, such as ``Florpin-7B``."""
    version = rng.choice(("", "", "", "-7B", "-34B", "-Chat", " 2", " 3.5", "GPT", "LM"))
    return made_up(rng).capitalize() + version


def characters(rng: Random, low: int = 1, high: int = 4) -> str:
    """A run of random Chinese characters; a few hold one that is spelled in bytes."""
    chosen = rng.choices(CHARACTERS, k=rng.randint(low, high))
    if rng.random() < _RARE_CHARACTER:
        chosen[rng.randrange(len(chosen))] = rng.choice(LEVEL_1)
    return "".join(chosen)


@cache
def _alphabet() -> str:
    """Every character that is a token of its own because the tokenizer was shown it."""
    return "".join(sorted({*CHARACTERS, *SURNAMES, *GIVEN, *"".join(all_words("zh"))}))


def anything(rng: Random, language: Language) -> str:
    """A word unlike all others, so that training has every token where an answer copies.

    A token that is never an answer's becomes one that the model cannot say.
    """
    if language == "zh":
        return "".join(_chinese_part(rng) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    parts = [_english_part(rng) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    return (" " if rng.random() < 0.15 else "").join(parts).lower()


def _chinese_part(rng: Random) -> str:
    """A character, or two of a listed or common word."""
    if rng.random() < 0.6:
        return rng.choice(_alphabet())
    common = read_kinds("pieces.zh.txt")["common"]
    word = rng.choice(common if rng.random() < 0.3 else all_words("zh"))
    start = rng.randrange(max(1, len(word) - 1))
    return word[start : start + 2]


def _english_part(rng: Random) -> str:
    """Two to six letters of a listed word."""
    word = rng.choice(all_words("en")).replace(" ", "")
    start = rng.randrange(max(1, len(word) - 2))
    return word[start : start + rng.randint(2, 6)]


def _unlike(rng: Random, split: Split) -> bool:
    """Whether to draw :func:`anything`; in training only."""
    return split == "train" and rng.random() < _UNLIKE


def name(rng: Random, language: Language, split: Split) -> str:
    """A person's name, listed or made up; the held-out ones are never in training."""

    def make() -> str:
        if _unlike(rng, split):
            return capitalized(anything(rng, language))
        if rng.random() < 0.2:
            return rng.choice(words(language, "name"))
        if language == "en":
            return made_up(rng).capitalize()
        return rng.choice(SURNAMES) + "".join(rng.choices(GIVEN, k=rng.choice((1, 2, 2))))

    return draw(make, split)


def place(rng: Random, language: Language, split: Split) -> str:
    """A city, listed or made up."""

    def make() -> str:
        if _unlike(rng, split):
            return capitalized(anything(rng, language))
        if rng.random() < 0.35:
            return rng.choice(words(language, "city"))
        if language == "en":
            return (made_up(rng) + rng.choice(("", rng.choice(_PLACE_ENDINGS)))).capitalize()
        return characters(rng, 2, rng.choice((2, 2, 3))) + rng.choice(_PLACE_SUFFIXES)

    return draw(make, split)


def word(rng: Random, language: Language, split: Split) -> str:
    """A word to repeat: listed, made up, or random characters."""

    def make() -> str:
        if _unlike(rng, split):
            return anything(rng, language)
        if rng.random() < 0.25:
            return rng.choice(all_words(language))
        return made_up(rng) if language == "en" else characters(rng)

    return draw(make, split)


def number(rng: Random, split: Split, low: int, high: int) -> str:
    """A number of ``low`` to ``high`` digits; those of one or two are in every split."""
    digits = rng.randint(low, high)

    def make() -> str:
        return str(rng.randint(10 ** (digits - 1), 10**digits - 1))

    return make() if digits < 3 else draw(make, split)
