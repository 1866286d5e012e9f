"""Numbers as people write them: 7e9, 300B, 2.5T, 1,000,000 (floor 0)."""

import re
from typing import Any

__all__ = ["expand", "numeral", "numerals", "plain"]

_SCALES = {
    **{"": 0, "k": 3, "thousand": 3, "m": 6, "mn": 6, "million": 6, "g": 9, "b": 9, "bn": 9},
    **{"billion": 9, "t": 12, "tn": 12, "trillion": 12},
}
_WRITTEN = re.compile(
    r"""(?P<money>[$]\s*)?(?P<sign>[+-]?)
    (?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d{1,3}(?:_\d{3})+(?:\.\d*)?|\d+\.?\d*|\.\d+)
    (?:e(?P<e>[+-]?\d+)|\s*(?:[x*\u00d7]\s*10\s*(?:\^|\*\*))\s*(?P<power>[+-]?\d+))?
    \s*(?P<scale>(?:k|thousand|mn?|million|bn?|g|billion|tn?|trillion)(?![a-z]))?
    \s*(?P<share>%)?\s*(?:params|parameters|tokens|flops?)?""",
    re.VERBOSE | re.IGNORECASE,
)
_TEN = re.compile(r"([+-]?)10\s*(?:\^|\*\*)\s*([+-]?\d+)")
_SUFFIXED = re.compile(r"('[^']*'|\"[^\"]*\"|`[^`]*`)|(?<![\w.])(\d+(?:\.\d+)?)([kmbt])\b", re.I)


def numeral(text: str) -> float | None:
    """The number that somebody wrote; None where it is none.

    Args:
      text: digits, with a point and not a comma for decimals; groups of three between commas or
        underscores; an exponent as 1e21 or 1.5x10^21; k, M, B (or G, bn, billion) and T behind;
        a dollar sign before, or %, or "tokens", "params" or "FLOPs" behind.

    >>> numeral("300B"), numeral("2.5 T"), numeral("1,000,000"), numeral("10^21"), numeral("40%")
    (300000000000.0, 2500000000000.0, 1000000.0, 1e+21, 0.4)
    >>> numeral("1,5") is None
    True
    """
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if alone := _TEN.fullmatch(text):
        return float(f"{alone[1]}1e{alone[2]}")
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return _special(text)
    digits = found["digits"].replace(",", "").replace("_", "")
    # The scale goes into the exponent, so that 2.3T is the float that 2.3e12 is.
    # As a float first, since Python makes no integer of five thousand digits.
    told = max(min(float(found["e"] or found["power"] or 0), 9999.0), -9999.0)
    power = int(told) + _SCALES[(found["scale"] or "").lower()]
    value = float(f"{found['sign']}{digits}e{power}")
    return value / 100 if found["share"] else value


def _special(text: str) -> float | None:
    """Whatever else Python takes for a number without digits: inf and nan."""
    try:
        return float(text) if not any(c.isdigit() for c in text) else None
    except ValueError:
        return None


def numerals(value: Any) -> Any:
    """The value with numbers in place of text that reads as one, in lists too."""
    if isinstance(value, list | tuple):
        return [numerals(item) for item in value]
    found = numeral(value) if isinstance(value, str) else None
    return value if found is None else found


def expand(condition: str) -> str:
    """A condition with 300B and 2.5T written out; what stands in quotes is left alone.

    >>> expand("tokens <= 300B and run != '7B'")
    "tokens <= 300e9 and run != '7B'"
    """
    return _SUFFIXED.sub(lambda m: m[1] or f"{m[2]}e{_SCALES[m[3].lower()]}", condition)


def plain(value: float) -> str:
    """A number as one would type it: the shortest that reads back exactly.

    >>> plain(1e12), plain(300e3), plain(0.005), plain(1000.0)
    ('1e12', '300000', '0.005', '1000')
    """
    value = float(value)
    short = re.sub(r"\.?0*(e)[+]?(-?)0*", r"\1\2", repr(value)) if "e" in repr(value) else ""
    if not short:
        short = repr(value).removesuffix(".0")
    if short.endswith("000000"):
        digits = short.rstrip("0")
        lead = digits[0] + (f".{digits[1:]}" if digits[1:] else "")
        return f"{lead}e{len(short) - 1}"
    return short
