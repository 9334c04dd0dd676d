//! The ERP of each scope: its address, its clock and our rights.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chrono::TimeDelta;
use erp_full_pass::synced_groups;
use shared::{
    domain::{FieldGroup, FieldGroups, OwnedFields, Scope},
    erp::{Erp, ErpError, Listing, Resource, events::EventSubscriptions},
    http::Deadline,
};
use url::Url;

use super::{
    check::{Fault, Finding, Planned, check_deadline, fault, unbuilt},
    ports::Doctor,
};
use crate::sentence::{say, words};

/// The largest acceptable difference of an ERP's clock. With a larger one, watermarks could pass records, because passes
/// overlap by a few minutes only.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::minutes(2);

impl Doctor {
    pub(super) fn erp_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
        let erps = match &self.erps {
            Ok(erps) => erps,
            Err(reason) => return vec![unbuilt("erp", reason)],
        };
        let events = in_order(erps).into_iter().filter_map(|(scope, erp)| {
            let (url, subscriptions) = self.erp_events.as_ref().zip(erp.subscriptions())?;
            let name = format!("erp {scope}: events");
            let check = self.erp_subscription(erp, subscriptions, url, deadline);
            Some(Planned::new(name, check))
        });
        in_order(erps)
            .into_iter()
            .flat_map(|(scope, erp)| {
                [
                    Planned::new(format!("erp {scope}: reachable"), async move {
                        self.erp_clock(erp, deadline).await
                    }),
                    Planned::new(
                        format!("erp {scope}: customers can be read"),
                        self.erp_listing(erp, Resource::Customer, deadline),
                    ),
                    Planned::new(
                        format!("erp {scope}: contacts can be read"),
                        self.erp_listing(erp, Resource::Contact, deadline),
                    ),
                    Planned::new(format!("erp {scope}: records can be written"), async move {
                        may_write(erp, deadline).await
                    }),
                    Planned::new(format!("erp {scope}: countries"), async move {
                        countries(erp, deadline).await
                    }),
                    Planned::new(format!("erp {scope}: fixed values"), async move {
                        fixed_values(erp, deadline).await
                    }),
                    Planned::new(format!("erp {scope}: owned fields"), async move {
                        let capabilities = erp.capabilities(check_deadline(deadline)).await;
                        let capabilities = capabilities.map_err(erp_fault)?;
                        let groups = synced_groups(self.erp_owns, erp.name(), capabilities)
                            .map_err(|error| fault(words(error), say!("fix-erp-owned-fields")))?;
                        let groups: Vec<&str> =
                            groups.any().iter().map(FieldGroup::as_str).collect();
                        Ok(say!("erp-owned-fields", groups))
                    }),
                ]
            })
            .chain(events)
            .collect()
    }

    /// The subscription to the ERP's events: passes keep it, and have kept it if it lasts.
    async fn erp_subscription(
        &self,
        erp: &dyn Erp,
        subscriptions: &dyn EventSubscriptions,
        url: &Url,
        deadline: Deadline,
    ) -> Finding {
        let found = subscriptions.find(url, check_deadline(deadline)).await;
        match found.map_err(erp_fault)? {
            Some(found) if found.ends > self.clock.now() => {
                Ok(say!("erp-events", ends = found.ends))
            }
            _ => Err(fault(
                say!("erp-events-missing", erp = erp.name()),
                say!("fix-erp-events"),
            )),
        }
    }

    async fn erp_clock(&self, erp: &dyn Erp, deadline: Deadline) -> Finding {
        let name = erp.name();
        let Some(theirs) = erp
            .clock(check_deadline(deadline))
            .await
            .map_err(erp_fault)?
        else {
            return Ok(say!("erp-timeless", erp = name));
        };
        let difference = (theirs - self.clock.now()).abs();
        if difference > MAX_CLOCK_DIFFERENCE {
            let time = difference.to_std().unwrap_or_default();
            return Err(fault(
                say!("erp-clock-differs", erp = name, time),
                say!("fix-erp-clock"),
            ));
        }
        Ok(say!("erp-answers", erp = name))
    }

    async fn erp_listing(&self, erp: &dyn Erp, resource: Resource, deadline: Deadline) -> Finding {
        let capabilities = erp.capabilities(check_deadline(deadline)).await;
        let capabilities = capabilities.map_err(erp_fault)?;
        let fields = synced_groups(self.erp_owns, erp.name(), capabilities)
            .map_or(FieldGroups::CODE, OwnedFields::any);
        let listing = Listing {
            resource,
            kind: None,
            // Only what changed just now, so that a single small page is read.
            since: Some(self.clock.now()),
            fields,
        };
        let page = erp
            .page(&listing, None, check_deadline(deadline))
            .await
            .map_err(erp_fault)?;
        Ok(say!("erp-listable", changed = page.records.len()))
    }
}

/// The ERPs in the order of their scopes.
pub(super) fn in_order(erps: &HashMap<Scope, Arc<dyn Erp>>) -> BTreeMap<Scope, &dyn Erp> {
    let erps = erps.iter();
    erps.map(|(scope, erp)| (*scope, erp.as_ref())).collect()
}

async fn may_write(erp: &dyn Erp, deadline: Deadline) -> Finding {
    let name = erp.name();
    match erp
        .may_write(check_deadline(deadline))
        .await
        .map_err(erp_fault)?
    {
        Some(true) => Ok(say!("erp-writable")),
        None => Ok(say!("erp-writable-later", erp = name)),
        Some(false) => Err(fault(
            say!("erp-not-writable", erp = name),
            say!("fix-erp-not-writable"),
        )),
    }
}

/// Whether the home country is that of the ERP's company, and every code of a country in use stands for one.
async fn countries(erp: &dyn Erp, deadline: Deadline) -> Finding {
    let name = erp.name();
    let capabilities = erp.capabilities(check_deadline(deadline)).await;
    let home_country = capabilities.map_err(erp_fault)?.home_country;
    let setup = erp.country_setup(check_deadline(deadline)).await;
    let Some(setup) = setup.map_err(erp_fault)? else {
        return Ok(say!("erp-countries-untold", erp = name));
    };
    let mut faults = Vec::new();
    if let (Some(home), Some(country)) = (home_country, setup.company_country)
        && home != country
    {
        faults.push((
            say!(
                "erp-home-differs",
                home = home.as_str(),
                erp = name,
                country = country.as_str()
            ),
            say!("fix-erp-home", country = country.as_str()),
        ));
    }
    let value = setup.proposal(home_country);
    if !setup.without_country.is_empty() {
        faults.push((
            say!(
                "erp-codes-unknown",
                erp = name,
                code = setup.without_country
            ),
            say!("fix-erp-codes-unknown", value),
        ));
    }
    if !setup.missing.is_empty() {
        faults.push((
            say!("erp-codes-missing", erp = name, code = setup.missing),
            say!("fix-erp-codes-missing", erp = name, value),
        ));
    }
    let faults = faults.into_iter().rev();
    let joined =
        faults.reduce(|(later, its_fix), (detail, fix)| (detail.then(later), fix.then(its_fix)));
    match (joined, home_country, setup.company_country) {
        (Some((detail, fix)), ..) => Err(fault(detail, fix)),
        (None, None, Some(country)) => Ok(say!(
            "erp-home-unset",
            erp = name,
            country = country.as_str()
        )),
        (None, Some(home), _) => Ok(say!("erp-countries", home = home.as_str())),
        (None, None, None) => Ok(say!("erp-countries-none", erp = name)),
    }
}

async fn fixed_values(erp: &dyn Erp, deadline: Deadline) -> Finding {
    let unknown = erp
        .unknown_fixed_values(check_deadline(deadline))
        .await
        .map_err(erp_fault)?;
    if unknown.is_empty() {
        return Ok(say!("erp-fixed-values", erp = erp.name()));
    }
    let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    Err(fault(
        words(unknown.join("; ")),
        say!("fix-erp-fixed-values"),
    ))
}

pub(super) fn erp_fault(error: ErpError) -> Box<Fault> {
    let fix = match error {
        ErpError::Authentication { .. } => say!("fix-erp-rights"),
        ErpError::RetryAfter { .. } => say!(
            "fix-remote-down",
            remote = "the ERP",
            parameter = "ErpBaseUrl (and ErpTokenUrl)"
        ),
        ErpError::Refused { .. } | ErpError::Unreadable(_) | ErpError::CursorExpired => {
            say!("fix-erp-settings")
        }
    };
    fault(words(error), fix)
}
