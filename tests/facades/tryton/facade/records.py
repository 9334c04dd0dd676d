"""The mapping between the contract's records and Tryton's parties. A team's own facade differs here."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pydantic.alias_generators import to_camel
from trytond import backend
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import ForeignKeyError, SQLConstraintError
from trytond.pool import Pool
from trytond_norce.matching import email_key, number_key

from .contract import Address, Changes, Kind, NewRecord, Record, Refusal, Resource, Search, Values, not_found
from .transactions import run, utc

MECHANISMS = {"email": "email", "phone": "phone", "mobile": "mobile"}
# Tryton has a type of identifier for each country: the country of the address decides, and an address without one is at home.
HOME = "SE"
ANY = "any other"
IDENTIFIERS = {
    "vat_number": {"NO": "no_vat", ANY: "eu_vat"},
    "organisation_number": {HOME: "se_orgnr", "NO": "no_orgnr", "DK": "dk_vat", "FI": "fi_ytunnus"},
}

# Tryton's own rules, and those of the database that Tryton does not know: it was changed by hand, or by another program. Nothing was
# done, so that they are no outage.
REFUSALS = (UserError, UserWarning, backend.DatabaseIntegrityError, backend.DatabaseDataError)

Domain = list[Any]


class Unreadable(Exception):
    """A party that cannot be shown. The text is for people, who have to find it."""


# --- Reading ---------------------------------------------------------------------------------------------------------------------------


def of_resource(resource: Resource) -> Domain:
    return [("norce_company", "=" if resource == Resource.CUSTOMERS else "!=", None)]


def find(resource: Resource, id_: str) -> Any:
    found = Pool().get("party.party").search([("id", "=", int(id_)), of_resource(resource)]) if _is_id(id_) else []
    if not found:
        raise not_found()
    return found[0]


def _is_id(id_: str) -> bool:
    # `isdecimal` would take numbers that no database holds.
    return re.fullmatch(r"[1-9][0-9]{0,17}", id_) is not None


def show(party: Any) -> Record:
    modified = utc(party.write_date or party.create_date)
    return Record(
        id=str(party.id),
        code=party.code,
        # The module `norce` stamps the party with every change of any part of it, so that the stamp is the version as well.
        version=modified.strftime("%Y%m%dT%H%M%S.%f"),
        modified=modified,
        kind=Kind(party.norce_kind),
        blocked=not party.active,
        company=str(party.norce_company.id) if party.norce_company else None,
        name=party.name or None,
        **{field: _first(party.contact_mechanisms, {type_}, "value") for field, type_ in MECHANISMS.items()},
        **{field: _first(party.identifiers, {*types.values()}, "code") for field, types in IDENTIFIERS.items()},
        address=_address(party),
    )


def _active(rows: Any) -> list[Any]:
    """The rows that count: `active_test` is off for the sake of blocked parties, which shows archived parts as well."""
    return [row for row in rows if row.active]


def _first(rows: Any, types: set[str], attribute: str) -> str | None:
    return next((getattr(row, attribute) for row in _active(rows) if row.type in types), None)


def _address(party: Any) -> Address | None:
    row = next(iter(_active(party.addresses)), None)
    if row is None:
        return None
    if row.country and not re.fullmatch("[A-Z]{2}", row.country.code or ""):
        raise Unreadable(f"The country of the address of record {party.id} has no ISO code.")
    line1, line2 = _lines(row.street or "")
    address = Address(
        care_of=row.attn or None,
        line1=line1,
        line2=line2,
        postal_code=row.postal_code or None,
        city=row.city or None,
        region=row.subdivision.name if row.subdivision else None,
        country=row.country.code if row.country else None,
    )
    return address if address != Address() else None


def _lines(street: str) -> tuple[str | None, str | None]:
    line1, *rest = street.splitlines() or [""]
    return line1 or None, ", ".join(rest) or None


def _street(address: Address) -> str:
    return "\n".join(filter(None, [address.line1, address.line2]))


def shown(parties: list[Any]) -> tuple[list[Record], list[dict[str, str]]]:
    """Records, and those that cannot be shown: one of them does not hide the others."""
    records, unusable = [], []
    for party in parties:
        try:
            records.append(show(party))
        except Unreadable as reason:
            unusable.append({"id": str(party.id), "reason": "unreadable", "message": str(reason)})
    return records, unusable


def page(resource: Resource, kind: Kind | None, since: datetime | None, after: int, limit: int) -> dict[str, Any]:
    """Records with a higher id than `after`. Ids never change and never come back, so that a record cannot slip from one page to
    another while rows are added, changed and removed; with an offset, or by the time of change, it could."""
    domain: Domain = [("id", ">", after), of_resource(resource)]
    if kind:
        domain.append(("norce_kind", "=", kind.value))
    if since:
        stamp = utc(since).replace(tzinfo=None)
        # A row that was never changed has no `write_date`.
        domain.append(["OR", ("write_date", ">=", stamp), [("write_date", "=", None), ("create_date", ">=", stamp)]])
    parties = Pool().get("party.party").search(domain, order=[("id", "ASC")], limit=limit + 1)
    records, unusable = shown(parties[:limit])
    # `unusable` ones count as shown: the cursor is past them, and a page of nothing else is not the last one.
    return {"records": records, "unusable": unusable, "next": str(parties[limit - 1].id) if len(parties) > limit else None}


def search(wanted: Search) -> dict[str, Any]:
    domain: Domain = [of_resource(wanted.resource)]
    if wanted.kind:
        domain.append(("norce_kind", "=", wanted.kind.value))
    if wanted.company:
        domain.append(("norce_company", "=", int(wanted.company) if _is_id(wanted.company) else -1))
    if wanted.ids is not None:
        domain.append(("id", "in", [int(id_) for id_ in wanted.ids if _is_id(id_)]))
    if wanted.codes is not None:
        domain.append(("code", "in", wanted.codes))
    emails = {email_key(e) for e in wanted.emails or []}
    numbers = {number_key(n) for n in wanted.numbers or []}
    if wanted.emails is not None:
        domain.append(("contact_mechanisms", "where", [("type", "=", "email"), ("active", "=", True), ("norce_match", "in", list(emails))]))
    if wanted.numbers is not None:
        types = [type_ for types in IDENTIFIERS.values() for type_ in types.values()]
        domain.append(("identifiers", "where", [("type", "in", types), ("active", "=", True), ("norce_match", "in", list(numbers))]))
    found, unusable = shown(Pool().get("party.party").search(domain, order=[("id", "ASC")]))
    # A party can have further e-mail addresses and numbers, which a record does not show. It is found by what it shows.
    if emails:
        found = [r for r in found if email_key(r.email or "") in emails]
    if numbers:
        found = [r for r in found if numbers & {number_key(r.vat_number or ""), number_key(r.organisation_number or "")}]
    return {"records": found, "unusable": unusable}


# --- Writing ---------------------------------------------------------------------------------------------------------------------------


def create(resource: Resource, key: str, new: NewRecord) -> tuple[Record, bool]:
    """The record, and whether this call has made it."""

    def work() -> tuple[Record, bool]:
        Party = Pool().get("party.party")
        # A repeat: the answer was lost, or two requests came at once. Whatever the record is by now, it is the one.
        if earlier := Party.search([("norce_key", "=", key)]):
            return show(earlier[0]), False
        if new.code and (holders := Party.search([("code", "=", new.code)])):
            raise Refusal(409, "code-taken", "Another record has this code.", "code", show(holders[0]))
        values = {"code": new.code or _next_code(), "name": new.name, "norce_kind": new.kind.value, "norce_key": key, "addresses": None}
        if new.code and not new.code.isprintable():
            raise Refusal(422, "invalid-code", "A code has no control characters.", "code")
        with _refusing("name"):
            (party,) = Party.create([values | _company(resource, new.company)])
        _write(party, new, new.model_fields_set & Values.model_fields.keys())
        return show(Party(party.id)), True

    try:
        return run(work, write=True)
    except SQLConstraintError:
        # On a database that lets two writers work at once, both can have found nothing. The constraints let one through, and the
        # other finds the winner's record when it looks again.
        return run(work, write=True)


def _next_code() -> str:
    """The next code of Tryton's sequence. A requested code can have been ahead of it."""
    Party = Pool().get("party.party")
    while Party.search([("code", "=", code := str(Party._code_sequence().get()))], count=True):
        pass
    return code


def _company(resource: Resource, company: str | None) -> dict[str, int | None]:
    if resource == Resource.CUSTOMERS:
        if company:
            raise Refusal(422, "company-of-customer", "A customer has no company.", "company")
        return {"norce_company": None}
    if not company:
        raise Refusal(422, "company-required", "A contact has a company.", "company")
    try:
        return {"norce_company": find(Resource.CUSTOMERS, company).id}
    except Refusal:  # a 404 would be about the record itself
        raise Refusal(422, "unknown-company", "There is no such customer.", "company") from None


def update(resource: Resource, id_: str, version: str, changes: Changes) -> Record:
    def work() -> Record:
        Party = Pool().get("party.party")
        party = find(resource, id_)
        # From here to the commit nobody else writes the party: the comparison holds until then.
        Party.lock([party])
        if show(party).version != version:
            raise Refusal(412, "changed", "The record has another version.")
        given = changes.model_fields_set
        with _refusing("name"):
            if "name" in given and changes.name != party.name:
                Party.write([party], {"name": changes.name})
        if "company" in given and changes.company != show(party).company:
            with _refusing("company"):
                Party.write([party], _company(resource, changes.company))
        _write(party, changes, given & Values.model_fields.keys())
        return show(Party(party.id))

    return run(work, write=True)


def block(resource: Resource, id_: str) -> Record:
    def work() -> Record:
        Party = Pool().get("party.party")
        party = find(resource, id_)
        Party.lock([party])
        if party.active:
            Party.write([party], {"active": False})
        return show(Party(party.id))

    return run(work, write=True)


def remove(resource: Resource, id_: str) -> None:
    def work() -> None:
        Party = Pool().get("party.party")
        party = find(resource, id_)
        try:
            Party.delete([party])
        except ForeignKeyError:  # a contact of the party, or a document of another module
            raise Refusal(409, "in-use", "Other records in Tryton refer to the party.") from None

    run(work, write=True)


def _write(party: Any, values: Values, given: set[str]) -> None:
    """Writes what differs. Anything written stamps the party, and a request that changes nothing must not."""
    Party = Pool().get("party.party")
    for field, type_ in MECHANISMS.items():
        if field in given:
            rows = [row for row in _active(Party(party.id).contact_mechanisms) if row.type == type_]
            with _refusing(field):
                _write_part("party.contact_mechanism", rows, {"party": party.id, "type": type_}, "value", getattr(values, field), str.strip)
    for field, types in IDENTIFIERS.items():
        if field in given:
            rows = [row for row in _active(Party(party.id).identifiers) if row.type in types.values()]
            number = getattr(values, field)
            wanted_type = _type(field, _country_of(party, values, given)) if number else None
            # `556036-0793` and `5560360793` are one number: Tryton stores its own spelling of what it is given.
            with _refusing(field):
                _write_part("party.identifier", rows, {"party": party.id, "type": wanted_type}, "code", number, number_key)
    wanted = _spelled(values.address or Address())
    if "address" in given and wanted != (_address(party) or Address()):
        _write_address(party, wanted)


def _write_part(model: str, rows: list[Any], row: dict[str, Any], attribute: str, value: str | None, same: Callable[[str], str]) -> None:
    """Makes the first of these rows have the value."""
    Part = Pool().get(model)
    if not value:
        # All of them, as the next one would take the place of the first; and removed, as archived they would remain.
        Part.delete(rows)
    elif not rows:
        Part.create([row | {attribute: value}])
    elif same(getattr(rows[0], attribute)) != same(value):
        Part.write(rows[:1], {"type": row["type"], attribute: value})


def _country_of(party: Any, values: Values, given: set[str]) -> str:
    """The country of the address, as it is when all is written."""
    address = values.address if "address" in given else _address(party)
    return address and address.country or HOME


def _type(field: str, country: str) -> str:
    types = IDENTIFIERS[field]
    if type_ := types.get(country, types.get(ANY)):
        return type_
    raise Refusal(422, "unknown-number", "This facade knows no such numbers of the country of the address.", to_camel(field))


def _write_address(party: Any, wanted: Address) -> None:
    Row = Pool().get("party.address")
    rows = _active(Pool().get("party.party")(party.id).addresses)
    with _refusing("address"):
        if wanted == Address():
            Row.delete(rows)
            return
        values = {
            "attn": wanted.care_of,
            "street": _street(wanted),
            "postal_code": wanted.postal_code,
            "city": wanted.city,
            **_country(wanted),
        }
        if rows:
            Row.write(rows[:1], values)
        else:
            Row.create([{"party": party.id, **values}])


def _spelled(wanted: Address) -> Address:
    """The address as a record shows it, so that the same one is no change: its region can be given by its code, and its first line be
    missing, which Tryton does not tell from a missing second one."""
    region = _region(wanted)
    line1, line2 = _lines(_street(wanted))
    return wanted.model_copy(update={"region": region.name if region else None, "line1": line1, "line2": line2})


def _country(wanted: Address) -> dict[str, int | None]:
    country = Pool().get("country.country").search([("code", "=", wanted.country)]) if wanted.country else []
    if wanted.country and not country:
        raise Refusal(422, "unknown-country", "Tryton has no such country.", "address")
    region = _region(wanted)
    return {"country": country[0].id if country else None, "subdivision": region.id if region else None}


def _region(wanted: Address) -> Any:
    if not wanted.region:
        return None
    name = ["OR", ("code", "=", f"{wanted.country}-{wanted.region}"), ("name", "=", wanted.region)]
    found = Pool().get("country.subdivision").search([("country.code", "=", wanted.country), name])
    if len(found) != 1:
        raise Refusal(422, "unknown-region", "Tryton has no such subdivision of the country.", "address")
    return found[0]


@contextmanager
def _refusing(field: str) -> Iterator[None]:
    """Says which field Tryton refuses. Each is written on its own, as Tryton says it only in a text that repeats the value."""
    try:
        yield
    except SQLConstraintError:
        raise
    except REFUSALS:
        code = f"invalid-{field.replace('_', '-')}"
        raise Refusal(422, code, "Tryton refuses the value. Entered in Tryton itself, it says why.", to_camel(field)) from None
