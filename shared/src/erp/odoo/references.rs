//! The fields of partners that can have fixed values: a language, and references to other records, which people know by
//! name (erp-apis §2.6).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::erp::{FixedField, FixedKind, FixedValues};

/// Contact tags, of which a partner can have several.
pub(super) const TAGS: &str = "category_id";

/// Whether partners of this kind have the field. A contact has the commercial fields of its company, which Odoo copies
/// over its own.
pub(crate) const fn takes(field: &FixedField, kind: FixedKind) -> bool {
    match field {
        FixedField::Lang | FixedField::Salesperson | FixedField::Tags => true,
        FixedField::PaymentTerms | FixedField::FiscalPosition | FixedField::PriceList => {
            !matches!(kind, FixedKind::Contacts)
        }
        FixedField::PaymentMethod
        | FixedField::ShipmentMethod
        | FixedField::Currency
        | FixedField::TaxArea
        | FixedField::Dimension(_) => false,
    }
}

/// A field of a partner that refers to records of a model.
pub(super) struct Reference {
    pub(super) field: &'static str,
    pub(super) model: &'static str,
    /// The field by which people know a record.
    pub(super) key: &'static str,
    /// Whether the records belong to companies.
    pub(super) of_company: bool,
    /// What they are called, in the plural.
    pub(super) what: &'static str,
    /// How the field comes into a database that does not have it.
    pub(super) install: &'static str,
}

pub(super) const fn reference(field: &FixedField) -> Option<Reference> {
    let named = Reference {
        field: TAGS,
        model: "res.partner.category",
        key: "name",
        of_company: false,
        what: "contact tags",
        install: "",
    };
    Some(match field {
        FixedField::Tags => named,
        FixedField::PaymentTerms => Reference {
            field: "property_payment_term_id",
            model: "account.payment.term",
            of_company: true,
            what: "payment terms",
            install: "install the app Invoicing there",
            ..named
        },
        FixedField::FiscalPosition => Reference {
            field: "property_account_position_id",
            model: "account.fiscal.position",
            of_company: true,
            what: "fiscal positions",
            install: "install the app Invoicing there",
            ..named
        },
        FixedField::PriceList => Reference {
            field: "property_product_pricelist",
            model: "product.pricelist",
            of_company: true,
            what: "price lists",
            install: "install the app Sales there",
            ..named
        },
        FixedField::Salesperson => Reference {
            field: "user_id",
            model: "res.users",
            key: "login",
            what: "users",
            ..named
        },
        FixedField::Lang
        | FixedField::PaymentMethod
        | FixedField::ShipmentMethod
        | FixedField::Currency
        | FixedField::TaxArea
        | FixedField::Dimension(_) => return None,
    })
}

/// The fixed values, and what those that were looked up stand for.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) fixed: FixedValues,
    known: Mutex<HashMap<(FixedField, String), Value>>,
    pub(super) languages: OnceCell<Vec<String>>,
}

impl References {
    /// What a value stands for, where it was looked up before.
    pub(super) fn known(&self, key: &(FixedField, String)) -> Option<Value> {
        self.lock().get(key).cloned()
    }

    pub(super) fn remember(&self, key: (FixedField, String), value: Value) {
        self.lock().insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(FixedField, String), Value>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
