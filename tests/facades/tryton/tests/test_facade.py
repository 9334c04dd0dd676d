"""The promises of the contract that are easily broken, against a facade and a Tryton that run as they do in earnest."""

import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

FACADE = Path(__file__).parents[1]
CONTRACT = yaml.safe_load((FACADE.parents[2] / "shared/src/erp/http/openapi.yaml").read_text())
KEY = "a-key-for-tests-only"
numbers = count(1)


class Facade:
    """A client that checks every answer against the contract."""

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)

    def __call__(self, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str) -> Any:
        answer = self.http.request(method, path, json=body, headers={n.replace("_", "-"): v for n, v in headers.items()})
        content = answer.json() if answer.content else None
        assert answer.status_code == status, content
        if status == 204:
            assert content is None
            return None
        jsonschema.validate(content, schema_of(method, answer.url.path, status) | {"components": CONTRACT["components"]})
        return content

    def add(self, resource: str = "customers", *, status: int = 201, key: str | None = None, **values: Any) -> Any:
        key = key or f"customer/client/{next(numbers)}"
        return self("POST", f"/v1/{resource}", {"kind": "person", "name": "Anna Ek"} | values, status=status, Idempotency_Key=key)

    def change(self, record: Any, *, status: int = 200, resource: str = "customers", **values: Any) -> Any:
        return self("PATCH", f"/v1/{resource}/{record['id']}", values, status=status, If_Match=record["version"])

    def found(self, resource: str = "customers", **wanted: Any) -> set[str]:
        return {record["id"] for record in self("POST", "/v1/search", {"resource": resource} | wanted)["records"]}

    def listed(self, query: str = "") -> Iterator[Any]:
        cursor = ""
        while True:
            page = self("GET", f"/v1/customers?{query}{cursor}")
            yield from page["records"]
            if page["next"] is None:
                return
            cursor = f"&cursor={page['next']}"


def schema_of(method: str, path: str, status: int) -> dict[str, Any]:
    fits = [t for t in CONTRACT["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", t), path)]
    template = path if path in fits else fits[0]
    responses = CONTRACT["paths"][template].get(method.lower(), {}).get("responses", {})
    response = responses.get(str(status)) or {"$ref": "#/components/responses/Error"}
    if name := response.get("$ref"):
        response = CONTRACT["components"]["responses"][name.rpartition("/")[2]]
    schema: dict[str, Any] = response["content"]["application/json"]["schema"]
    return schema


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tryton")


@contextmanager
def serving(directory: Path, *options: str, **settings: str) -> Iterator[tuple[Facade, subprocess.Popen[str]]]:
    command = [sys.executable, str(FACADE / "serve.py"), str(directory), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"FACADE_KEY": KEY} | settings) as process:
        assert process.stdout
        try:
            yield Facade(process.stdout.readline().split()[1]), process
        finally:  # also of a test that fails, which would wait for it otherwise
            process.terminate()


@pytest.fixture(scope="session")
def facade(directory: Path) -> Iterator[Facade]:
    with serving(directory) as (facade, _):
        yield facade


@pytest.fixture(scope="session")
def people(directory: Path, facade: Facade) -> Iterator[Any]:
    """People at Tryton, in a process of their own."""
    command = [sys.executable, str(FACADE / "people.py"), str(directory), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"

        def say(command: str, *arguments: Any) -> str:
            assert process.stdin and process.stdout
            words = [a if isinstance(a, str) else json.dumps(a) for a in arguments]
            print(command, *words, file=process.stdin, flush=True)
            result, _, text = process.stdout.readline().rstrip("\n").partition(" ")
            assert result == "ok", text
            return text

        yield say
        process.stdin.close()


def test_about_says_the_time_of_the_clock_that_stamps(facade: Facade) -> None:
    before = facade("GET", "/v1/about")["time"]
    record = facade.add()
    assert before[:26] <= record["modified"][:26] <= facade("GET", "/v1/about")["time"][:26]


def test_an_answer_does_not_wait_for_an_acknowledgement(facade: Facade) -> None:
    # Linux acknowledges at once at the beginning of a connection, and later after 40 ms.
    took = [facade.http.get("/v1/about").elapsed.total_seconds() for _ in range(40)]
    assert min(took[-10:]) < 0.035


def test_a_create_is_done_once(facade: Facade) -> None:
    first = facade.add(key="customer/client/once", name="Anna Ek", email="anna@ek.example")
    assert facade.add(key="customer/client/once", name="Another", status=200) == first


def test_creates_at_the_same_time_make_one_record(facade: Facade) -> None:
    def create(_: int) -> tuple[int, str]:
        headers = {"Idempotency-Key": "customer/client/race"}
        answer = facade.http.post("/v1/customers", json={"kind": "person", "name": "Bo Al", "code": "RACE"}, headers=headers)
        return answer.status_code, str(answer.json().get("id"))

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(create, range(24)))
    assert sorted(status for status, _ in answers) == [200] * 23 + [201]
    assert len({id_ for _, id_ in answers}) == 1


def test_a_create_that_a_crash_cut_off_is_done_once(facade: Facade, directory: Path) -> None:
    def create(through: Facade, number: int) -> tuple[int, Any]:
        body = {"kind": "person", "name": "Bo Al", "email": "crash@ek.example", "address": {"city": "Lund"}}
        answer = through.http.post("/v1/customers", json=body, headers={"Idempotency-Key": f"customer/client/crash-{number}"})
        return answer.status_code, answer.json()

    def create_and_crash(number: int) -> Any:
        if number == 20:
            process.kill()
        try:
            return create(doomed, number)[1]
        except httpx.HTTPError:
            return None

    with serving(directory) as (doomed, process), ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(create_and_crash, range(30)))
    assert None in answers and any(answers)
    repeats = [create(facade, number) for number in range(30)]
    for answer, (status, record) in zip(answers, repeats, strict=True):
        assert status in (200, 201) and record["email"] and record["address"]
        assert answer in (None, record)
    assert facade.found(emails=["crash@ek.example"]) == {record["id"] for _, record in repeats}


def test_a_taken_code_is_answered_with_its_holder(facade: Facade) -> None:
    holder = facade.add(code="K17")
    assert facade.add(code="K17", status=409)["record"] == holder
    assert facade.add(code="k17")["code"] == "k17"


def test_the_sequence_goes_past_codes_that_were_requested(facade: Facade) -> None:
    following = str(int(facade.add()["code"]) + 1)
    facade.add(code=following)
    assert facade.add()["code"] not in ("", following)


def test_a_change_of_a_stale_record_is_refused(facade: Facade, people: Any) -> None:
    record = facade.add(email="anna@ek.example")
    people("change", record["id"], {"email": "anna.ek@ek.example"})
    assert facade.change(record, name="Anna", status=412)["error"]["code"] == "changed"
    assert facade("GET", f"/v1/customers/{record['id']}")["name"] == "Anna Ek"


def test_of_changes_at_the_same_time_one_is_done(facade: Facade) -> None:
    record = facade.add()

    def change(number: int) -> int:
        headers = {"If-Match": record["version"]}
        return facade.http.patch(f"/v1/customers/{record['id']}", json={"phone": f"046-{number}"}, headers=headers).status_code

    with ThreadPoolExecutor(12) as threads:
        assert sorted(threads.map(change, range(12))) == [200] + [412] * 11


def test_a_change_leaves_clears_and_replaces(facade: Facade) -> None:
    address = {"line1": "Nygatan 2", "line2": "B", "city": "Lund", "country": "SE"}
    record = facade.add(email="a@ek.example", phone="1", mobile="2", address=address)
    changed = facade.change(record, phone=None, mobile="3", address={"careOf": "Bo", "line1": "Storgatan 1", "country": "NO"})
    expected = record | {"mobile": "3", "address": {"careOf": "Bo", "line1": "Storgatan 1", "country": "NO"}}
    del expected["phone"]
    assert {n: v for n, v in changed.items() if n not in ("version", "modified")} == {
        n: v for n, v in expected.items() if n not in ("version", "modified")
    }
    assert "address" not in facade.change(changed, address=None)


def test_a_change_of_nothing_is_none(facade: Facade) -> None:
    address = {"line1": "Nygatan 2", "city": "Lund", "country": "SE"}
    record = facade.add(kind="organisation", name="Ek AB", email="a@ek.example", organisationNumber="5560360793", address=address)
    same = {"name": "Ek AB", "email": "a@ek.example", "organisationNumber": "556036 0793", "address": address, "phone": None}
    assert facade("PATCH", f"/v1/customers/{record['id']}", same, If_Match=record["version"]) == record
    # A title is no field of this facade, and is ignored.
    assert facade.change(record, title="Buyer") == record


CHANGES: list[dict[str, Any]] = [{"city": "Malmö"}, {"phone": "046-1"}, {"eu_vat": "SE556036079301"}, {"email": None}, {"active": False}]


@pytest.mark.parametrize("change", CHANGES)
def test_since_shows_a_change_of_any_part(facade: Facade, people: Any, change: dict[str, Any]) -> None:
    record = facade.add(email="a@ek.example", address={"city": "Lund", "country": "SE"})
    since = facade("GET", "/v1/about")["time"].replace("+00:00", "Z")
    assert list(facade.listed(f"since={since}")) == []
    people("change", record["id"], change)
    (changed,) = facade.listed(f"since={since}")
    assert changed["id"] == record["id"] and changed["version"] != record["version"]
    # Inclusive, to the microsecond.
    assert list(facade.listed(f"since={changed['modified']}")) == [changed]
    later = changed["modified"][:-7] + f"{int(changed['modified'][-7:-1]) + 1:06}Z"
    assert int(changed["modified"][-7:-1]) == 999999 or list(facade.listed(f"since={later}")) == []


def test_a_listing_misses_nothing_while_rows_change(facade: Facade, people: Any) -> None:
    there = [facade.add(name=f"Number {n}")["id"] for n in range(12)]
    gone = people("add-customer", {"name": "Gone", "norce_kind": "person"})
    seen = []
    for record in facade.listed("limit=3"):
        seen.append(record["id"])
        people("change", there[0], {"name": f"Changed {len(seen)}"})
        if len(seen) == 2:
            people("remove", gone)
            people("change", there[5], {"active": False})
    assert set(there) <= set(seen) and gone not in seen and len(seen) == len(set(seen))


def test_search_compares_whole_values(facade: Facade) -> None:
    numbers: dict[str, Any] = {"vatNumber": "SE556016068001", "organisationNumber": "556016-0680"}
    record = facade.add(code="S1", email="Search@Ek.example", kind="organisation", **numbers)
    for wanted in (
        {"emails": [" search@ek.EXAMPLE "]},
        {"numbers": ["5560160680"]},
        {"numbers": ["556016-0680"]},
        {"numbers": ["se 5560160680 01"]},
        {"codes": ["S1", "S2"]},
        {"ids": [record["id"], "999999"], "resource": "customers", "kind": "organisation"},
    ):
        assert facade.found(**wanted) == {record["id"]}, wanted
    for other in (
        {"emails": ["arch@ek.example"]},
        {"emails": ["search@ek.exampl_"]},
        {"emails": ["%"]},
        {"emails": [" "]},
        {"numbers": ["55601606"]},
        {"numbers": ["-"]},
        {"codes": ["s1"]},
        {"ids": ["S1"]},
        {"ids": [record["id"]], "kind": "person"},
    ):
        assert facade.found(**other) == set(), other


def test_every_holder_is_found(facade: Facade) -> None:
    holders = {facade.add(email="shared@ek.example")["id"] for _ in range(3)}
    assert facade.found(emails=["shared@ek.example"]) == holders


def test_a_blocked_record_is_found_and_listed(facade: Facade) -> None:
    record = facade.add(email="blocked@ek.example")
    blocked = facade("POST", f"/v1/customers/{record['id']}/block", {"extent": "all"})
    assert blocked["blocked"] and blocked["version"] != record["version"]
    assert facade("POST", f"/v1/customers/{record['id']}/block", {"extent": "invoice"}) == blocked
    assert facade.found(emails=["blocked@ek.example"]) == {record["id"]}
    assert blocked in list(facade.listed())


def test_what_people_archive_is_no_value_any_more(facade: Facade, people: Any) -> None:
    record = facade.add(email="archived@ek.example")
    people("archive", record["id"], "email")
    now = facade("GET", f"/v1/customers/{record['id']}")
    assert "email" not in now and now["version"] != record["version"]
    assert facade.found(emails=["archived@ek.example"]) == set()
    assert facade.change(now, email="archived@ek.example")["email"] == "archived@ek.example"


def test_a_removed_record_does_not_exist_any_more(facade: Facade) -> None:
    record = facade.add(key="customer/client/trial", code="TRIAL", email="trial@ek.example", address={"city": "Lund", "country": "SE"})
    address = f"/v1/customers/{record['id']}"
    facade("DELETE", address, status=204)
    for method, body in (("GET", None), ("PATCH", {"name": "A"}), ("DELETE", None)):
        assert facade(method, address, body, status=404, If_Match=record["version"])["error"]["code"] == "not-found"
    assert not facade.found(ids=[record["id"]]) and not facade.found(emails=["trial@ek.example"])
    assert record["id"] not in {listed["id"] for listed in facade.listed()}
    again = facade.add(key="customer/client/trial", code="TRIAL")
    assert int(again["id"]) > int(record["id"])


def test_a_record_that_others_refer_to_is_not_removed(facade: Facade) -> None:
    company = facade.add(kind="organisation", name="Ek AB", email="in-use@ek.example")
    contact = facade.add("contacts", company=company["id"])
    assert facade("DELETE", f"/v1/customers/{contact['id']}", status=404)["error"]["code"] == "not-found"
    address = f"/v1/customers/{company['id']}"
    assert facade("DELETE", address, status=409)["error"]["code"] == "in-use"
    assert facade("GET", address) == company
    facade("DELETE", f"/v1/contacts/{contact['id']}", status=204)
    facade("DELETE", address, status=204)


def test_a_contact_belongs_to_its_company(facade: Facade) -> None:
    companies = [facade.add(kind="organisation", name=f"Company {n}") for n in range(2)]
    contact = facade.add("contacts", company=companies[0]["id"], name="Bo Al", email="bo@al.example")
    assert facade.found("contacts", company=companies[0]["id"], emails=["bo@al.example"]) == {contact["id"]}
    assert facade.found("contacts", company=companies[1]["id"], emails=["bo@al.example"]) == set()
    assert facade("GET", f"/v1/customers/{contact['id']}", status=404)["error"]["code"] == "not-found"
    assert facade.change(contact, resource="contacts", company=companies[1]["id"])["company"] == companies[1]["id"]
    assert facade.add("contacts", company="999999", status=422)["error"]["field"] == "company"


@pytest.mark.parametrize("field", ["vatNumber", "organisationNumber"])
def test_tryton_refuses_a_wrong_number_and_nothing_is_done(facade: Facade, field: str) -> None:
    error = facade.add(key="customer/client/wrong", status=422, **{field: "SE556036079401"})["error"]
    assert error["field"] == field and error["code"].startswith("invalid-") and "5560" not in str(error)
    facade.add(key=f"customer/client/right-{field}")  # neither the key nor the sequence is in the way
    record = facade.add(name="Before")
    facade.change(record, name="After", status=422, **{field: "123"})
    assert facade("GET", f"/v1/customers/{record['id']}") == record


NUMBERS: list[tuple[str, str, str]] = [
    ("SE", "556016-0680", "SE556016068001"),
    ("NO", "987654325", "NO987654325MVA"),
    ("DK", "13585628", "DK13585628"),
    ("FI", "2077474-0", "FI20774740"),
]


@pytest.mark.parametrize(("country", "number", "vat"), NUMBERS)
def test_numbers_are_those_of_the_country(facade: Facade, people: Any, country: str, number: str, vat: str) -> None:
    values: dict[str, Any] = {"kind": "organisation", "organisationNumber": number, "vatNumber": vat}
    record = facade.add(**values, address={"city": "Ås", "country": country})
    shown = {n: re.sub("[ -]", "", record[n]) for n in ("organisationNumber", "vatNumber")}
    assert shown == {"organisationNumber": number.replace("-", ""), "vatNumber": vat}
    assert record["id"] in facade.found(numbers=[number]) & facade.found(numbers=[vat])
    assert facade("PATCH", f"/v1/customers/{record['id']}", values, If_Match=record["version"]) == record
    cleared = facade.change(record, organisationNumber=None, vatNumber=None)
    assert not cleared.keys() & {"organisationNumber", "vatNumber"}


def test_a_number_follows_its_company_to_another_country(facade: Facade, people: Any) -> None:
    record = facade.add(kind="organisation", organisationNumber="556016-0680")
    record = facade.change(record, organisationNumber="987654325", address={"city": "Oslo", "country": "NO"})
    assert json.loads(people("dump", record["id"]))["no_orgnr"] == "987 654 325"
    assert facade.change(record, organisationNumber="556016-0680", status=422)["error"]["code"] == "invalid-organisation-number"
    error = facade.change(record, organisationNumber="1", address={"country": "FR"}, status=422)["error"]
    assert (error["code"], error["field"]) == ("unknown-number", "organisationNumber")


def test_a_rule_of_the_database_is_no_outage(facade: Facade, people: Any) -> None:
    people("refuse", "refused@ek.example")
    record = facade.add(email="other@ek.example")
    for error in (
        facade.add(key="customer/client/refused", email="Refused@ek.example", status=422)["error"],
        facade.change(record, email="refused@ek.example", status=422)["error"],
    ):
        assert error["field"] == "email" and "refused@" not in str(error).lower() and "credit" not in str(error)
    assert facade.found(emails=["refused@ek.example"]) == set()
    people("refuse-nothing")
    facade.add(key="customer/client/refused", email="refused@ek.example")


def test_unknown_ids_addresses_and_cursors_are_told_apart(facade: Facade) -> None:
    for id_ in ("999999", "no-number", "9" * 30):
        assert facade("GET", f"/v1/customers/{id_}", status=404)["error"]["code"] == "not-found"
        assert facade("PATCH", f"/v1/customers/{id_}", {}, status=404, If_Match="1")["error"]["code"] == "not-found"
    assert facade("GET", "/v1/suppliers", status=404)["error"]["code"] != "not-found"
    assert facade("GET", "/v1/customers?cursor=abc", status=410)["error"]["code"] == "cursor-expired"


def test_a_record_that_cannot_be_shown_is_named_and_no_outage(facade: Facade, people: Any) -> None:
    people("add-country", {"name": "Elsewhere"})
    record = facade.add(email="elsewhere@ek.example", address={"city": "Lund", "country": "SE"})
    people("change", record["id"], {"country": "Elsewhere"})
    address = f"/v1/customers/{record['id']}"
    for error in (
        facade("GET", address, status=422),
        facade("PATCH", address, {"name": "A"}, status=422, If_Match=record["version"]),
    ):
        assert error["error"]["code"] == "unreadable" and f"record {record['id']} " in error["error"]["message"]
    for page in (
        facade("GET", "/v1/customers"),
        facade("POST", "/v1/search", {"resource": "customers", "ids": [record["id"], *(row["id"] for row in facade("GET", "/v1/customers")["records"])]}),
    ):
        assert [row["id"] for row in page["unusable"]] == [record["id"]] and page["records"]
    people("change", record["id"], {"country": "NO"})
    assert facade("GET", address)["address"]["country"] == "NO"


def test_the_same_address_in_another_form_is_no_change(facade: Facade, people: Any) -> None:
    people("add-subdivision", {"country": "SE", "code": "SE-M", "name": "Skåne"})
    record = facade.add(address={"city": "Lund", "region": "Skåne", "country": "SE"})
    assert record["address"]["region"] == "Skåne"
    assert facade.change(record, address={"city": "Lund", "region": "M", "country": "SE"}) == record
    second_line_only = {"line2": "Nygatan 2", "country": "SE"}
    record = facade.change(record, address=second_line_only)
    assert facade.change(record, address=second_line_only) == record
    error = facade.change(record, address={"city": "Lund", "region": "Skane", "country": "SE"}, status=422)
    assert error["error"]["field"] == "address"


def test_strangers_learn_nothing(facade: Facade) -> None:
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Authorization": ""}):
        for path in ("/v1/about", "/v1/customers", "/docs", "/nothing"):
            answer = facade.http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


def test_a_company_that_is_not_there_is_no_empty_register(facade: Facade, directory: Path) -> None:
    assert facade("GET", "/v1/customers", status=403, Erp_Company="shop")["error"]["code"] == "unknown-company"
    with serving(directory, "--company", "shop") as (shop, _):
        assert shop("GET", "/v1/customers", Erp_Company="shop")["records"]
        for headers in ({}, {"Erp_Company": "outlet"}):
            assert shop("GET", "/v1/about", status=403, **headers)["error"]["code"] == "unknown-company"


def signed(request: httpx.Request, key: str, age: float = 0) -> httpx.Request:
    """Signs as the contract says, with nothing of the facade."""

    def base64(value: bytes) -> str:
        return b64encode(value).decode()

    if request.content:
        request.headers["content-digest"] = f"sha-256=:{base64(hashlib.sha256(request.content).digest())}:"
    values = {"@method": request.method, "@target-uri": str(request.url)}
    values |= {n: request.headers[n] for n in ("content-digest", "idempotency-key", "if-match", "erp-company") if n in request.headers}
    names = " ".join(f'"{name}"' for name in values)
    input_ = f'({names});created={int(time.time() - age)};keyid="norce";alg="hmac-sha256"'
    base = "".join(f'"{name}": {value}\n' for name, value in values.items()) + f'"@signature-params": {input_}'
    request.headers["signature-input"] = f"norce={input_}"
    request.headers["signature"] = f"norce=:{base64(hmac.digest(key.encode(), base.encode(), 'sha256'))}:"
    return request


def test_where_there_is_a_signing_key_requests_are_signed(directory: Path, facade: Facade) -> None:
    former, new = "f" * 32, "n" * 32
    with serving(directory, FACADE_SIGNING_KEY=f"{former} {new}") as (signing, _):
        http = signing.http

        def create(name: str = "Anna Ek") -> httpx.Request:
            return http.build_request("POST", "/v1/customers", json={"kind": "person", "name": name}, headers={"Idempotency-Key": "customer/client/signed"})

        for key in (former, new):
            assert http.send(signed(http.build_request("GET", "/v1/customers?limit=1&kind=person"), key)).status_code == 200
        assert http.send(signed(create(), former)).status_code == 201
        assert http.send(signed(create(), new, age=240)).status_code == 200
        good = signed(create(), new).headers
        wrong = [create(), signed(create(), "w" * 32), signed(create(), new, age=360), signed(create(), new, age=-360)]
        # The signature of another request: other values, another address, method, key or company.
        for other in (
            create("Bo Al"),
            http.build_request("POST", "/v1/contacts", content=create().content),
            http.build_request("POST", "/v1/customers?limit=1", content=create().content),
            http.build_request("PATCH", "/v1/customers", content=create().content),
        ):
            wrong.append(other)
            other.headers.update({name: good[name] for name in ("idempotency-key", "content-digest", "signature-input", "signature")})
        for header in ({"Idempotency-Key": "customer/client/another"}, {"Erp-Company": "outlet"}, {"If-Match": "1"}):
            wrong.append(signed(create(), new))
            wrong[-1].headers.update(header)
        for request in wrong:
            answer = http.send(request)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not-signed")


def test_a_malformed_request_is_not_repeated(facade: Facade) -> None:
    for body in ({"kind": "person", "name": 12345678}, {"kind": "secret12345678", "name": "A"}, {"kind": "person"}, ["12345678"]):
        error = facade("POST", "/v1/customers", body, status=400, Idempotency_Key="customer/client/1")
        assert "12345678" not in str(error)
    record = facade.add()
    assert facade.change(record, name=None, status=400)["error"]["field"] == "name"
    assert facade("POST", "/v1/customers", {"kind": "person", "name": "A" * 70_000}, status=413, Idempotency_Key="a")["error"]


def test_what_people_enter_is_shown(facade: Facade, people: Any) -> None:
    values = {"name": "Ek AB", "norce_kind": "organisation", "email": "i@ek.example"}
    id_ = people("add-customer", values | {"se_orgnr": "556036-0793", "street": "A 1\nB", "country": "SE"})
    record = facade("GET", f"/v1/customers/{id_}")
    assert record["organisationNumber"] == "556036-0793" and record["address"] == {"line1": "A 1", "line2": "B", "country": "SE"}
    facade.change(record, name="Ek Bygg AB", phone="046-2")
    shown = json.loads(people("dump", id_))
    assert (shown["name"], shown["phone"], shown["email"]) == ("Ek Bygg AB", "046-2", "i@ek.example")
    people("remove", id_)
    facade("GET", f"/v1/customers/{id_}", status=404)


def test_a_key_whose_record_people_have_removed_makes_another(facade: Facade, people: Any) -> None:
    record = facade.add(key="customer/client/removed")
    people("remove", record["id"])
    again = facade.add(key="customer/client/removed")
    assert int(again["id"]) > int(record["id"])
