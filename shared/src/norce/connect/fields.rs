//! The fields that an import sets, which its header names once for all rows.

use serde::Serialize;

use crate::{
    domain::{EntityKind, FieldGroup, FieldGroups},
    norce::ImportShape,
};

/// `X-StormConnect-Header`: the account, and exactly the fields that the rows are there to set (norce-api §3.2).
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImportHeader {
    pub(super) account_id: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) customer_fields_that_are_set: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) company_fields_that_are_set: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) account_fields_that_are_set: Vec<&'static str>,
}

/// The names of the fields that rows of a shape set.
pub(super) fn fields_that_are_set(kind: EntityKind, shape: ImportShape) -> Vec<&'static str> {
    let customer = kind == EntityKind::Customer;
    let groups = groups_set(shape);
    let mut fields = Vec::new();
    if !shape.insert {
        fields.push("Id");
    }
    if groups.has(FieldGroup::Code) {
        fields.push("Code");
    }
    if groups.has(FieldGroup::Names) {
        fields.extend_from_slice(if customer {
            &["FirstName", "MiddleName", "LastName"]
        } else {
            &["Name"]
        });
    }
    if !customer && (shape.insert || groups.has(FieldGroup::OrganisationNumber)) {
        fields.push("OrganizationNo");
    }
    if !customer && (shape.insert || groups.has(FieldGroup::VatNumber)) {
        fields.push("VatNo");
    }
    if groups.has(FieldGroup::ContactDetails) {
        fields.extend(["EmailAddress", "PhoneNumber"]);
        if customer {
            fields.push("CellPhoneNumber");
        }
    }
    for (group, field) in [
        (FieldGroup::InvoiceAddress, "InvoiceAddress"),
        (FieldGroup::DeliveryAddresses, "DeliveryAddresses"),
        (FieldGroup::PriceLists, "PriceLists"),
        (FieldGroup::Active, "IsActive"),
        (FieldGroup::AdditionalInfo, "AdditionalInfo"),
    ] {
        if groups.has(group) {
            fields.push(field);
        }
    }
    if groups.has(FieldGroup::Flags) {
        // Otherwise flags that the rows do not name would be removed (norce-api §3.2).
        fields.extend(["Flags", "PreserveFlags"]);
    }
    if shape.relations {
        fields.push(if customer { "Companies" } else { "Customers" });
    }
    if shape.accounts {
        fields.push("Accounts");
    }
    fields
}

/// The groups of fields that rows of a shape set: an insert includes those that Norce requires (norce-api §3.4) and those
/// without which a customer is incomplete.
pub(super) fn groups_set(shape: ImportShape) -> FieldGroups {
    const WITH_AN_INSERT: FieldGroups = FieldGroups::of(&[
        FieldGroup::Code,
        FieldGroup::Names,
        FieldGroup::ContactDetails,
        FieldGroup::InvoiceAddress,
        FieldGroup::Active,
    ]);
    if shape.insert {
        shape.fields.union(WITH_AN_INSERT)
    } else {
        shape.fields
    }
}
