"""Makes organisation_numbers.txt with python-stdnum (`pip install python-stdnum`), for the test of the same name.

A line for each rule and country: the rule, the country, the forms in which numbers are written (`#` is a digit, `_` a
space), and for each of 10,000 beginnings the one check digit that makes a valid number of it, or `-` where none does.
The beginnings are not written down: the n-th is (n * 7919 * 10007 + 104729) modulo ten to the power of its length, with
leading zeros, and it is written in the n-th form, beginning anew after the last one. Among the forms of VAT numbers are
some that none is written in.
"""

import pathlib

from stdnum.dk import cvr
from stdnum.fi import alv, ytunnus
from stdnum.no import mva, orgnr as norwegian
from stdnum.se import orgnr as swedish, vat

COUNT = 10_000

RULES = [
    ("organisation", "SE", swedish, "########## ######-#### ######_####"),
    ("organisation", "NO", norwegian, "######### ###_###_###"),
    ("organisation", "DK", cvr, "######## ##_##_##_##"),
    ("organisation", "FI", ytunnus, "######## #######-#"),
    ("vat", "SE", vat, "SE##########01 se_######-####_01 SE##########02 SE########## SE16##########01 SEX##########01"),
    ("vat", "NO", mva, "NO#########MVA no_###_###_###_mva NO######### NO#########MVAX NOX#########MVA NO0#########MVA"),
    ("vat", "DK", cvr, "DK######## dk_##_##_##_## DK########01 DK0######## DKX########"),
    ("vat", "FI", alv, "FI######## fi_#######-# FI########01 FI0######## FIX########"),
]


def written(form, digits):
    remaining = iter(digits)
    return "".join(next(remaining) if place == "#" else place.replace("_", " ") for place in form)


def beginning(number, length):
    return str((number * 7919 * 10007 + 104729) % 10**length).zfill(length)


def check_digits(module, forms):
    for number in range(COUNT):
        form = forms[number % len(forms)]
        start = beginning(number, form.count("#") - 1)
        digits = [digit for digit in "0123456789" if module.is_valid(written(form, start + digit))]
        assert len(digits) <= 1
        yield digits[0] if digits else "-"


lines = []
for rule, country, module, forms in RULES:
    digits = "".join(check_digits(module, forms.split()))
    lines.append(f"{rule} {country} {forms.replace(' ', '|')} {digits}\n")
pathlib.Path(__file__).with_suffix(".txt").write_text("".join(lines))
