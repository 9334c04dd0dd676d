"""Makes organisation_numbers.txt with python-stdnum (`pip install python-stdnum`), for the test of the same name.

A line for each country: for 10,000 beginnings, the one check digit that makes a valid number of it, or `-` where none
does. The beginnings are not written down: the n-th is (n * 7919 * 10007 + 104729) modulo ten to the power of its
length, with leading zeros.
"""

import pathlib

from stdnum.dk import cvr
from stdnum.fi import ytunnus
from stdnum.no import orgnr as norwegian
from stdnum.se import orgnr as swedish

COUNT = 10_000


def beginning(number, length):
    return str((number * 7919 * 10007 + 104729) % 10**length).zfill(length)


def check_digits(module, length):
    for number in range(COUNT):
        digits = [digit for digit in "0123456789" if module.is_valid(beginning(number, length) + digit)]
        assert len(digits) <= 1
        yield digits[0] if digits else "-"


rules = {"SE": (swedish, 9), "NO": (norwegian, 8), "DK": (cvr, 7), "FI": (ytunnus, 7)}
lines = [f"{country} {''.join(check_digits(*rule))}" for country, rule in rules.items()]
pathlib.Path(__file__).with_suffix(".txt").write_text("\n".join(lines) + "\n")
