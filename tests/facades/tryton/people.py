"""What people do in Tryton, for tests: they add, change and remove parties, and nothing here knows of the facade's mapping.

    python people.py DIRECTORY add-customer '{"name": "Ek AB", "norce_kind": "organisation", "email": "info@ek.example"}'
    python people.py DIRECTORY add-contact '{"name": "Bo Al", "norce_kind": "person", "norce_company": 12}'
    python people.py DIRECTORY add-many SECONDS '[{"name": "Bo Al", "norce_kind": "person"}]'
    python people.py DIRECTORY add-country '{"name": "Elsewhere"}'
    python people.py DIRECTORY add-subdivision '{"country": "SE", "code": "SE-M", "name": "Skåne"}'
    python people.py DIRECTORY change ID '{"city": "Lund", "active": false}'
    python people.py DIRECTORY archive ID email
    python people.py DIRECTORY remove ID
    python people.py DIRECTORY refuse EMAIL
    python people.py DIRECTORY refuse-nothing
    python people.py DIRECTORY dump [ID…]
    python people.py DIRECTORY -

The first two print the id, the third the ids of all, and `dump` an object a line. What `add-many` adds is seen the seconds after it was
stamped: it is one transaction, which goes on for so long. `refuse` makes a rule of the merchant's own: nobody gets this e-mail address. `-`
prints "ready", takes the same commands from standard input, one a line, and answers each by one line: "ok …" or "error …", with a tab
between the objects of a dump.

Values are those of Tryton's own models: of the party (name, code, active, norce_kind, norce_company), of its first contact mechanisms
(email, phone, mobile), of its first identifiers by type (eu_vat, se_orgnr, …) and of its first address (street, postal_code, city, attn,
and country by its code or name). `null` removes the first row of a kind; `"address": null` the first address.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import database

OF_PARTY = ("name", "code", "active", "norce_kind", "norce_company")
OF_ADDRESS = ("street", "postal_code", "city", "attn", "country")
MECHANISMS = ("email", "phone", "mobile")


def command(name: str, *arguments: str) -> str:
    from trytond.pool import Pool
    from trytond.transaction import Transaction

    with Transaction().start(database.NAME, 0, context={"active_test": False}):
        Party = Pool().get("party.party")
        if name in ("add-customer", "add-contact"):
            (party,) = Party.create([new(json.loads(arguments[0]))])
            return str(party.id)
        if name == "add-many":
            parties = Party.create([new(values) for values in json.loads(arguments[1])])
            time.sleep(float(arguments[0]))
            return " ".join(str(party.id) for party in parties)
        if name == "add-country":
            Pool().get("country.country").create([json.loads(arguments[0])])
            return ""
        if name == "add-subdivision":
            values = json.loads(arguments[0])
            Pool().get("country.subdivision").create([values | {"country": country(values["country"]), "type": None}])
            return ""
        if name == "refuse":
            return refuse(arguments[0])
        if name == "refuse-nothing":
            return refuse_nothing()
        if name == "dump":
            ids = [int(id_) for argument in arguments for id_ in argument.split()]
            parties = Party.browse(ids) if ids else Party.search([], order=[("id", "ASC")])
            return "\n".join(json.dumps(dump(party)) for party in parties)
        party = Party(int(arguments[0]))
        if name == "change":
            values = json.loads(arguments[1])
            if of_party := {n: v for n, v in values.items() if n in OF_PARTY}:
                Party.write([party], of_party)
            write_parts(party, values)
        elif name == "archive":
            for row in [*party.contact_mechanisms, *party.identifiers]:
                if row.type == arguments[1]:
                    row.active = False
                    row.save()
        elif name == "remove":
            Party.delete([party])
        else:
            raise ValueError(f"no such command: {name}")
        return ""


def new(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a new party, with its parts."""
    given = {n: v for n, v in values.items() if v is not None}
    party = {n: v for n, v in given.items() if n in OF_PARTY}
    address = {n: country(v) if n == "country" else v for n, v in given.items() if n in OF_ADDRESS}
    identifiers = [{"type": n, "code": v} for n, v in given.items() if is_identifier(n)]
    mechanisms = [{"type": n, "value": v} for n, v in given.items() if n in MECHANISMS]
    # `None`: a party would otherwise begin with an empty address.
    party["addresses"] = [("create", [address])] if address else None
    parts = {"contact_mechanisms": mechanisms, "identifiers": identifiers}
    return party | {n: [("create", rows)] for n, rows in parts.items() if rows}


def is_identifier(name: str) -> bool:
    return "_" in name and name not in (*OF_PARTY, *OF_ADDRESS)


def country(code_or_name: str) -> int:
    from trytond.pool import Pool

    (found,) = Pool().get("country.country").search(["OR", ("code", "=", code_or_name), ("name", "=", code_or_name)])
    return int(found.id)


def write_parts(party: Any, values: dict[str, Any]) -> None:
    from trytond.pool import Pool

    of_address = {n: v for n, v in values.items() if n in OF_ADDRESS}
    if of_address.get("country"):
        of_address["country"] = country(of_address["country"])
    if of_address or "address" in values:
        write_first(Pool().get("party.address"), party.addresses, {"party": party.id}, of_address or None)
    for name, value in values.items():
        if name in MECHANISMS:
            Part, parts, attribute = Pool().get("party.contact_mechanism"), party.contact_mechanisms, "value"
        elif is_identifier(name):
            Part, parts, attribute = Pool().get("party.identifier"), party.identifiers, "code"
        else:
            continue
        rows = [row for row in parts if row.type == name]
        write_first(Part, rows, {"party": party.id, "type": name}, {attribute: value} if value is not None else None)


def write_first(Part: Any, rows: Any, new: dict[str, Any], values: dict[str, Any] | None) -> None:
    first = [row for row in rows if row.active][:1]
    if values is None:
        Part.delete(first)
    elif first:
        Part.write(first, values)
    else:
        Part.create([new | values])


RULE = "nobody sells to "


def refuse(email: str) -> str:
    """A rule that an administrator has put into the database, past Tryton, which cannot say what it is about."""
    from trytond.transaction import Transaction

    cursor = Transaction().connection.cursor()
    text = email.replace("'", "''")
    for event in ("INSERT", "UPDATE"):
        name = f"{RULE}{email} {event}".replace('"', "")
        cursor.execute(
            f"CREATE TRIGGER \"{name}\" BEFORE {event} ON party_contact_mechanism "
            f"WHEN NEW.type = 'email' AND NEW.value = '{text}' COLLATE NOCASE "
            "BEGIN SELECT RAISE(ABORT, 'Blocked by the credit department'); END"
        )
    return ""


def refuse_nothing() -> str:
    from trytond.transaction import Transaction

    cursor = Transaction().connection.cursor()
    cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for (name,) in cursor.fetchall():
        if name.startswith(RULE):
            cursor.execute(f'DROP TRIGGER "{name}"')
    return ""


def dump(party: Any) -> dict[str, Any]:
    values = {n: getattr(party, n) for n in OF_PARTY} | {"id": party.id, "norce_key": party.norce_key}
    values |= {"active": bool(party.active), "norce_company": party.norce_company.id if party.norce_company else None}
    values |= {"stamp": str(party.write_date or party.create_date)}
    for address in [a for a in party.addresses if a.active][:1]:
        values |= {n: getattr(address, n) for n in OF_ADDRESS} | {"country": address.country.code if address.country else None}
    # The last one first, so that the first one of a type stays.
    values |= {i.type: i.code for i in reversed(party.identifiers) if i.active}
    return values | {m.type: m.value for m in reversed(party.contact_mechanisms) if m.active}


def main() -> None:
    directory, *words = sys.argv[1:]
    database.open_(Path(directory))
    if words != ["-"]:
        print(command(*words))
        return
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = line.rstrip("\n").split(" ", 2 if line.startswith(("change ", "archive ", "add-many ")) else 1)
        try:
            print("ok", command(name, *arguments).replace("\n", "\t"), flush=True)
        except Exception as error:
            print("error", type(error).__name__, *str(error).splitlines(), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
