"""How values are compared. Tryton stores these forms, and the facade searches by them: one rule on both sides."""


def email_key(value: str) -> str:
    return value.strip().casefold()


def number_key(value: str) -> str:
    return "".join(c for c in value if c.isalnum()).upper()
