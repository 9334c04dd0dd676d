//! Events in the shop and in Norce Admin, for tests and the sandbox to play. Call operations that raise events inside a
//! tokio runtime.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Address, Application, CodeList, CompanyRecord, Country, CustomerCompany, CustomerRecord,
    DELIVERY_ADDRESS, INVOICE_ADDRESS, NorceSimulator, OauthClient, Order, OrderAddress, OrderItem,
    OrderRecord, State, Subscription,
    events::{Event, EventType},
    import_rows::{company_changed, customer_changed},
    register::{Register, SHOP_USER},
};

/// An address as a person gives it in the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewAddress {
    /// Care of.
    pub care_of: Option<String>,
    /// First line.
    pub line1: Option<String>,
    /// Second line.
    pub line2: Option<String>,
    /// Postal code.
    pub zip_code: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// ISO code; one that is not registered leaves the address without a country.
    pub country_code: Option<String>,
    /// Global Location Number.
    pub gln: Option<String>,
    /// Telephone number of the recipient of the goods.
    pub shipping_phone: Option<String>,
    /// Id of the address that is none of Norce's own.
    pub code: Option<String>,
    /// The first choice among the addresses.
    pub is_primary: bool,
}

/// A customer as it comes to life in the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewCustomer {
    /// The application, in an application-unique set-up.
    pub application_id: Option<i64>,
    /// The ERP's code, where it is known already.
    pub code: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Middle name.
    pub middle_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Mobile telephone.
    pub cell_phone: Option<String>,
    /// Invoice address.
    pub invoice_address: Option<NewAddress>,
    /// Delivery addresses.
    pub delivery_addresses: Vec<NewAddress>,
}

/// A company as it comes to life in the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewCompany {
    /// The application, in an application-unique set-up.
    pub application_id: Option<i64>,
    /// The ERP's code, where it is known already.
    pub code: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Organisation number as written.
    pub organization_no: Option<String>,
    /// VAT number.
    pub vat_no: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Invoice address.
    pub invoice_address: Option<NewAddress>,
    /// Delivery addresses.
    pub delivery_addresses: Vec<NewAddress>,
}

/// An order as it is placed. The payer is the buyer unless it is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewOrder {
    /// The application.
    pub application_id: i64,
    /// The customer that orders, if Norce knows it.
    pub customer: Option<i64>,
    /// The company that it orders for.
    pub company: Option<i64>,
    /// The customer that pays, when it is another.
    pub payer_customer: Option<i64>,
    /// The company that pays, when it is another.
    pub payer_company: Option<i64>,
    /// Guest checkout: the order names no customer and no company, only the buyer's address with its e-mail address
    /// tells who it was (norce-api §10.3).
    pub guest: bool,
    /// The buyer's e-mail address, where no customer has it.
    pub email: Option<String>,
    /// The buyer's name, where no customer has it.
    pub name: Option<String>,
    /// Part number and price of what is bought.
    pub items: Vec<(String, f64)>,
}

/// An order that was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedOrder {
    /// Norce's id.
    pub id: i64,
    /// The basket or quotation, which is all that `OrderReceivedEvent` names.
    pub client_order_ref: String,
}

/// What the personal fields of a scrambled customer contain: not in the facts (norce-api §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blank {
    /// Nothing, and no addresses.
    Null,
    /// Empty texts, also in the addresses.
    Empty,
    /// This text, also in the addresses.
    Placeholder(String),
    /// A first and a last name and an e-mail address that are nobody's; the rest is nothing.
    Nobody {
        /// First name.
        first_name: String,
        /// Last name.
        last_name: String,
        /// E-mail address.
        email: String,
    },
}

impl Blank {
    /// Removes what identifies a customer. A city, a postal code and a country are none of that and stay, where the address
    /// does: the strict choice for code that reads the data.
    fn scramble(&self, record: &mut CustomerRecord) {
        let text = match self {
            Self::Null | Self::Nobody { .. } => None,
            Self::Empty => Some(String::new()),
            Self::Placeholder(text) => Some(text.clone()),
        };
        let row = &mut record.row;
        for field in [
            &mut row.email_address,
            &mut row.social_security_number,
            &mut row.title,
            &mut row.first_name,
            &mut row.middle_name,
            &mut row.last_name,
            &mut row.suffix,
            &mut row.phone_number,
            &mut row.cell_phone_number,
        ] {
            field.clone_from(&text);
        }
        if let Self::Nobody {
            first_name,
            last_name,
            email,
        } = self
        {
            row.first_name = Some(first_name.clone());
            row.last_name = Some(last_name.clone());
            row.email_address = Some(email.clone());
        }
        if text.is_none() {
            record.details.addresses.clear();
        }
        for address in &mut record.details.addresses {
            for field in [
                &mut address.care_of,
                &mut address.address_line1,
                &mut address.address_line2,
                &mut address.shipping_phone_number,
            ] {
                field.clone_from(&text);
            }
        }
        record.details.infos.clear();
        record.accounts.clear();
    }
}

impl NorceSimulator {
    /// Registers an application.
    pub fn add_application(&self, id: i64, key: Uuid, name: &str) {
        let name = name.to_owned();
        let application = Application { id, key, name };
        self.state().register.applications.insert(id, application);
    }

    /// Registers a country by its ISO code.
    pub fn add_country(&self, id: i64, code: &str) {
        let code = code.to_owned();
        self.state()
            .register
            .countries
            .insert(id, Country { id, code });
    }

    /// Registers a code that imports may name.
    pub fn add_code(&self, list: CodeList, code: &str, id: i64) {
        let mut state = self.state();
        let codes = state.register.codes.entry(list).or_default();
        codes.insert(code.to_owned(), id);
    }

    /// Registers a system account, whose id imports carry in their header.
    pub fn add_system_account(&self, id: i64) {
        self.state().register.system_accounts.insert(id);
    }

    /// Registers an OAuth client.
    pub fn add_oauth_client(&self, client: OauthClient) {
        self.state().identity.clients.push(client);
    }

    /// Lets an event type be posted. A later one replaces an earlier one of the same type.
    pub fn subscribe(&self, subscription: Subscription) {
        let subscriptions = &mut self.state().subscriptions;
        subscriptions.retain(|other| other.event != subscription.event);
        subscriptions.push(subscription);
    }

    /// Lets every event type be posted to `{base_url}/{type}` (see [`event_path`]), with the same headers.
    pub fn subscribe_all(&self, base_url: &str, headers: &[(String, String)]) {
        for event in EventType::ALL {
            self.subscribe(Subscription {
                event,
                url: format!("{}/{}", base_url.trim_end_matches('/'), event_path(event)),
                headers: headers.to_vec(),
            });
        }
    }

    /// Switches an event type off.
    pub fn unsubscribe(&self, event: EventType) {
        self.state()
            .subscriptions
            .retain(|subscription| subscription.event != event);
    }

    /// Ids that are given out from now on are above this one.
    pub fn start_ids_after(&self, id: i64) {
        self.state().register.start_ids_after(id);
    }

    /// A customer comes to life in the shop. Raises its notification.
    pub fn add_customer(&self, new: NewCustomer) -> i64 {
        let now = self.now();
        let mut state = self.state();
        let register = &mut state.register;
        let mut record = register.new_customer(now, SHOP_USER, new.application_id);
        let id = record.row.id;
        record.row.customer_code = new.code;
        record.row.email_address = new.email;
        record.row.middle_name = new.middle_name;
        record.row.first_name = new.first_name;
        record.row.last_name = new.last_name;
        record.row.phone_number = new.phone;
        record.row.cell_phone_number = new.cell_phone;
        record.details.addresses = addresses(
            register,
            id,
            now,
            new.invoice_address,
            new.delivery_addresses,
        );
        self.store_customer(state, record, now);
        id
    }

    /// A company comes to life in the shop. Raises its notification.
    pub fn add_company(&self, new: NewCompany) -> i64 {
        let now = self.now();
        let mut state = self.state();
        let register = &mut state.register;
        let mut record = register.new_company(now, SHOP_USER, new.application_id);
        let id = record.row.id;
        record.row.company_code = new.code;
        record.row.name = new.name;
        record.row.organization_no = new.organization_no;
        record.row.vat_no = new.vat_no;
        record.row.email_address = new.email;
        record.row.phone_number = new.phone;
        record.details.addresses = addresses(
            register,
            id,
            now,
            new.invoice_address,
            new.delivery_addresses,
        );
        self.store_company(state, record, now);
        id
    }

    /// Makes a customer a contact of a company. Raises a notification about the company alone (norce-api §6).
    pub fn link(&self, customer: i64, company: i64, primary: bool) {
        let now = self.now();
        self.state()
            .register
            .relate(customer, company, Some(primary), now, SHOP_USER);
        self.relation_changed(company);
    }

    /// Ends the relation of a customer to a company. Raises a notification about the company alone.
    pub fn unlink(&self, customer: i64, company: i64) {
        self.state().register.relations.remove(&(customer, company));
        self.relation_changed(company);
    }

    fn relation_changed(&self, company: i64) {
        let event = {
            let state = self.state();
            let record = state.register.companies.get(&company);
            let application = record.and_then(|company| company.row.application_id);
            let client = state.register.client_id;
            company_changed(client, application, company, "tClientCustomerCompany")
        };
        self.raise([event]);
    }

    /// A customer changes in the shop. Raises a notification for each table that has changed. Returns whether there is
    /// such a customer.
    pub fn change_customer(&self, id: i64, change: impl FnOnce(&mut CustomerRecord)) -> bool {
        let now = self.now();
        let state = self.state();
        let Some(mut record) = state.register.customers.get(&id).cloned() else {
            return false;
        };
        change(&mut record);
        self.store_customer(state, record, now);
        true
    }

    /// A customer changes in a transaction that began earlier and ends now: Query shows it only now, and its `Updated` is the
    /// time of the beginning (norce-api §5.1). Raises nothing. Returns whether there is such a customer.
    pub fn change_customer_late(
        &self,
        id: i64,
        began: DateTime<Utc>,
        change: impl FnOnce(&mut CustomerRecord),
    ) -> bool {
        let mut state = self.state();
        let Some(mut record) = state.register.customers.get(&id).cloned() else {
            return false;
        };
        change(&mut record);
        state.register.store_customer(record, began, SHOP_USER);
        true
    }

    /// A company changes in the shop. Raises a notification for each table that has changed. Returns whether there is
    /// such a company.
    pub fn change_company(&self, id: i64, change: impl FnOnce(&mut CompanyRecord)) -> bool {
        let now = self.now();
        let state = self.state();
        let Some(mut record) = state.register.companies.get(&id).cloned() else {
            return false;
        };
        change(&mut record);
        self.store_company(state, record, now);
        true
    }

    /// A customer is merged into another one (norce-api §5.4): it names the one that stays and is inactive from now on. What
    /// becomes of its code is not in the facts. Raises its notification. Returns whether there are both.
    pub fn merge_customer(&self, merged: i64, into: i64, keeps_code: bool) -> bool {
        let now = self.now();
        let state = self.state();
        let customers = &state.register.customers;
        if merged == into || !customers.contains_key(&into) {
            return false;
        }
        let Some(mut record) = customers.get(&merged).cloned() else {
            return false;
        };
        record.row.replacement_customer_id = Some(into);
        record.row.is_active = false;
        if !keeps_code {
            record.row.customer_code = None;
        }
        self.store_customer(state, record, now);
        true
    }

    /// A customer is forgotten: its data are scrambled, it is inactive and flagged from now on (norce-api §9).
    /// Whether that raises a notification is not in the facts. Returns whether there is such a customer.
    pub fn forget_customer(&self, id: i64, blank: &Blank, raise_event: bool) -> bool {
        let now = self.now();
        self.alter_customer(id, raise_event, |record| {
            blank.scramble(record);
            let row = &mut record.row;
            row.is_active = false;
            row.stopped_by = row.stopped_by.or(Some(SHOP_USER));
            row.stopped_date = row.stopped_date.or(Some(now));
            flag_forgotten(record, now);
        })
    }

    /// The data of a customer are scrambled, and nothing else says that it is forgotten: whether Norce sets the flag in the
    /// same moment is not in the facts. Returns whether there is such a customer.
    pub fn scramble_customer(&self, id: i64, blank: &Blank, raise_event: bool) -> bool {
        self.alter_customer(id, raise_event, |record| blank.scramble(record))
    }

    /// A customer is flagged as forgotten, and its data stay for now. The flag may come long after the last update of the row,
    /// and leaves that time as it is (norce-api §9). Returns whether there is such a customer.
    pub fn flag_customer_forgotten(&self, id: i64) -> bool {
        let now = self.now();
        let mut state = self.state();
        let record = state.register.customers.get_mut(&id);
        record.map(|record| flag_forgotten(record, now)).is_some()
    }

    fn alter_customer(
        &self,
        id: i64,
        raise_event: bool,
        alter: impl FnOnce(&mut CustomerRecord),
    ) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(mut record) = state.register.customers.get(&id).cloned() else {
            return false;
        };
        alter(&mut record);
        if raise_event {
            self.store_customer(state, record, now);
        } else {
            state.register.store_customer(record, now, SHOP_USER);
        }
        true
    }

    /// An order is placed. Updates `LastOrderDate` of its customer, which by itself raises no notification, posts the order
    /// where there is a receiver, and raises `OrderReceivedEvent`.
    pub fn place_order(&self, new: NewOrder) -> PlacedOrder {
        let now = self.now();
        let mut guard = self.state();
        let state = &mut *guard;
        let delay = state.settings.order_delay;
        let register = &mut state.register;
        let client = register.client_id;
        if let Some(customer) = new.customer.and_then(|id| register.customers.get_mut(&id)) {
            customer.row.last_order_date = Some(now);
        }
        let id = register.next_id();
        let quotation = register.next_id();
        let client_order_ref = quotation.to_string();
        let buyer = order_address(register, now, &new);
        let known = |customer: Option<i64>| customer.filter(|_| !new.guest);
        let (buyer_customer, buyer_company) = (known(new.customer), known(new.company));
        let payer_customer = known(new.payer_customer.or(new.customer));
        let payer_company = known(new.payer_company.or(new.company));
        let customer_code = |id: Option<i64>| {
            let record = id.and_then(|id| register.customers.get(&id))?;
            record.row.customer_code.clone()
        };
        let company_code = |id: Option<i64>| {
            let record = id.and_then(|id| register.companies.get(&id))?;
            record.row.company_code.clone()
        };
        let row = Order {
            id,
            client_id: client,
            application_id: new.application_id,
            quotation_id: Some(quotation),
            order_no: client_order_ref.clone(),
            order_date: now,
            buyer_company_code: company_code(buyer_company),
            buyer_company_id: buyer_company,
            buyer_customer_code: customer_code(buyer_customer),
            buyer_customer_id: buyer_customer,
            payer_company_code: company_code(payer_company),
            payer_company_id: payer_company,
            payer_customer_code: customer_code(payer_customer),
            payer_customer_id: payer_customer,
            status_id: CREATED,
            source: Some(SOURCE.to_owned()),
            created: now,
            currency_id: CURRENCY,
            delivery_country_id: buyer.country_id,
            delivery_zip_code: buyer.zip_code.clone(),
            ..Order::default()
        };
        let mut items = Vec::new();
        for (part_no, price) in new.items {
            items.push(OrderItem {
                id: register.next_id(),
                order_id: id,
                product_name: part_no.clone(),
                part_no,
                qty_ordered: 1.0,
                price_sale: price,
                line_amount: price,
                vat_rate: VAT_RATE,
                ..OrderItem::default()
            });
        }
        let event = Event::new(EventType::OrderReceived, client)
            .with("ApplicationId", new.application_id)
            .with("ClientOrderRef", client_order_ref.as_str())
            .with_some("Email", buyer.email_address.clone())
            .with_some("CellPhone", buyer.phone_number.clone())
            .with_some("FirstName", first_name(buyer.name.as_deref()))
            .with_some("LastName", last_name(buyer.name.as_deref()))
            .with("Source", SOURCE);
        let record = OrderRecord {
            row,
            items,
            payer: Some(buyer.clone()),
            ship_to: Some(buyer.clone()),
            buyer: Some(buyer),
            infos: Vec::new(),
            client_order_ref: client_order_ref.clone(),
            visible_from: Some(Instant::now() + delay),
        };
        register.orders.insert(id, record);
        drop(guard);
        self.post_placed_order(id);
        self.raise([event]);
        PlacedOrder {
            id,
            client_order_ref,
        }
    }

    /// The ERP has confirmed an order. Raises `OrderConfirmedEvent`. Returns whether there is such an order.
    pub fn confirm_order(&self, id: i64, erp_order_no: &str) -> bool {
        self.settle_order(id, CONFIRMED, EventType::OrderConfirmed, Some(erp_order_no))
    }

    /// An order is cancelled. Raises `OrderCancelledEvent`. Returns whether there is such an order.
    pub fn cancel_order(&self, id: i64) -> bool {
        self.settle_order(id, CANCELLED, EventType::OrderCancelled, None)
    }

    fn settle_order(&self, id: i64, status: i64, kind: EventType, order_no: Option<&str>) -> bool {
        let now = self.now();
        let mut state = self.state();
        let client = state.register.client_id;
        let Some(order) = state.register.orders.get_mut(&id) else {
            return false;
        };
        order.row.status_id = status;
        order.row.updated = Some(now);
        if let Some(order_no) = order_no {
            order.row.order_no = order_no.to_owned();
        }
        let buyer = order.buyer.clone().unwrap_or_default();
        let event = Event::new(kind, client)
            .with("ApplicationId", order.row.application_id)
            .with("OrderId", id)
            .with("OrderNo", order.row.order_no.as_str())
            .with("ClientOrderRef", order.client_order_ref.as_str())
            .with("Source", SOURCE)
            .with_some("CellPhone", buyer.phone_number)
            .with_some("FirstName", first_name(buyer.name.as_deref()))
            .with_some("LastName", last_name(buyer.name.as_deref()));
        drop(state);
        self.raise([event]);
        true
    }

    /// Every customer.
    pub fn customers(&self) -> Vec<CustomerRecord> {
        self.state().register.customers.values().cloned().collect()
    }

    /// One customer.
    pub fn customer(&self, id: i64) -> Option<CustomerRecord> {
        self.state().register.customers.get(&id).cloned()
    }

    /// Every company.
    pub fn companies(&self) -> Vec<CompanyRecord> {
        self.state().register.companies.values().cloned().collect()
    }

    /// One company.
    pub fn company(&self, id: i64) -> Option<CompanyRecord> {
        self.state().register.companies.get(&id).cloned()
    }

    /// Every relation of a customer to a company.
    pub fn relations(&self) -> Vec<CustomerCompany> {
        self.state().register.relations.values().cloned().collect()
    }

    /// The companies of a customer.
    pub fn companies_of(&self, customer: i64) -> BTreeSet<i64> {
        let state = self.state();
        let relations = state.register.relations.keys();
        relations
            .filter(|(of, _)| *of == customer)
            .map(|(_, company)| *company)
            .collect()
    }

    /// Every order.
    pub fn orders(&self) -> Vec<OrderRecord> {
        self.state().register.orders.values().cloned().collect()
    }

    fn store_customer(
        &self,
        mut state: std::sync::MutexGuard<'_, State>,
        record: CustomerRecord,
        now: DateTime<Utc>,
    ) {
        let (id, application) = (record.row.id, record.row.application_id);
        let client = state.register.client_id;
        let tables = state.register.store_customer(record, now, SHOP_USER);
        drop(state);
        self.raise(
            tables
                .into_iter()
                .map(|table| customer_changed(client, application, id, table)),
        );
    }

    fn store_company(
        &self,
        mut state: std::sync::MutexGuard<'_, State>,
        record: CompanyRecord,
        now: DateTime<Utc>,
    ) {
        let (id, application) = (record.row.id, record.row.application_id);
        let client = state.register.client_id;
        let tables = state.register.store_company(record, now, SHOP_USER);
        drop(state);
        self.raise(
            tables
                .into_iter()
                .map(|table| company_changed(client, application, id, table)),
        );
    }
}

/// `StatusId` of an order (norce-api §10.3).
const CREATED: i64 = 0;
const CONFIRMED: i64 = 2;
const CANCELLED: i64 = 6;
/// `Source` of an order from the web shop (norce-api §6).
const SOURCE: &str = "WEB";
/// The one currency of the simulated shop.
const CURRENCY: i64 = 1;
/// The one rate of the simulated shop.
const VAT_RATE: f64 = 1.25;

/// The end of the URL that an event type is posted to, where each type has a URL of its own.
pub fn event_path(event: EventType) -> &'static str {
    match event {
        EventType::CustomerChanged => "customer-changed",
        EventType::CompanyChanged => "company-changed",
        EventType::OrderReceived => "order-received",
        EventType::OrderConfirmed => "order-confirmed",
        EventType::OrderCancelled => "order-cancelled",
        EventType::JobCompleted => "job-completed",
    }
}

fn addresses(
    register: &mut Register,
    owner: i64,
    now: DateTime<Utc>,
    invoice: Option<NewAddress>,
    delivery: Vec<NewAddress>,
) -> Vec<Address> {
    let invoice = invoice.map(|address| (INVOICE_ADDRESS, address));
    let delivery = delivery
        .into_iter()
        .map(|address| (DELIVERY_ADDRESS, address));
    invoice
        .into_iter()
        .chain(delivery)
        .map(|(type_id, new)| Address {
            id: register.next_id(),
            owner_id: owner,
            type_id,
            care_of: new.care_of,
            address_line1: new.line1,
            address_line2: new.line2,
            zip_code: new.zip_code,
            city: new.city,
            region: new.region,
            country_id: new
                .country_code
                .and_then(|code| register.country_by_code(&code)),
            gln: new.gln,
            shipping_phone_number: new.shipping_phone,
            code: new.code,
            is_primary: new.is_primary,
            created: now,
            created_by: SHOP_USER,
            client_id: Some(register.client_id),
            ..Address::default()
        })
        .collect()
}

fn flag_forgotten(record: &mut CustomerRecord, now: DateTime<Utc>) {
    record.row.is_forgotten = true;
    record.row.forgotten_by = Some(SHOP_USER);
    record.row.forgotten_date = Some(now);
}

/// The order's own copy of who ordered and from where.
fn order_address(register: &mut Register, now: DateTime<Utc>, new: &NewOrder) -> OrderAddress {
    let id = register.next_id();
    let customer = new.customer.and_then(|id| register.customers.get(&id));
    let company = new.company.and_then(|id| register.companies.get(&id));
    let details = company
        .map(|record| &record.details)
        .or(customer.map(|record| &record.details));
    let invoice = details.and_then(|details| {
        let mut addresses = details.addresses.iter();
        addresses.find(|address| address.type_id == INVOICE_ADDRESS)
    });
    let invoice = invoice.cloned().unwrap_or_default();
    let row = customer.map(|record| &record.row);
    let name = row.and_then(|row| {
        let parts = [row.first_name.as_deref(), row.last_name.as_deref()];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        (!name.is_empty()).then_some(name)
    });
    let email = row.and_then(|row| row.email_address.clone());
    OrderAddress {
        id,
        name: name.or_else(|| new.name.clone()),
        care_of: invoice.care_of,
        line1: invoice.address_line1,
        line2: invoice.address_line2,
        zip_code: invoice.zip_code,
        city: invoice.city,
        region: invoice.region,
        country_id: invoice.country_id,
        created: now,
        created_by: SHOP_USER,
        email_address: email.or_else(|| new.email.clone()),
        phone_number: row.and_then(|row| row.cell_phone_number.clone()),
        client_id: Some(register.client_id),
        ..OrderAddress::default()
    }
}

fn first_name(name: Option<&str>) -> Option<String> {
    let name = name?;
    Some(
        name.split_once(' ')
            .map_or(name, |(first, _)| first)
            .to_owned(),
    )
}

fn last_name(name: Option<&str>) -> Option<String> {
    let (_, last) = name?.split_once(' ')?;
    Some(last.to_owned())
}
