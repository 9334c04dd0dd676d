//! What a customer needs to be sold to: posting groups, which the API fills from the templates of the page "API Setup", and
//! a block that does not stop the document (erp-apis §1.4).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Refused,
    company::{Author, Company},
    fields::{self, BLANK, Changes, Field, Kind, Record, field, read_only},
};

/// Fields of the table that no property of the API shows.
const POSTING_GROUPS: [(&str, &str); 2] = [
    ("genBusPostingGroup", "Gen. Bus. Posting Group"),
    ("customerPostingGroup", "Customer Posting Group"),
];

/// The properties of `salesQuotes` that are known here; all others are refused.
const QUOTE: &[Field] = &[read_only("id", Kind::Guid), field("customerId", Kind::Guid)];

/// A configuration template that is chosen on the page "API Setup" for customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerTemplate {
    /// The conditions on properties of the new customer; all have to hold. None: it fits every customer.
    pub conditions: Vec<(String, String)>,
    /// "Gen. Bus. Posting Group"; empty for none.
    pub gen_bus_posting_group: String,
    /// "Customer Posting Group"; empty for none.
    pub customer_posting_group: String,
    /// Properties of the API that it fills where the request names no value.
    pub properties: Vec<(&'static str, String)>,
}

impl CustomerTemplate {
    /// A template for every customer, with both posting groups.
    pub fn domestic() -> Self {
        Self {
            conditions: Vec::new(),
            gen_bus_posting_group: "DOMESTIC".to_owned(),
            customer_posting_group: "DOMESTIC".to_owned(),
            properties: Vec::new(),
        }
    }

    /// The same, only for customers with this country.
    #[must_use]
    pub fn for_country(self, country: &str) -> Self {
        Self {
            conditions: vec![("country".to_owned(), country.to_owned())],
            ..self
        }
    }

    fn fits(&self, customer: &Record) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|(property, value)| customer.text(property) == value)
    }
}

/// Something that is done with a customer in the ERP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Business {
    /// A sales order.
    Order,
    /// A shipment of an order.
    Shipment,
    /// A sales invoice.
    Invoice,
    /// A payment in a journal.
    Payment,
    /// A refund in a journal.
    Refund,
}

impl Business {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Order,
        Self::Shipment,
        Self::Invoice,
        Self::Payment,
        Self::Refund,
    ];

    /// Whether a block stops it (`Customer.CheckBlockedCustOnDocs`, `CheckBlockedCustOnJnls`).
    fn is_stopped_by(self, blocked: &str) -> bool {
        match blocked {
            "All" => true,
            "Invoice" => !matches!(self, Self::Payment | Self::Refund),
            "Ship" => matches!(self, Self::Order | Self::Shipment),
            _ => false,
        }
    }
}

impl Company {
    /// Fills what a new customer gets besides what the request says: through the API by the first template that fits
    /// (`GraphMgtGeneralTools.ProcessNewRecordFromAPI`), at the screen by the template that the person chooses.
    pub(super) fn apply_template(&self, customer: &mut Record, named: &Changes, author: Author) {
        let at_the_screen = CustomerTemplate::domestic();
        let template = match author {
            Author::Person => Some(&at_the_screen),
            Author::Api { .. } => {
                let mut templates = self.settings.customer_templates.iter();
                templates.find(|template| template.fits(customer))
            }
        };
        let Some(template) = template else {
            return;
        };
        customer.set(POSTING_GROUPS[0].0, template.gen_bus_posting_group.as_str());
        customer.set(
            POSTING_GROUPS[1].0,
            template.customer_posting_group.as_str(),
        );
        for (property, value) in &template.properties {
            if !named.has(property) {
                customer.set(property, value.as_str());
            }
        }
    }

    /// `salesQuotes`: a new quote for a customer, which needs what an order needs.
    pub(super) fn quote(&mut self, body: &[u8]) -> Result<Value, Refused> {
        let customer = fields::read_changes(QUOTE, body)?;
        let customer = customer.text("customerId").and_then(|id| id.parse().ok());
        let customer: Uuid = customer
            .ok_or_else(|| Refused::dialog("The \"customerId\" does not match to a Customer."))?;
        self.do_business(customer, Business::Order)?;
        let id = Uuid::new_v4();
        self.quotes.insert(id, customer);
        Ok(json!({ "id": id, "customerId": customer }))
    }

    pub(super) fn delete_quote(&mut self, id: Uuid) -> Result<(), Refused> {
        let removed = self.quotes.remove(&id);
        removed.map(|_| ()).ok_or_else(Refused::record_not_found)
    }

    /// Does business with a customer.
    ///
    /// # Errors
    /// The customer lacks a posting group (`SalesHeader.Table.al`), or is blocked for it.
    pub(super) fn do_business(&self, customer: Uuid, business: Business) -> Result<(), Refused> {
        let customer = self.customers.get(customer)?;
        let number = customer.text("number");
        let blocked = customer.text("blocked");
        if blocked != BLANK && business.is_stopped_by(blocked) {
            return Err(Refused::dialog(format!(
                "You cannot create this type of document when Customer {number} is blocked with type {blocked}."
            )));
        }
        let lacking = POSTING_GROUPS
            .iter()
            .find(|(field, _)| customer.text(field).is_empty());
        match lacking {
            Some((_, caption)) => Err(Refused::dialog(format!(
                "{caption} must have a value in Customer: No.={number}. It cannot be zero or empty."
            ))),
            None => Ok(()),
        }
    }
}
