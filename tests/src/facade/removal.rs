//! The removal of records (`DELETE /v1/{resource}/{id}`). The ERP port has no such operation, so a facade takes it separately.

use async_trait::async_trait;
use http::StatusCode;
use shared::domain::{ErpId, Resource};
use uuid::Uuid;

use crate::business_central_simulator::{BusinessCentralSimulator, Refused};

/// Removes records through the ERP's own API.
#[async_trait]
pub trait Removal: Send + Sync {
    /// Removes a record that nothing refers to.
    ///
    /// # Errors
    /// Nothing was removed.
    async fn remove(&self, id: &ErpId) -> Result<(), NotRemoved>;
}

/// Why a record was not removed.
#[derive(Debug)]
pub enum NotRemoved {
    /// There is no such record.
    Gone,
    /// Something refers to the record; the message says what.
    InUse(String),
}

/// A company of the simulated Business Central. A customer goes with the contact that came with it.
#[derive(Clone)]
pub struct SimulatedCompany {
    /// The simulator.
    pub simulator: BusinessCentralSimulator,
    /// The company.
    pub company: Uuid,
}

#[async_trait]
impl Removal for SimulatedCompany {
    async fn remove(&self, id: &ErpId) -> Result<(), NotRemoved> {
        let (simulator, company) = (&self.simulator, self.company);
        let record: Uuid = id.id.parse().map_err(|_| NotRemoved::Gone)?;
        if id.resource == Resource::Contact {
            return Ok(simulator.delete_contact(company, record)?);
        }
        let contacts = simulator.contacts_of(company, record)?;
        if contacts.len() > 1 {
            return Err(NotRemoved::InUse("It has contacts.".to_owned()));
        }
        simulator.delete_customer(company, record)?;
        for contact in contacts {
            simulator.delete_contact(company, contact)?;
        }
        Ok(())
    }
}

impl From<Refused> for NotRemoved {
    fn from(refused: Refused) -> Self {
        match refused.status {
            StatusCode::NOT_FOUND => Self::Gone,
            _ => Self::InUse(refused.message),
        }
    }
}
