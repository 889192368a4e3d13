"""Names of units, each spelling mapped to one name; `quantities` uses them.

A word that is not listed is no unit: `12 or 15`, `5 thousand` and `3 maybe` are not quantities.
"""

import re

_SPELLINGS = """
%: % percent
°: ° degree degrees deg
°C: °C celsius
°F: °F fahrenheit
rad: rad radian radians
$: $ dollar dollars USD
€: € euro euros EUR
£: £ pound pounds
¢: ¢ cent cents
mm: mm millimeter millimeters millimetre millimetres
cm: cm centimeter centimeters centimetre centimetres
dm: dm decimeter decimeters decimetre decimetres
m: m meter meters metre metres
km: km kilometer kilometers kilometre kilometres
in: in inch inches
ft: ft foot feet
yd: yd yard yards
mi: mi mile miles
mg: mg milligram milligrams
g: g gram grams
kg: kg kilogram kilograms
t: t ton tons tonne tonnes
lb: lb lbs
oz: oz ounce ounces
ml: ml mL milliliter milliliters millilitre millilitres
l: l L liter liters litre litres
s: s sec second seconds
min: min mins minute minutes
h: h hr hrs hour hours
day: day days
week: week weeks
month: month months
year: year years yr yrs
N: N newton newtons
J: J joule joules
W: W watt watts
V: V volt volts
Pa: Pa pascal pascals
Hz: Hz hertz
Ω: ohm ohms
unit: unit units
time: time times
way: way ways
step: step steps
point: point points
piece: piece pieces
person: person people
student: student students
apple: apple apples
ball: ball balls
book: book books
boy: boy boys
card: card cards
child: child children
coin: coin coins
cookie: cookie cookies
cube: cube cubes
diagonal: diagonal diagonals
digit: digit digits
edge: edge edges
face: face faces
gallon: gallon gallons gal
game: game games
girl: girl girls
line: line lines
marble: marble marbles
mi/h: mph
number: number numbers
page: page pages
pair: pair pairs
player: player players
row: row rows
side: side sides
solution: solution solutions
ticket: ticket tickets
tile: tile tiles
vertex: vertex vertices
square: square squares
triangle: triangle triangles
"""
_NAME = {
    word: line.split(":")[0]
    for line in _SPELLINGS.strip().splitlines()
    for word in line.split(": ")[1].split()
}
_FACTOR = re.compile(
    r"(?:(?P<before>square|sq\.?|cubic|cu\.?)\s+)?(?P<word>°[CF]|[A-Za-z]+|[°%$€£¢])"
    r"(?:\s*\^\{(?P<power>[23])\}|\s+(?P<after>squared|cubed))?"
)
_POWER = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cu": "3", "cubed": "3"}


def unit_name(text: str) -> str | None:
    """One name for all spellings of a unit, as `cm^2` or `km/h`; None if `text` is no unit."""
    text = text.strip().rstrip(".")
    if len(text) > 60:
        return None
    factors = [_factor(part.strip()) for part in re.split(r"/|\bper\b", text)]
    return "/".join(f for f in factors if f) if all(factors) else None


def _factor(text: str) -> str | None:
    m = _FACTOR.fullmatch(text)
    name = m and (_NAME.get(m["word"]) or _NAME.get(m["word"].lower()))
    if not (m and name):
        return None
    before, after = (m["before"] or "").rstrip("."), m["after"] or ""
    powers = [p for p in (m["power"], _POWER.get(before), _POWER.get(after)) if p]
    if len(powers) > 1:
        return None
    return f"{name}^{powers[0]}" if powers else name
