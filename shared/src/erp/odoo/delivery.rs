//! Delivery addresses: child partners of type `delivery`, each under an external id of its own, so that a repeat finds
//! the address that an earlier write has made. Addresses that people have entered in Odoo are not changed, and an
//! address that is there already is not added again.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    load::MODULE,
    partners::{MAX_ROWS, Partners},
    record::{DELIVERY, Row, address_fields},
};
use crate::{
    domain::DeliveryAddress,
    erp::{ErpError, mask::Mask},
    http::Deadline,
};

/// The postal fields of a child partner with their columns in `load`. `/.id` takes a database id.
const COLUMNS: [(&str, &str); 5] = [
    ("street", "street"),
    ("street2", "street2"),
    ("zip", "zip"),
    ("city", "city"),
    ("country_id", "country_id/.id"),
];

/// The writes that give a partner the wanted delivery addresses.
#[derive(Default)]
pub(super) struct DeliveryChanges {
    /// New child partners: the name of the external id, and the fields.
    new: Vec<(String, Map<String, Value>)>,
    /// Child partners to change: the id, and the fields that differ.
    changed: Vec<(i64, Map<String, Value>)>,
}

impl DeliveryChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty()
    }
}

/// `delivery_57_9001`: the name of our external id of a delivery address, from Odoo's id of the partner and Norce's id
/// of the address.
fn external_name(partner: i64, address: i64) -> String {
    format!("delivery_{partner}_{address}")
}

impl Partners {
    /// Compares a partner's delivery addresses with the wanted ones.
    pub(super) async fn delivery_changes(
        &self,
        partner: i64,
        wanted: &[DeliveryAddress],
        deadline: Deadline,
    ) -> Result<DeliveryChanges, ErpError> {
        let domain = vec![
            json!(["parent_id", "=", partner]),
            json!(["type", "=", "delivery"]),
        ];
        let children = self.rows(domain, DELIVERY, MAX_ROWS, deadline).await?;
        let mut ours = self.external_names(&children, deadline).await?;
        let addresses = wanted.iter().map(|wanted| &wanted.address);
        let countries = self.country_ids(addresses, deadline).await?;
        let gln_field = self.gln_field(deadline).await?;
        let mut changes = DeliveryChanges::default();
        for DeliveryAddress {
            id,
            address,
            details,
        } in wanted
        {
            let fields = address_fields(address, |code| countries.get(&code).copied());
            let name = external_name(partner, *id);
            // Norce's code of the address is not written: `ref` of a partner is the code of a customer, and the address would
            // be another holder of it.
            let phone = details.phone.as_ref().map(|phone| ("phone", phone));
            let gln = gln_field.zip(details.gln.as_ref());
            let details = phone.into_iter().chain(gln);
            let details = details.map(|(field, value)| (field.to_owned(), json!(value.expose())));
            if let Some(child) = ours.remove(&name) {
                let mut differing = child.changes_to(&fields.into_iter().chain(details).collect());
                if !child.is_active() {
                    differing.insert("active".to_owned(), json!(true));
                }
                if let (Some(id), false) = (child.id(), differing.is_empty()) {
                    changes.changed.push((id, differing));
                }
            } else if !children
                .iter()
                .any(|child| child.is_active() && child.changes_to(&fields).is_empty())
            {
                changes
                    .new
                    .push((name, fields.into_iter().chain(details).collect()));
            }
        }
        // Norce has removed these. An archived partner stays in the documents that name it.
        for child in ours.into_values().filter(|child| child.is_active()) {
            let archived = Map::from_iter([("active".to_owned(), json!(false))]);
            changes
                .changed
                .extend(child.id().map(|child| (child, archived)));
        }
        Ok(changes)
    }

    /// The child partners that we have made, by the names of their external ids.
    async fn external_names<'a>(
        &self,
        children: &'a [Row],
        deadline: Deadline,
    ) -> Result<HashMap<String, &'a Row>, ErpError> {
        let by_id: HashMap<i64, &Row> = children
            .iter()
            .filter_map(|child| Some((child.id()?, child)))
            .collect();
        if by_id.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<i64> = by_id.keys().copied().collect();
        let arguments = json!({
            "domain": [["module", "=", MODULE], ["model", "=", "res.partner"], ["res_id", "in", ids]],
            "fields": ["name", "res_id"],
        });
        let client = &self.client;
        let names = client.search_read("ir.model.data", &arguments, deadline);
        let ours = names.await?.into_iter().filter_map(|name| {
            let child = by_id.get(&name.integer("res_id")?)?;
            Some((name.text("name")?.to_owned(), *child))
        });
        Ok(ours.collect())
    }

    /// Writes the changes. Every write can be repeated.
    pub(super) async fn write_deliveries(
        &self,
        partner: i64,
        changes: &DeliveryChanges,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<(), ErpError> {
        for (child, fields) in &changes.changed {
            self.write(*child, fields, mask, deadline).await?;
        }
        if changes.new.is_empty() {
            return Ok(());
        }
        let gln = self.gln_field(deadline).await?;
        let details = || std::iter::once("phone").chain(gln);
        let fields = || {
            let postal = COLUMNS.into_iter();
            postal.chain(details().map(|field| (field, field)))
        };
        let mut columns = vec!["id", "parent_id/.id", "type"];
        columns.extend(fields().map(|(_, column)| column));
        let company = self.company.map(|company| company.to_string());
        if company.is_some() {
            columns.push("company_id/.id");
        }
        let rows = changes.new.iter().map(|(name, values)| {
            let mut row = vec![
                json!(format!("{MODULE}.{name}")),
                json!(partner.to_string()),
                json!("delivery"),
            ];
            row.extend(fields().map(|(field, _)| match values.get(field) {
                Some(Value::Number(id)) => json!(id.to_string()),
                Some(value) => value.clone(),
                None => json!(""),
            }));
            row.extend(company.as_ref().map(|company| json!(company)));
            row
        });
        let rows: Vec<Vec<Value>> = rows.collect();
        let texts = changes.new.iter().flat_map(|(_, fields)| fields);
        let texts = texts.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let mask: Vec<(&str, &str)> = texts.chain(mask.iter().copied()).collect();
        let loaded = self.client.load(&columns, &rows, &mask, deadline).await?;
        if loaded.is_done() {
            Ok(())
        } else {
            Err(loaded.into_refusal(&mask))
        }
    }
}
