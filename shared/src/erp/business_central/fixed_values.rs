//! Writing fixed values: properties with the customer, and dimensions as rows below it, after it (erp-apis §1.12).

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    error::{Failure, RECORD_NOT_FOUND},
    fields::{Fields, mask_of},
    records::Records,
    references::{Dimension, Reference, TAX_AREAS, column, takes},
};
use crate::{
    domain::CountryCode,
    erp::{
        ChosenValues, ErpError, ErpId, FixedField, FixedKind, FixedValue, Party, Resource,
        UnknownValue, UpdateOutcome, answer::parse, mask::Mask,
    },
    http::{
        Deadline,
        odata::{Filter, Options},
    },
};

const DEFAULT_DIMENSIONS: &str = "defaultDimensions";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CodedRow {
    id: String,
    code: String,
    #[serde(default)]
    dimension_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CompanyInformation {
    #[serde(default)]
    currency_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefaultDimension {
    #[serde(rename = "@odata.etag", default)]
    etag: String,
    id: String,
    dimension_id: String,
    dimension_value_id: String,
}

impl Records {
    /// Whether the create of a party leaves dimensions to be written.
    pub(super) fn has_dimensions(&self, party: &Party) -> bool {
        let chosen = self.chosen(party, None);
        chosen
            .keys()
            .any(|field| matches!(field, FixedField::Dimension(_)))
    }

    /// The properties that a new customer gets. Its dimensions are looked up too, so that nothing is created while one of
    /// them does not exist.
    pub(super) async fn fixed_properties(
        &self,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Vec<(&'static str, String)>, ErpError> {
        let references = self.references_of(self.chosen(party, None), deadline);
        let properties = references
            .await?
            .into_iter()
            .filter_map(|reference| match reference {
                Reference::Property(name, value) => Some((name, value)),
                Reference::Dimension(_) => None,
            });
        Ok(properties.collect())
    }

    /// Writes the dimensions of a party's new customer.
    pub(super) async fn complete(
        &self,
        id: &ErpId,
        party: &Party,
        deadline: Deadline,
    ) -> Result<(), ErpError> {
        let mut chosen = self.chosen(party, None);
        chosen.retain(|field, _| matches!(field, FixedField::Dimension(_)));
        let references = self.references_of(chosen, deadline).await?;
        let mask = mask_of(party);
        let written = self.write_dimensions(id, &references, &mask, deadline);
        match written.await {
            Err(ErpError::Refused { code, .. }) if code == RECORD_NOT_FOUND => Ok(()),
            written => written.map(|_| ()),
        }
    }

    /// Writes the fixed values that updates write, as far as they differ, after an update of everything else.
    pub(super) async fn update_fixed(
        &self,
        outcome: UpdateOutcome,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let (UpdateOutcome::Unchanged(record) | UpdateOutcome::Updated(record)) = &outcome else {
            return Ok(outcome);
        };
        let address = record.fields.address.as_ref();
        let mut chosen = self.chosen(party, address.and_then(|address| address.country));
        chosen.retain(|_, fixed| fixed.on_update);
        if chosen.is_empty() || record.id.resource != Resource::Customer {
            return Ok(outcome);
        }
        let references = self.references_of(chosen, deadline).await?;
        let Some(there) = self.properties(&record.id, &references, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        let values = Fields::of(&record.fields);
        let mask: Vec<_> = values.iter().chain(mask_of(party)).collect();
        let mut changes = Map::new();
        for reference in &references {
            if let Reference::Property(name, value) = reference
                && there.get(*name).and_then(Value::as_str) != Some(value)
            {
                changes.insert((*name).to_owned(), json!(value));
            }
        }
        let mut outcome = outcome.clone();
        if !changes.is_empty() {
            let version = there.get("@odata.etag").and_then(Value::as_str);
            if version != Some(&record.version) {
                return Ok(UpdateOutcome::Stale);
            }
            let changed = self.change(&record.id, &record.version, &changes, &mask, deadline);
            outcome = changed.await?;
            if !matches!(outcome, UpdateOutcome::Updated(_)) {
                return Ok(outcome);
            }
        }
        if self
            .write_dimensions(&record.id, &references, &mask, deadline)
            .await?
        {
            // A global dimension is a field of the customer as well, so that its version may have changed.
            outcome = match self.get(&record.id, deadline).await? {
                Some(record) => UpdateOutcome::Updated(record),
                None => UpdateOutcome::Gone,
            };
        }
        Ok(outcome)
    }

    /// The values of the parameter that this company does not have.
    pub(super) async fn unknown_fixed_values(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<UnknownValue>, ErpError> {
        let mut unknown = Vec::new();
        for (field, fixed) in self.references.fixed.all() {
            if takes(field, FixedKind::Persons)
                && let Err(value) = self.reference(field, fixed, deadline).await?
            {
                unknown.push(value);
            }
        }
        Ok(unknown)
    }

    /// The fixed values of a party. `country`: that of its record, where the party's is not known.
    fn chosen(&self, party: &Party, country: Option<CountryCode>) -> ChosenValues {
        let kind = FixedKind::from(&party.kind);
        let own = party.address.as_ref().and_then(|address| address.country);
        let mut chosen = self.references.fixed.choose(kind, own.or(country));
        chosen.retain(|field, _| takes(field, kind));
        chosen
    }

    async fn references_of(
        &self,
        chosen: ChosenValues,
        deadline: Deadline,
    ) -> Result<Vec<Reference>, ErpError> {
        let mut references = Vec::with_capacity(chosen.len());
        for (field, fixed) in &chosen {
            references.push(self.reference(field, fixed, deadline).await??);
        }
        Ok(references)
    }

    /// What a value stands for. Each is looked up once; one that does not exist is looked up again.
    async fn reference(
        &self,
        field: &FixedField,
        fixed: &FixedValue,
        deadline: Deadline,
    ) -> Result<Result<Reference, UnknownValue>, ErpError> {
        let code = fixed.values.first().cloned().unwrap_or_default();
        let key = (field.clone(), code.clone());
        if let Some(reference) = self.references.known(&key) {
            return Ok(Ok(reference));
        }
        let found = match field {
            FixedField::Dimension(dimension) => self.dimension(dimension, &code, deadline).await?,
            _ => self.property(field, &code, deadline).await?,
        };
        Ok(match found {
            Ok(reference) => {
                self.references.remember(key, reference.clone());
                Ok(reference)
            }
            Err(missing) => Err(UnknownValue::new(
                field,
                fixed,
                &code,
                missing,
                "add it there",
            )),
        })
    }

    async fn property(
        &self,
        field: &FixedField,
        code: &str,
        deadline: Deadline,
    ) -> Result<Result<Reference, String>, ErpError> {
        let Some(column) = column(field) else {
            return Ok(Err("Business Central has no such field".to_owned()));
        };
        let mut row = self.coded_row(column.set, code, None, deadline).await?;
        if row.is_none() && *field == FixedField::Currency {
            // The table has the foreign currencies only.
            row = self.local_currency(code, deadline).await?;
        }
        Ok(row
            .map(|row| {
                let value = if column.is_id { row.id } else { row.code };
                Reference::Property(column.property, value)
            })
            .ok_or_else(|| {
                format!(
                    "the page {} of Business Central has no such code",
                    column.page
                )
            }))
    }

    async fn local_currency(
        &self,
        code: &str,
        deadline: Deadline,
    ) -> Result<Option<CodedRow>, ErpError> {
        let options = Options::new().select(&["currencyCode"]);
        let url = options.apply(self.client.url("companyInformation"));
        let mut pages = self.client.list::<CompanyInformation>(url, &[], deadline);
        let company = pages.next().await?.and_then(|page| page.into_iter().next());
        let local = company.map(|company| company.currency_code);
        Ok(local
            .filter(|local| local.eq_ignore_ascii_case(code))
            .map(|code| CodedRow {
                id: String::new(),
                code,
                dimension_id: None,
            }))
    }

    async fn dimension(
        &self,
        dimension: &str,
        value: &str,
        deadline: Deadline,
    ) -> Result<Result<Reference, String>, ErpError> {
        let Some(found) = self
            .coded_row("dimensions", dimension, None, deadline)
            .await?
        else {
            return Ok(Err(format!(
                "the page Dimensions of Business Central has no code `{dimension}`"
            )));
        };
        let value = self
            .coded_row("dimensionValues", value, Some(&found.id), deadline)
            .await?;
        Ok(value
            .map(|value| {
                Reference::Dimension(Dimension {
                    code: found.code,
                    id: found.id,
                    value_id: value.id,
                })
            })
            .ok_or_else(|| {
                format!("the dimension `{dimension}` of Business Central has no such value")
            }))
    }

    /// The row of a table with this code. `dimension`: the id of the dimension that it belongs to.
    async fn coded_row(
        &self,
        set: &'static str,
        code: &str,
        dimension: Option<&str>,
        deadline: Deadline,
    ) -> Result<Option<CodedRow>, ErpError> {
        let options = Options::new().select(match dimension {
            None => &["id", "code"],
            Some(_) => &["id", "code", "dimensionId"],
        });
        let options = match set {
            // Its rows are collected from two tables when the page opens, so that a filter may come too early.
            TAX_AREAS => options,
            _ => options.filter(Filter::eq("code", code.to_uppercase())),
        };
        let url = options.apply(self.client.url(set));
        let mut pages = self.client.list::<CodedRow>(url, &[], deadline);
        while let Some(page) = pages.next().await? {
            let found = page.into_iter().find(|row| {
                row.code.eq_ignore_ascii_case(code)
                    && (dimension.is_none() || row.dimension_id.as_deref() == dimension)
            });
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The properties of a customer for these references, with its version.
    async fn properties(
        &self,
        id: &ErpId,
        references: &[Reference],
        deadline: Deadline,
    ) -> Result<Option<Map<String, Value>>, ErpError> {
        let names = references.iter().filter_map(|reference| match reference {
            Reference::Property(name, _) => Some(*name),
            Reference::Dimension(_) => None,
        });
        let names: Vec<&'static str> = ["id"].into_iter().chain(names).collect();
        let url = Options::new().select(&names).apply(self.record_url(id)?);
        self.client.read(&url, deadline).await
    }

    /// Gives a customer these dimensions; `false` where it has them all. The values in `mask` are kept out of errors, which may
    /// name the customer.
    async fn write_dimensions(
        &self,
        id: &ErpId,
        references: &[Reference],
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<bool, ErpError> {
        let dimensions: Vec<&Dimension> = references
            .iter()
            .filter_map(|reference| match reference {
                Reference::Dimension(dimension) => Some(dimension),
                Reference::Property(..) => None,
            })
            .collect();
        if dimensions.is_empty() {
            return Ok(false);
        }
        let mut url = self.record_url(id)?;
        url.set_path(&format!("{}/{DEFAULT_DIMENSIONS}", url.path()));
        let there = self.default_dimensions(&url, mask, deadline).await?;
        let mut written = false;
        for wanted in dimensions {
            let there = there.iter().find(|it| it.dimension_id == wanted.id);
            if there.is_some_and(|it| it.dimension_value_id == wanted.value_id) {
                continue;
            }
            written = true;
            let response = match there {
                None => {
                    let row =
                        json!({ "dimensionId": wanted.id, "dimensionValueId": wanted.value_id });
                    self.client.post(&url, &row, deadline).await?
                }
                Some(there) => {
                    let mut row_url = url.clone();
                    row_url.set_path(&format!("{}({})", url.path(), there.id));
                    let row = json!({ "dimensionValueId": wanted.value_id });
                    let patched = self.client.patch(&row_url, &there.etag, &row, deadline);
                    patched.await?
                }
            };
            if matches!(response.status(), StatusCode::OK | StatusCode::CREATED) {
                let row: Option<DefaultDimension> = parse(&response).ok();
                if row.is_some_and(|row| row.dimension_value_id == wanted.value_id) {
                    continue;
                }
                // The success may be a proxy's.
                return Err(ErpError::RetryAfter {
                    after: None,
                    reason: format!(
                        "it is not known whether {id} has got the dimension {}",
                        wanted.code
                    ),
                });
            }
            let failure = Failure::of(&response, mask);
            if failure.is_duplicate() || failure.is_stale() {
                return Err(ErpError::RetryAfter {
                    after: None,
                    reason: format!(
                        "somebody else sets the dimension {} of {id} at the same time",
                        wanted.code
                    ),
                });
            }
            return Err(failure.into());
        }
        Ok(written)
    }

    async fn default_dimensions(
        &self,
        url: &Url,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<Vec<DefaultDimension>, ErpError> {
        let fields = ["id", "dimensionId", "dimensionValueId"];
        let url = Options::new().select(&fields).apply(url.clone());
        let mut pages = self.client.list(url, mask, deadline);
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        Ok(rows)
    }
}
