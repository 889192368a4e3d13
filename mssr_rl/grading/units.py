"""Map all spellings of a unit to one name, for `quantities` and `algebra.unit`.

    cm^2, square centimeters, sq cm  ->  one name        m/s, m s^{-1}, meters per second  ->  one
    chickens, years old  ->  a word that counts          quatloo  ->  "?quatloo", unsure

Measures have a scale and dimensions (SI). So N m and J are one unit, but cm and m are two. A number
in another unit is another answer here, even if it could be converted, because the question states
the wanted unit. A word that counts is any plural, or any word that the gold answer has too. A hedge
or multiplier of `phrases` is not a unit: `12 or 15`, `5 thousand`, `3 maybe`.
"""

import re
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from mssr_rl.grading.latex import FUNCTIONS
from mssr_rl.grading.phrases import HEDGES, MULTIPLIERS

MAX_LENGTH = 60
UNSURE = "?"  # prefix of a word that is a unit only if the gold answer has it too

# name, scale and dimensions in kg, m, s, A, K, mol, then spellings
_MEASURES = """
mm 1/1000 m: mm millimeter millimeters millimetre millimetres 毫米
cm 1/100 m: cm cms centimeter centimeters centimetre centimetres 厘米
dm 1/10 m: dm decimeter decimeters decimetre decimetres 分米
m 1 m: m meter meters metre metres 米
km 1000 m: km kms kilometer kilometers kilometre kilometres 千米 公里
nm 1/1000000000 m: nm nanometer nanometers nanometre nanometres
µm 1/1000000 m: µm μm um micrometer micrometers micron microns
in 254/10000 m: in inch inches
ft 3048/10000 m: ft foot feet
yd 9144/10000 m: yd yard yards
mi 1609344/1000 m: mi mile miles
mg 1/1000000 kg: mg milligram milligrams 毫克
g 1/1000 kg: g gram grams 克
kg 1 kg: kg kgs kilogram kilograms 千克 公斤
t 1000 kg: t ton tons tonne tonnes 吨
lb 45359237/100000000 kg: lb lbs pound_mass
oz 28349523125/1000000000000 kg: oz ounce ounces
ml 1/1000000 m^3: ml mL cc milliliter milliliters millilitre millilitres 毫升
l 1/1000 m^3: l L liter liters litre litres 升
s 1 s: s sec secs second seconds 秒
ms 1/1000 s: ms millisecond milliseconds
min 60 s: min mins minute minutes 分钟
h 3600 s: h hr hrs hour hours 小时
N 1 kg m s^-2: N newton newtons
J 1 kg m^2 s^-2: J joule joules
Wh 3600 kg m^2 s^-2: Wh
W 1 kg m^2 s^-3: W watt watts
V 1 kg m^2 s^-3 A^-1: V volt volts
Ω 1 kg m^2 s^-3 A^-2: ohm ohms Ω Ω
A 1 A: A amp amps ampere amperes
C 1 A s: coulomb coulombs
F 1 kg^-1 m^-2 s^4 A^2: farad farads
T 1 kg s^-2 A^-1: T tesla teslas
Wb 1 kg m^2 s^-2 A^-1: Wb weber webers
K 1 K: K kelvin kelvins
mol 1 mol: mol mols mole moles
Pa 1 kg m^-1 s^-2: Pa pascal pascals
atm 101325 kg m^-1 s^-2: atm atmospheres
Hz 1 s^-1: Hz hertz
eV 1 eV: eV electronvolt electronvolts
cal 4184/1000 kg m^2 s^-2: cal calorie calories
kcal 4184 kg m^2 s^-2: kcal kcals kilocalories
mph 1609344/3600000 m s^-1: mph
kmph 1000/3600 m s^-1: kmph kph kmh
acre 1 acre: acre acres 亩
ha 10000 m^2: hectare hectares ha 公顷
gal 1 gal: gal gallon gallons
"""
_PREFIXES = {"k": Fraction(1000), "M": Fraction(10**6), "G": Fraction(10**9)}
_PREFIXED = ("Wh", "N", "J", "W", "V", "Ω", "Pa", "Hz", "eV")  # kJ, kPa, MHz, also kΩ and kohm

# Everything that counts: one name, then spellings. A plural is known without a line here.
_COUNTED = """
%: % percent percents pct per_cent percentage
°: ° degree degrees deg degs 度
°C: °C celsius degrees_celsius degree_celsius
°F: °F fahrenheit degrees_fahrenheit degree_fahrenheit
rad: rad rads radian radians 弧度
$: $ dollar dollars USD US$ 美元
€: € euro euros EUR
£: £ pound pounds GBP
¥: ¥ yuan RMB CNY yen JPY 元
₹: ₹ rupee rupees Rs INR
¢: ¢ cent cents
day: day days 天 日
week: week weeks 周
month: month months mo 月
year: year years yr yrs years_old year_old 年 岁
unit: unit units 单位
time: time times 次 倍
way: way ways 种
th: st nd rd th
person: person people persons 人 名
个: 个 只 条 张 本 件 块 颗 棵 头 匹 辆 间 页 支 枝 根 把 双 套 组 排 行 列 层 位 盒 袋 箱 瓶 杯
child: child children
man: man men
woman: woman women
mouse: mouse mice
goose: goose geese
tooth: tooth teeth
sheep: sheep
fish: fish fishes
deer: deer
vertex: vertex vertices
revolution: rev revs revolution revolutions
rpm: rpm
bit: bit bits
byte: byte bytes
"""


class _Measure(NamedTuple):
    scale: Fraction
    dimensions: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        factors = [base if power == 1 else f"{base}^{power}" for base, power in self.dimensions]
        return " ".join(([] if self.scale == 1 else [str(self.scale)]) + factors)


def _measures() -> dict[str, _Measure]:
    by_spelling: dict[str, _Measure] = {}
    for line in _MEASURES.strip().splitlines():
        head, spellings = line.split(": ")
        name, scale, *dimensions = head.split()
        pairs = [part.partition("^") for part in dimensions]
        powers = tuple(sorted((base, int(power or 1)) for base, _, power in pairs))
        measure = _Measure(Fraction(scale), powers)
        for word in (name, *spellings.split()):
            by_spelling[word] = measure
        if name in _PREFIXED:
            for prefix, factor in _PREFIXES.items():
                for word in spellings.split()[:2]:
                    by_spelling[prefix + word] = measure._replace(scale=measure.scale * factor)
    return by_spelling


_KNOWN = {
    **{
        word.replace("_", " "): _Measure(Fraction(1), ((line.split(":")[0], 1),))
        for line in _COUNTED.strip().splitlines()
        for word in line.split(": ")[1].split()
    },
    **_measures(),
}
del _KNOWN["F"], _KNOWN["C"]  # a single letter can mean degrees, or an option
_WORD = r"°[CF]|US\$|[A-Za-zµμΩΩ]+|[°%$€£¢¥₹]|[\u4e00-\u9fff]{1,3}"
_FACTOR = re.compile(
    r"\(?\s*(?:(?P<before>square|sq\.?|cubic|cu\.?|平方|立方)\s*)?"
    rf"(?P<word>{_WORD})\.?"
    r"(?:\s*\^\s*\{?\s*(?P<power>-?[1-4])\s*\}?|\s+(?P<after>squared|cubed))?\s*\)?"
    r"(?P<sign>\s*(?:\\cdot|\\times|\*|/|\bper\b|每|\s)\s*|$)"
)
_POWER = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3, "平方": 2, "立方": 3}
_PHRASE = re.compile(r"[A-Za-z]{3,}(?: [A-Za-z]+){0,3}")
_MATHS = FUNCTIONS | {"alpha", "beta", "gamma", "delta", "theta", "lambda", "sigma", "omega"}


@lru_cache(maxsize=1024)
def unit_name(text: str) -> str | None:
    """Return the one name for all spellings of a unit; None if `text` is not a unit."""
    text = text.replace("\\text", " ").replace("~", " ").strip(" .,")
    if not text or len(text) > MAX_LENGTH:
        return None
    return _measured(text) or _counted(text)


def same_unit(said: str, gold: str) -> bool:
    """Return whether the response's unit is the gold answer's; one of the two may be missing.

    An unsure word in the response is accepted only if the gold answer has the same word.
    """
    if said == gold:
        return True
    if said.startswith(UNSURE):
        return False
    return not (said and gold)


def _measured(text: str) -> str | None:
    """Return the name of a product or quotient of known units; None if `text` is not one."""
    # As written first: T is a tesla, t a ton.
    if known := _KNOWN.get(text) or _KNOWN.get(text.lower()):
        return known.name
    scale, powers, position, sign = Fraction(1), Counter[str](), 0, 1
    while position < len(text):
        m = _FACTOR.match(text, position)
        measure = m and (_KNOWN.get(m["word"]) or _KNOWN.get(m["word"].lower()))
        if not (m and measure) or m.end() == position:
            return None
        power = _power(m)
        if power is None:
            return None
        if m["word"] == "ms" and power < 0:  # m s^{-1}, not one over a millisecond
            measure = _KNOWN["s"]
            powers["m"] += sign
        scale *= measure.scale ** (sign * power)
        for base, times in measure.dimensions:
            powers[base] += sign * power * times
        sign = -1 if sign < 0 or m["sign"].strip() in ("/", "per", "每") else 1
        position = m.end()
    dimensions = tuple(sorted((base, power) for base, power in powers.items() if power))
    return _Measure(scale, dimensions).name or None


def _power(m: re.Match[str]) -> int | None:
    before, after = (m["before"] or "").rstrip("."), m["after"] or ""
    powers = [_POWER[word] for word in (before, after) if word]
    powers += [int(m["power"])] if m["power"] else []
    return None if len(powers) > 1 else powers[0] if powers else 1


def _counted(text: str) -> str | None:
    """Return the name of a plural, perhaps with words before it; None if `text` is no such words.

    The name of another word of more than three letters is marked as unsure.
    """
    words = text.lower().split()
    if not _PHRASE.fullmatch(text) or not (HEDGES | MULTIPLIERS | _MATHS).isdisjoint(words):
        return None
    last = words[-1]
    # Class, radius and axis end in s and are no plurals.
    plural = len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "us", "is"))
    if plural or last in _KNOWN:
        return " ".join([*words[:-1], last[:-1] if plural else _KNOWN[last].name])
    return UNSURE + " ".join(words) if len(last) > 3 else None
