//! What is done with what comes from the shop.

use crate::{
    domain::{CodePattern, ErpCodes, FirstBindingWrites, KeptWhenEmptied, OwnedFields, SyncKinds},
    matching::SharedEmail,
};

use super::environment::Environment;

string_enum! {
    /// `CREATE_IN_ERP`: when an entity without a code is created in the ERP.
    CreateInErp {
        /// With its first order.
        FirstOrder = "first-order",
        /// As soon as it is heard of.
        Always = "always",
        /// Never: people make the ERP's records.
        Never = "never",
    }
}

string_enum! {
    /// `FORGOTTEN_POLICY`: what happens in the ERP when a customer is forgotten in Norce.
    ForgottenPolicy {
        /// The record stays as it is.
        Keep = "keep",
        /// The record is closed for orders, shipments and invoices; what is open can still be paid or refunded.
        Invoice = "invoice",
        /// The record is closed for everything.
        All = "all" | "block",
    }
}

/// What to do with what comes from the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPolicy {
    /// `SYNC_KINDS`.
    pub sync_kinds: SyncKinds,
    /// `CREATE_IN_ERP`.
    pub create_in_erp: CreateInErp,
    /// `FORGOTTEN_POLICY`.
    pub forgotten: ForgottenPolicy,
    /// `ERP_CODE_PATTERN`.
    pub code_pattern: Option<CodePattern>,
    /// `ERP_OWNED_FIELDS`.
    pub erp_owns: OwnedFields,
    /// `FIRST_BINDING_WRITES`.
    pub first_binding_writes: FirstBindingWrites,
    /// `KEPT_WHEN_EMPTIED`.
    pub kept_when_emptied: KeptWhenEmptied,
    /// How customers and companies are matched with the ERP's records.
    pub matching: MatchingPolicy,
}

/// How customers and companies of Norce are matched with the ERP's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchingPolicy {
    /// `SHARED_EMAIL`.
    pub shared_email: SharedEmail,
    /// `ERP_CODES`.
    pub erp_codes: ErpCodes,
}

impl MatchingPolicy {
    /// Reads the settings; `None` if one is faulty.
    pub fn read(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            shared_email: environment.or_default("SHARED_EMAIL", SharedEmail::default()),
            erp_codes: environment.or_default("ERP_CODES", ErpCodes::default()),
        })
    }
}

impl SyncPolicy {
    /// Reads the settings; `None` if one is faulty.
    pub fn read(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            sync_kinds: read_sync_kinds(environment),
            create_in_erp: environment.or_default("CREATE_IN_ERP", CreateInErp::FirstOrder),
            forgotten: environment.or_default("FORGOTTEN_POLICY", ForgottenPolicy::Keep),
            code_pattern: Some(environment.optional("ERP_CODE_PATTERN")),
            erp_owns: read_erp_owns(environment),
            matching: MatchingPolicy::read(environment),
            first_binding_writes: environment
                .or_default("FIRST_BINDING_WRITES", FirstBindingWrites::default()),
            kept_when_emptied: environment
                .or_default("KEPT_WHEN_EMPTIED", KeptWhenEmptied::default()),
        })
    }
}

/// Reads `ERP_OWNED_FIELDS`: the groups of fields that the ERP owns.
pub fn read_erp_owns(environment: &mut Environment<'_>) -> Option<OwnedFields> {
    environment.or_default("ERP_OWNED_FIELDS", OwnedFields::DEFAULT)
}

/// Reads `SYNC_KINDS`: what is synchronized at all.
pub fn read_sync_kinds(environment: &mut Environment<'_>) -> Option<SyncKinds> {
    environment.or_default("SYNC_KINDS", SyncKinds::ALL)
}
