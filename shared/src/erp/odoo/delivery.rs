//! Delivery addresses: child partners of type `delivery`, each under an external id of its own, so that a repeat finds
//! what an earlier one has made. What people have entered in Odoo is left alone, and where it is the same address
//! nothing is added to it.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    Loaded, MODULE, MOST_ROWS, Odoo,
    record::{Row, address_fields},
};
use crate::{
    domain::{DeliveryAddress, FieldGroup, FieldGroups},
    erp::{ErpError, mask::Mask},
    http::{Deadline, Safety},
};

/// What the address of a child partner is made of, in the order of a row of `load`. `/.id` takes a database id.
const COLUMNS: [(&str, &str); 5] = [
    ("street", "street"),
    ("street2", "street2"),
    ("zip", "zip"),
    ("city", "city"),
    ("country_id", "country_id/.id"),
];

/// What has to be written to bring a partner's delivery addresses to what is wanted.
#[derive(Default)]
pub(super) struct DeliveryChanges {
    /// Names of external ids, and the fields of the child partners that are to be made under them.
    new: Vec<(String, Map<String, Value>)>,
    /// Child partners, and their fields that differ.
    changed: Vec<(i64, Map<String, Value>)>,
}

impl DeliveryChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty()
    }
}

/// What is read of the child partner of a delivery address.
pub(super) const DELIVERY: FieldGroups =
    FieldGroups::of(&[FieldGroup::ContactDetails, FieldGroup::InvoiceAddress]);

/// `delivery_57_9001`: the name of our external id of a delivery address, by Odoo's id of the partner and Norce's of the
/// address.
fn external_name(partner: i64, address: i64) -> String {
    format!("delivery_{partner}_{address}")
}

impl Odoo {
    /// Compares a partner's delivery addresses with those that are wanted.
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
        let children = self.rows(domain, DELIVERY, MOST_ROWS, deadline).await?;
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
            // Norce's code of the address has no place here: `ref` of a partner is the code of a customer, and an address that
            // had one would be another holder of it.
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
        // Norce has them no more. An archived partner stays in the documents that name it.
        for child in ours.into_values().filter(|child| child.is_active()) {
            let archived = Map::from_iter([("active".to_owned(), json!(false))]);
            changes
                .changed
                .extend(child.id().map(|child| (child, archived)));
        }
        Ok(changes)
    }

    /// Those of the child partners that are ours, by the names of their external ids.
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
        let names: Vec<Map<String, Value>> = self
            .client
            .read("ir.model.data", "search_read", &arguments, deadline)
            .await?;
        let ours = names.into_iter().map(Row).filter_map(|name| {
            let child = by_id.get(&name.integer("res_id")?)?;
            Some((name.text("name")?.to_owned(), *child))
        });
        Ok(ours.collect())
    }

    /// Writes them. All of it can be repeated.
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
        let arguments = json!({ "fields": columns, "data": rows.collect::<Vec<_>>() });
        let texts = changes.new.iter().flat_map(|(_, fields)| fields);
        let texts = texts.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let mask: Vec<(&str, &str)> = texts.chain(mask.iter().copied()).collect();
        // Once: a second one while the first is under way would be refused, and the message comes again anyway.
        let loaded: Option<Loaded> = self
            .client
            .write(
                "res.partner",
                "load",
                &arguments,
                Safety::Once,
                &mask,
                deadline,
            )
            .await?;
        match loaded {
            Some(loaded) if loaded.ids.is_array() => Ok(()),
            loaded => Err(Loaded::refusal(loaded, &mask)),
        }
    }
}
