//! Binds entities to ERP records.

use shared::{
    domain::{Code, EntityRef},
    mappings::{Binding, Bound, Mapping, Mappings},
};

use crate::result::Failure;

/// Binds an entity where the store accepts it (P3).
pub(crate) async fn bind(
    mappings: &dyn Mappings,
    entity: EntityRef,
    binding: &Binding,
) -> Result<(), Failure> {
    let bound = mappings.bind(entity, binding.clone()).await?;
    check_bound(mappings, entity, &binding.code, bound).await
}

/// Returns the failure that follows if the store did not accept a binding.
pub(crate) async fn check_bound(
    mappings: &dyn Mappings,
    entity: EntityRef,
    code: &Code,
    bound: Bound,
) -> Result<(), Failure> {
    let detail = match bound {
        Bound::Done => return Ok(()),
        // The next attempt finds the new owner of the record and decides accordingly.
        Bound::CodeTaken { by } | Bound::RecordTaken { by } => {
            return Err(Failure::other_writer(format!(
                "the ERP record with code {code} was bound to {by} meanwhile"
            )));
        }
        Bound::OtherCode { code: other } => {
            format!("{entity} is bound to code {other} and is not bound to {code} as well")
        }
        Bound::Forgotten => match mappings.get(entity).await? {
            Some(Mapping::Forgotten) => {
                return Err(Failure::other_writer(format!(
                    "{entity} was forgotten meanwhile"
                )));
            }
            // A later attempt would have the same result.
            _ => format!(
                "the ERP record with code {code} cannot be {entity}, because the code or the record belonged to a forgotten customer: give {entity} another record in the ERP, and put its code on {entity} in Norce"
            ),
        },
    };
    Err(Failure::conflict(detail))
}
