"""Requests and answers of shared/src/erp/http/openapi.yaml, as far as this facade uses them. Unknown properties are ignored."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class Resource(StrEnum):
    CUSTOMERS = "customers"
    CONTACTS = "contacts"


class Kind(StrEnum):
    PERSON = "person"
    ORGANISATION = "organisation"


class Extent(StrEnum):
    INVOICE = "invoice"
    ALL = "all"


class Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, str_strip_whitespace=True)


Name = Annotated[str, Field(min_length=1)]
Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.~-]+$")]


class Address(Model):
    care_of: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    region: str | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None

    @model_validator(mode="before")
    @classmethod
    def blank_is_absent(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v != ""} if isinstance(values, dict) else values


class Values(Model):
    """What a record shows and a request can write. `None` clears; `model_fields_set` tells that from "leave it as it is"."""

    email: str | None = None
    phone: str | None = None
    mobile: str | None = None
    vat_number: str | None = None
    organisation_number: str | None = None
    address: Address | None = None


# A default is not validated, so that these may be absent and still not be null.
class Changes(Values):
    name: Name = ""
    company: Id = ""


class NewRecord(Values):
    kind: Kind
    name: Name
    code: Name | None = None
    company: Id | None = None


class Search(Model):
    resource: Resource
    kind: Kind | None = None
    company: Id | None = None
    ids: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    codes: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    emails: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    numbers: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def exactly_one_list(self) -> "Search":
        if [self.ids, self.codes, self.emails, self.numbers].count(None) != 3:
            raise ValueError("exactly one of the lists must be present")
        return self


class Block(Model):
    extent: Extent


class Record(Values):
    id: str
    code: str
    version: str
    modified: AwareDatetime
    kind: Kind
    blocked: bool
    company: str | None = None
    name: str | None = None


class Refusal(Exception):
    """An answer that is an error. The message is for people, and never repeats a value: values are personal data."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None, record: Record | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.body: dict[str, Any] = {"error": {"code": code, "message": message}}
        if field:
            self.body["error"]["field"] = field
        if record:
            self.body["record"] = record.model_dump(mode="json", by_alias=True, exclude_none=True)


def not_found() -> Refusal:
    return Refusal(404, "not-found", "There is no such record.")
