//! How records of the ERP are found by their keys: what its filters were seen to do, and how complete the index is.

use shared::{
    domain::{EntityKind, Scope},
    erp::{Erp, FilterProof, KeyField},
    http::Deadline,
    mappings::key_index::KeyIndex,
};

use super::{
    Doctor,
    aws::aws_fault,
    check::{Finding, Planned, fault, of_a_check},
    erp::erp_fault,
};

/// By what records of a kind are looked up.
const fn field(kind: EntityKind) -> KeyField {
    match kind {
        EntityKind::Customer => KeyField::Email,
        EntityKind::Company => KeyField::VatNumber,
    }
}

impl Doctor {
    pub(super) fn lookup_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
        let (Ok(erps), Some(index)) = (&self.erps, &self.stores.key_index) else {
            // Another check says why.
            return Vec::new();
        };
        let mut scopes: Vec<_> = erps.iter().collect();
        scopes.sort_by_key(|(scope, _)| **scope);
        let mut checks = Vec::new();
        for (scope, erp) in scopes {
            checks.push(Planned::new(format!("erp {scope}: filters"), async move {
                filters(erp.as_ref(), deadline).await
            }));
            for kind in [EntityKind::Customer, EntityKind::Company] {
                let name = format!("index of keys {scope}: {kind}");
                checks.push(Planned::new(name, async move {
                    completeness(erp.as_ref(), index.as_ref(), *scope, kind, deadline).await
                }));
            }
        }
        checks
    }
}

async fn filters(erp: &dyn Erp, deadline: Deadline) -> Finding {
    let mut words = Vec::new();
    for field in KeyField::ALL {
        let proof = erp.key_filter(field, of_a_check(deadline)).await;
        let proof = proof.map_err(erp_fault)?;
        words.push(format!("{field}: {}", proof.in_words()));
    }
    let name = erp.capabilities().name;
    Ok(format!("{name} was tried. {}", words.join("; ")))
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
        return Ok(format!(
            "complete: everything was read at {}, and what changed until {}",
            coverage.whole_at, coverage.until
        ));
    }
    let field = field(kind);
    let name = erp.capabilities().name;
    let Ok(proof) = erp.key_filter(field, of_a_check(deadline)).await else {
        // The check of the filters says why, and what to do.
        return Ok(format!(
            "not complete, and {name} cannot be asked whether its filter on {field} filters"
        ));
    };
    match proof {
        FilterProof::Filters => Ok(format!(
            "not complete, and not needed: {name} filters by {field}"
        )),
        FilterProof::Unknown => Ok(format!(
            "not complete, and {name} has no record with a value to try its filter on {field} with"
        )),
        proof => Err(fault(
            format!(
                "not complete, and {name} {}: it cannot be told whether a {kind} is in the ERP",
                proof.in_words()
            ),
            "Run {\"action\":\"pass\",\"mode\":\"full\"}, or wait for the next delta pass, which reads everything once. What is owed for this reason is tried again when it has ended.",
        )),
    }
}
