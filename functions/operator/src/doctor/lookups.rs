//! How records of the ERP are found by their keys: whether its filters work, and how complete the index of keys is.

use shared::{
    domain::{EntityKind, Scope},
    erp::{Erp, FilterProof, KeyField},
    http::Deadline,
    mappings::key_index::KeyIndex,
};

use super::{
    aws::aws_fault,
    check::{Finding, Planned, check_deadline, fault},
    erp::{erp_fault, in_order},
    ports::Doctor,
};
use crate::sentence::say;

/// The key by which records of a kind are looked up.
const fn field(kind: EntityKind) -> KeyField {
    match kind {
        EntityKind::Customer => KeyField::Email,
        EntityKind::Company => KeyField::VatNumber,
    }
}

impl Doctor {
    pub(super) fn lookup_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
        let (Ok(erps), Some(index)) = (&self.erps, &self.stores.key_index) else {
            // Another check reports the reason.
            return Vec::new();
        };
        let mut checks = Vec::new();
        for (scope, erp) in in_order(erps) {
            checks.push(Planned::new(format!("erp {scope}: filters"), async move {
                filters(erp, deadline).await
            }));
            for kind in [EntityKind::Customer, EntityKind::Company] {
                let name = format!("index of keys {scope}: {kind}");
                checks.push(Planned::new(name, async move {
                    completeness(erp, index.as_ref(), scope, kind, deadline).await
                }));
            }
        }
        checks
    }
}

async fn filters(erp: &dyn Erp, deadline: Deadline) -> Finding {
    let mut filters = Vec::new();
    for field in KeyField::ALL {
        let proof = erp.key_filter(field, check_deadline(deadline)).await;
        let proof = proof.map_err(erp_fault)?;
        filters.push(format!("{field}: {}", proof.in_words()));
    }
    let words = filters.join("; ");
    Ok(say!("erp-filters", erp = erp.name(), words))
}

async fn completeness(
    erp: &dyn Erp,
    index: &dyn KeyIndex,
    scope: Scope,
    kind: EntityKind,
    deadline: Deadline,
) -> Finding {
    let coverage = index.coverage(scope, kind).await;
    let coverage = coverage.map_err(|error| aws_fault(error, "table", "CODE_MAPPINGS_TABLE"))?;
    if let Some(coverage) = coverage {
        return Ok(say!(
            "index-complete",
            at = coverage.whole_at,
            until = coverage.until
        ));
    }
    let field = field(kind);
    let name = erp.name();
    let Ok(proof) = erp.key_filter(field, check_deadline(deadline)).await else {
        // The check of the filters reports the reason and the fix.
        return Ok(say!("index-unknown", erp = name, field));
    };
    match proof {
        FilterProof::Filters => Ok(say!("index-not-needed", erp = name, field)),
        FilterProof::Unknown => Ok(say!("index-unknown", erp = name, field)),
        proof => Err(fault(
            say!(
                "index-incomplete",
                erp = name,
                words = proof.in_words(),
                kind
            ),
            say!("fix-index-incomplete"),
        )),
    }
}
