//! The trial: one customer, and a sales quote for it, which needs the same posting groups as an order (erp-apis §1.4).

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{error::Failure, record::ContactInformation, records::Records};
use crate::{
    erp::{
        CreateOutcome, ErpError, ErpId, IdempotencyKey, Party, Resource, Sale, Trial,
        answer::{CallError, parse},
        trial::before_deletion,
    },
    http::Deadline,
};

/// Any version of a record: nobody else works on one of a trial.
const ANY_VERSION: &str = "*";

#[derive(Deserialize)]
struct Quote {
    id: String,
}

impl Records {
    pub(super) async fn trial(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Trial, ErpError> {
        let work = before_deletion(deadline)?;
        let (record, altered) = match self.create(key, party, work).await? {
            CreateOutcome::Created(record) => (record, false),
            CreateOutcome::Altered(record) => (record, true),
            CreateOutcome::AlreadyThere(record) => {
                return Err(ErpError::Refused {
                    field: Some("number"),
                    code: "trial-record-exists".to_owned(),
                    message: format!(
                        "{} is there already, perhaps from an earlier trial: delete it in Business Central if it is",
                        record.code
                    ),
                });
            }
            CreateOutcome::Ambiguous { reason } => {
                return Err(ErpError::Unreadable(format!(
                    "{reason}: look for the record of the trial in Business Central and delete it"
                )));
            }
        };
        // As after any create. A sales document may need a dimension.
        let completed = self.complete(&record.id, party, work).await;
        let sale = self.sale(&record.id, work, deadline).await;
        let left = self.remove_all(&record.id, deadline).await;
        Ok(Trial {
            code: record.code,
            altered,
            incomplete: completed.err().map(|error| error.to_string()),
            sale,
            left: left.err().map(|error| error.to_string()),
        })
    }

    /// Deletes a customer, and the contact that came with it, which Business Central keeps otherwise (erp-apis §1.3).
    async fn remove_all(&self, customer: &ErpId, deadline: Deadline) -> Result<(), ErpError> {
        let mut contacts = Vec::new();
        let mut pages = self.contacts_of(&customer.id, deadline);
        while let Some(page) = pages.next().await? {
            contacts.extend(page.into_iter().filter_map(ContactInformation::into_id));
        }
        self.remove(&self.record_url(customer)?, deadline).await?;
        for id in contacts {
            let contact = ErpId {
                resource: Resource::Contact,
                id,
            };
            self.remove(&self.record_url(&contact)?, deadline).await?;
        }
        Ok(())
    }

    /// Makes a sales quote for a customer by one deadline, and deletes it by a later one.
    async fn sale(&self, customer: &ErpId, work: Deadline, deadline: Deadline) -> Sale {
        let url = self.client.url("salesQuotes");
        let fields = json!({ "customerId": customer.id });
        let response = match self.client.post(&url, &fields, work).await {
            Ok(response) => response,
            Err(CallError::NotDone(error)) => return Sale::Unknown(error.to_string()),
            Err(CallError::OutcomeUnknown(reason)) => return Sale::Unknown(reason),
        };
        if !response.status().is_success() {
            let failure = Failure::of(&response, &[]);
            return match ErpError::from(failure) {
                ErpError::Refused { message, .. } => Sale::Refused(message),
                error => Sale::Unknown(error.to_string()),
            };
        }
        let quote = match parse::<Quote>(&response) {
            Ok(quote) => quote,
            Err(error) => return Sale::Unknown(error.to_string()),
        };
        let url = self.client.url(&format!("salesQuotes({})", quote.id));
        match self.remove(&url, deadline).await {
            Ok(()) => Sale::Possible,
            Err(error) => Sale::Unknown(format!(
                "its sales quote could not be deleted, so delete it by hand: {error}"
            )),
        }
    }

    async fn remove(&self, url: &url::Url, deadline: Deadline) -> Result<(), ErpError> {
        let response = self.client.delete(url, ANY_VERSION, deadline).await?;
        if response.status().is_success() || response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(Failure::of(&response, &[]).into())
    }
}
