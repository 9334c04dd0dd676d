//! The ERP of each scope: its address, its clock, and the rights there.

use std::sync::Arc;

use chrono::TimeDelta;
use erp_full_pass::told_groups;
use shared::{
    domain::{FieldGroups, Scope},
    erp::{Erp, ErpError, Listing, Resource},
    http::Deadline,
};

use super::{
    Doctor,
    check::{Fault, Finding, Planned, fault, of_a_check, unbuilt},
};

/// An ERP's clock that differs by more moves watermarks past records, because a pass laps a few minutes only.
const MOST_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::minutes(2);

impl Doctor {
    pub(super) fn erp_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
        let erps = match &self.erps {
            Ok(erps) => erps,
            Err(reason) => return vec![unbuilt("erp", reason)],
        };
        let mut scopes: Vec<(&Scope, &Arc<dyn Erp>)> = erps.iter().collect();
        scopes.sort_by_key(|(scope, _)| **scope);
        scopes
            .into_iter()
            .flat_map(|(scope, erp)| {
                let scope = *scope;
                [
                    Planned::new(format!("erp {scope}: reachable"), async move {
                        self.erp_clock(erp.as_ref(), deadline).await
                    }),
                    Planned::new(
                        format!("erp {scope}: customers can be read"),
                        self.erp_listing(erp.as_ref(), Resource::Customer, deadline),
                    ),
                    Planned::new(
                        format!("erp {scope}: contacts can be read"),
                        self.erp_listing(erp.as_ref(), Resource::Contact, deadline),
                    ),
                    Planned::new(format!("erp {scope}: records can be written"), async move {
                        may_write(erp.as_ref(), deadline).await
                    }),
                    Planned::new(format!("erp {scope}: owned fields"), async move {
                        let told = told_groups(self.erp_owns, erp.as_ref()).map_err(|error| {
                            fault(
                                error,
                                "Take these groups out of ErpOwnedFields, or name their fields in ErpExtraFields.",
                            )
                        })?;
                        Ok(format!("it is asked for: {told}"))
                    }),
                ]
            })
            .collect()
    }

    async fn erp_clock(&self, erp: &dyn Erp, deadline: Deadline) -> Finding {
        let name = erp.capabilities().name;
        let Some(theirs) = erp.clock(of_a_check(deadline)).await.map_err(erp_fault)? else {
            return Ok(format!("{name} answers; it does not tell its time"));
        };
        let difference = (theirs - self.clock.now()).abs();
        if difference > MOST_CLOCK_DIFFERENCE {
            return Err(fault(
                format!(
                    "{name} answers, but its clock differs by {} s",
                    difference.num_seconds()
                ),
                "Set the ERP server's clock: watermarks are taken from it.",
            ));
        }
        Ok(format!("{name} answers, and its clock agrees"))
    }

    async fn erp_listing(&self, erp: &dyn Erp, resource: Resource, deadline: Deadline) -> Finding {
        let fields = told_groups(self.erp_owns, erp).unwrap_or(FieldGroups::CODE);
        let listing = Listing {
            resource,
            kind: None,
            // What changed lately: one page is read, and it is a small one.
            since: Some(self.clock.now()),
            fields,
        };
        let page = erp
            .page(&listing, None, of_a_check(deadline))
            .await
            .map_err(erp_fault)?;
        Ok(format!(
            "they can be listed ({} changed just now)",
            page.records.len()
        ))
    }
}

async fn may_write(erp: &dyn Erp, deadline: Deadline) -> Finding {
    let name = erp.capabilities().name;
    match erp
        .may_write(of_a_check(deadline))
        .await
        .map_err(erp_fault)?
    {
        Some(true) => Ok("they may be created and changed".to_owned()),
        None => Ok(format!("{name} does not tell before a record is written")),
        Some(false) => Err(fault(
            format!("{name} does not let these credentials create and change records"),
            "Odoo: give the key's user the right to create contacts.",
        )),
    }
}

pub(super) fn erp_fault(error: ErpError) -> Fault {
    let fix = match error {
        ErpError::Authentication { .. } => {
            "Check the secret of ErpSecretArn and the rights in the ERP. Business Central: the app under \"Microsoft Entra applications\" is enabled and has permission sets for customers and contacts. Odoo: the key's user may create contacts."
        }
        ErpError::RetryAfter { .. } => {
            "See whether the ERP is up and ErpBaseUrl (and ErpTokenUrl) are right; work waits in the queues meanwhile."
        }
        ErpError::Refused { .. } | ErpError::Unreadable(_) | ErpError::CursorExpired => {
            "Check ErpBaseUrl, ErpCompany and ErpExtraFields: the address, the company or a field may not be there."
        }
    };
    fault(error, fix)
}
