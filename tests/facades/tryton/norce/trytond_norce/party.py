"""What Tryton's parties lack: kind, company, the Norce entity, values as they are compared, and one stamp for the whole party."""

from functools import partial

from trytond.model import Index, Unique, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.transaction import Transaction

from .matching import email_key, number_key


class Party(metaclass=PoolMeta):
    __name__ = "party.party"

    norce_kind = fields.Selection([("person", "Person"), ("organisation", "Organisation")], "Kind", required=True)
    norce_company = fields.Many2One(
        "party.party",
        "Contact of",
        ondelete="RESTRICT",
        domain=[("id", "!=", Eval("id", -1)), ("norce_company", "=", None)],
        help="The organisation whose contact the party is.",
    )
    # A column of the party itself: the key and the party are in one transaction because they are in one row.
    norce_key = fields.Char("Norce Entity", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(("norce_key_unique", Unique(table, table.norce_key), "norce.msg_key_unique"))

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        # Parties that are older than this module. A team decides here which of its own are persons.
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update([table.norce_kind], ["organisation"], where=table.norce_kind == None))  # noqa: E711
        cls.__table_handler__(module).not_null_action("norce_kind", "add")

    @staticmethod
    def default_norce_kind():
        return "organisation"

    @classmethod
    def copy(cls, parties, default=None):
        # A duplicate that somebody makes in Tryton is another party; with the key it would be the same entity, or refused.
        return super().copy(parties, default={"norce_key": None, **(default or {})})

    @classmethod
    def on_modification(cls, mode, parties, field_names=None):
        super().on_modification(mode, parties, field_names=field_names)
        # Tryton merges two parties by SQL, which stamps nothing, and calls only this.
        if mode == "write" and "norce_company" in (field_names or ()):
            cls.write(parties, {})


def _touch(parties):
    Party = Pool().get("party.party")
    Party.write(Party.browse(sorted(parties)), {})


class _PartOfParty:
    """Stamps the party when one of its parts is made, changed or removed.

    Tryton stamps only the row that is written. To take the latest stamp of all rows when reading would miss a part that was removed,
    as its stamp goes with it.
    """

    __slots__ = ()

    @classmethod
    def on_modification(cls, mode, parts, field_names=None):
        super().on_modification(mode, parts, field_names=field_names)
        _touch({part.party.id for part in parts})

    @classmethod
    def on_write(cls, parts, values):
        # A part that moves to another party changes the one that it leaves, too.
        before = {part.party.id for part in parts} if "party" in values else set()
        return [*super().on_write(parts, values), partial(_touch, before)]


class _Compared(_PartOfParty):
    """Stores a value as it is compared, so that a search is exact and uses an index: no `ilike`, no "contains"."""

    __slots__ = ()
    _compared = ""
    _key = staticmethod(email_key)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(table, (table.norce_match, Index.Equality(cardinality="high"))))

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        value = getattr(table, cls._compared)
        cursor.execute(*table.select(table.id, value, where=table.norce_match == None))  # noqa: E711
        for id_, text in cursor.fetchall():
            cursor.execute(*table.update([table.norce_match], [cls._key(text or "")], where=table.id == id_))

    def compute_fields(self, field_names=None):
        values = super().compute_fields(field_names=field_names)
        key = self._key(getattr(self, self._compared) or "")
        if self.norce_match != key:
            values["norce_match"] = key
        return values


class Address(_PartOfParty, metaclass=PoolMeta):
    __name__ = "party.address"


class ContactMechanism(_Compared, metaclass=PoolMeta):
    __name__ = "party.contact_mechanism"
    _compared = "value"
    norce_match = fields.Char("As Compared", readonly=True)


class Identifier(_Compared, metaclass=PoolMeta):
    __name__ = "party.identifier"
    _compared = "code"
    _key = staticmethod(number_key)
    norce_match = fields.Char("As Compared", readonly=True)


class Replace(metaclass=PoolMeta):
    __name__ = "party.replace"

    @classmethod
    def fields_to_replace(cls):
        return [*super().fields_to_replace(), ("party.party", "norce_company")]
