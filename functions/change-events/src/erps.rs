//! The ERP companies behind the scopes.

use std::{collections::HashMap, sync::Arc};

use shared::{
    domain::{Code, CodeCase, ErpId, Resource, Scope},
    erp::{Capabilities, Erp, ErpRecord},
    http::Deadline,
    mappings::Binding,
    owed::Reason,
};

use crate::result::Failure;

/// The ERP company behind each scope, until a deadline.
#[derive(Clone, Copy)]
pub(crate) struct Erps<'a> {
    pub(crate) erps: &'a HashMap<Scope, Arc<dyn Erp>>,
    pub(crate) deadline: Deadline,
}

impl<'a> Erps<'a> {
    pub(crate) fn of(&self, scope: Scope) -> Result<&'a dyn Erp, Failure> {
        self.erps.get(&scope).map(AsRef::as_ref).ok_or_else(|| {
            Failure::owed(
                Reason::Validation,
                format!("scope {scope} is not configured: see NORCE_APPLICATIONS"),
            )
        })
    }

    pub(crate) async fn capabilities(&self, scope: Scope) -> Result<&'a Capabilities, Failure> {
        Ok(self.of(scope)?.capabilities(self.deadline).await?)
    }

    pub(crate) async fn code_case(&self, scope: Scope) -> Result<CodeCase, Failure> {
        Ok(self.capabilities(scope).await?.code_case)
    }

    pub(crate) async fn get(&self, scope: Scope, id: &ErpId) -> Result<Option<ErpRecord>, Failure> {
        Ok(self.of(scope)?.get(id, self.deadline).await?)
    }

    pub(crate) async fn find_by_code(
        &self,
        scope: Scope,
        resource: Resource,
        code: &Code,
    ) -> Result<Vec<ErpRecord>, Failure> {
        let erp = self.of(scope)?;
        Ok(erp.find_by_code(resource, code, self.deadline).await?)
    }

    /// Whether the code of a binding may be sent out with orders: not while the ERP does not have the record. The ERP is
    /// called only for a binding whose record was missing before.
    pub(crate) async fn is_alive(&self, scope: Scope, binding: &Binding) -> Result<bool, Failure> {
        Ok(binding.gone_at.is_none() || self.get(scope, &binding.erp_id).await?.is_some())
    }
}
