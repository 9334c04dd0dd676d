//! The fields of customers that can have fixed values. Most of them are references to rows of other tables, by id or by
//! code (erp-apis §1.12).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::erp::{FixedField, FixedKind, FixedValues};

pub(super) const TAX_AREAS: &str = "taxAreas";

/// Whether customers of this kind have the field. `contacts` have none of them (erp-apis §1.3).
pub(crate) const fn takes(field: &FixedField, kind: FixedKind) -> bool {
    let is_customer = !matches!(kind, FixedKind::Contacts);
    is_customer && (column(field).is_some() || matches!(field, FixedField::Dimension(_)))
}

/// A property of a customer that refers to a row of another table.
pub(super) struct Column {
    pub(super) property: &'static str,
    /// The entity set of the table.
    pub(super) set: &'static str,
    /// Whether the property holds the row's id rather than its code.
    pub(super) is_id: bool,
    /// The page where people see the table.
    pub(super) page: &'static str,
}

pub(super) const fn column(field: &FixedField) -> Option<Column> {
    let (property, set, is_id, page) = match field {
        FixedField::PaymentTerms => ("paymentTermsId", "paymentTerms", true, "Payment Terms"),
        FixedField::PaymentMethod => ("paymentMethodId", "paymentMethods", true, "Payment Methods"),
        FixedField::ShipmentMethod => (
            "shipmentMethodId",
            "shipmentMethods",
            true,
            "Shipment Methods",
        ),
        FixedField::TaxArea => (
            "taxAreaId",
            TAX_AREAS,
            true,
            "VAT Business Posting Groups (where sales tax is used: Tax Areas)",
        ),
        FixedField::Currency => ("currencyCode", "currencies", false, "Currencies"),
        FixedField::Salesperson => (
            "salespersonCode",
            "salespeoplePurchasers",
            false,
            "Salespeople/Purchasers",
        ),
        FixedField::FiscalPosition
        | FixedField::Lang
        | FixedField::Tags
        | FixedField::PriceList
        | FixedField::Dimension(_) => return None,
    };
    Some(Column {
        property,
        set,
        is_id,
        page,
    })
}

/// A fixed value as it is written.
#[derive(Debug, Clone)]
pub(super) enum Reference {
    Property(&'static str, String),
    Dimension(Dimension),
}

#[derive(Debug, Clone)]
pub(super) struct Dimension {
    /// Its code.
    pub(super) code: String,
    pub(super) id: String,
    pub(super) value_id: String,
}

/// The fixed values, and what those that were looked up stand for.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) fixed: FixedValues,
    known: Mutex<HashMap<(FixedField, String), Reference>>,
}

impl References {
    /// What a value stands for, where it was looked up before.
    pub(super) fn known(&self, key: &(FixedField, String)) -> Option<Reference> {
        self.lock().get(key).cloned()
    }

    pub(super) fn remember(&self, key: (FixedField, String), reference: Reference) {
        self.lock().insert(key, reference);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(FixedField, String), Reference>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
