//! Whether the fixed values of `ERP_FIXED_VALUES` suit the ERP and the applications.

use std::collections::BTreeSet;

use super::configuration::{ErpKind, ErpSettings};
use crate::{
    domain::{ApplicationId, ApplicationSettings, Scope},
    erp::{FixedValues, business_central, odoo},
};

impl ErpSettings {
    /// Checks what the values' own syntax does not show.
    ///
    /// # Errors
    /// The first rule that can never have an effect, and the reason.
    pub(super) fn check_fixed_values(
        &self,
        shops: Option<&ApplicationSettings>,
    ) -> Result<(), String> {
        let applications: Option<BTreeSet<ApplicationId>> = shops.map(|shops| {
            let scopes = shops.scopes().into_iter();
            scopes.filter_map(Scope::application).collect()
        });
        let applications = applications.as_ref();
        match self.kind {
            ErpKind::BusinessCentral => {
                self.fixed_values
                    .check("Business Central", business_central::takes, applications)
            }
            ErpKind::Odoo => self.fixed_values.check("Odoo", odoo::takes, applications),
            ErpKind::Http if self.fixed_values != FixedValues::default() => Err(
                "the HTTP contract has none: the facade sets what every record needs".to_owned(),
            ),
            ErpKind::Http => Ok(()),
        }
    }
}
