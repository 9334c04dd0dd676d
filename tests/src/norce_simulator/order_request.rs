//! The order receiver's caller (norce-api §10.1): after checkout Norce posts the order itself, with Basic authentication, and
//! expects an `OrderResponse` at once. The schedule of its retries is not in the facts and can be set.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    HttpEventSink, NorceSimulator, OrderRecord, POST_TIMEOUT,
    register::{OrderAddress, Register},
};

/// The settings of the ERP integration in Norce Admin: the endpoint type REST (recommended).
#[derive(Debug, Clone)]
pub struct OrderReceiver {
    /// Endpoint URL.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// The pauses before each retry; after the last one the order is left to Norce's support.
    pub retries: Vec<Duration>,
    /// Each order is posted so often, one right after the other: 1 is once.
    pub copies: u32,
}

/// The post of an order.
#[derive(Clone)]
pub struct OrderPost {
    /// Where to.
    pub url: String,
    /// `Authorization` and `Content-Type`.
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub body: Bytes,
}

/// Delivers orders to the receiver.
#[async_trait]
pub trait OrderSink: Send + Sync {
    /// Posts, and returns the status and the body of the answer.
    ///
    /// # Errors
    /// Why there was no answer.
    async fn post_order(&self, post: OrderPost) -> Result<(u16, String), String>;
}

#[async_trait]
impl OrderSink for HttpEventSink {
    async fn post_order(&self, post: OrderPost) -> Result<(u16, String), String> {
        let answer = self.send(&post.url, post.headers, post.body).await?;
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        Ok((status, body))
    }
}

/// One post of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderAttempt {
    /// When it was made.
    pub at: Instant,
    /// The status of the answer and its `StatusCode`, or why there was none.
    pub outcome: Result<(u16, String), String>,
}

/// An order on its way to the receiver.
#[derive(Debug, Clone)]
pub struct OrderDelivery {
    /// Which order.
    pub client_order_ref: String,
    /// The body.
    pub body: String,
    /// The posts so far.
    pub attempts: Vec<OrderAttempt>,
    /// The receiver has said "OK".
    pub taken: bool,
}

/// The endpoint and its transport.
#[derive(Clone)]
pub(super) struct Receiver {
    admin: OrderReceiver,
    sink: Arc<dyn OrderSink>,
}

impl NorceSimulator {
    /// Every order that is placed from now on is posted there.
    pub fn post_orders_to(&self, admin: OrderReceiver, sink: Arc<dyn OrderSink>) {
        self.state().order_receiver = Some(Receiver { admin, sink });
    }

    /// Changes the settings of the order receiver in Norce Admin, if there is one.
    pub fn configure_orders(&self, change: impl FnOnce(&mut OrderReceiver)) {
        if let Some(receiver) = &mut self.state().order_receiver {
            change(&mut receiver.admin);
        }
    }

    /// Every order that was posted, taken or not.
    pub fn order_deliveries(&self) -> Vec<OrderDelivery> {
        self.state().order_deliveries.clone()
    }

    /// Posts an order that was placed, as it is stored now.
    pub fn post_placed_order(&self, id: i64) {
        let state = self.state();
        let body = state
            .register
            .orders
            .get(&id)
            .map(|order| (order.client_order_ref.clone(), body(&state.register, order)));
        drop(state);
        if let Some((client_order_ref, body)) = body {
            self.post_order(&client_order_ref, &body.to_string());
        }
    }

    /// Posts this body unchanged.
    pub fn post_order(&self, client_order_ref: &str, body: &str) {
        let mut state = self.state();
        let Some(receiver) = state.order_receiver.clone() else {
            return;
        };
        for _ in 0..receiver.admin.copies.max(1) {
            let index = state.order_deliveries.len();
            state.order_deliveries.push(OrderDelivery {
                client_order_ref: client_order_ref.to_owned(),
                body: body.to_owned(),
                attempts: Vec::new(),
                taken: false,
            });
            let activity = self.begin_activity();
            let (simulator, receiver, body) =
                (self.clone(), receiver.clone(), Bytes::from(body.to_owned()));
            tokio::spawn(async move {
                simulator.deliver_order(index, &receiver, body).await;
                drop(activity);
            });
        }
    }

    async fn deliver_order(&self, index: usize, receiver: &Receiver, body: Bytes) {
        let admin = &receiver.admin;
        let credentials = BASE64.encode(format!("{}:{}", admin.username, admin.password));
        let post = OrderPost {
            url: admin.url.clone(),
            headers: vec![
                ("authorization".to_owned(), format!("Basic {credentials}")),
                (
                    "content-type".to_owned(),
                    "application/json; charset=utf-8".to_owned(),
                ),
            ],
            body,
        };
        let mut retries = admin.retries.iter();
        loop {
            let at = Instant::now();
            let answer = timeout(POST_TIMEOUT, receiver.sink.post_order(post.clone())).await;
            let outcome = match answer {
                Ok(Ok((status, body))) => status_code(&body).map(|code| (status, code)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err("no answer in time".to_owned()),
            };
            let taken = matches!(&outcome, Ok((200, code)) if code == "OK");
            if let Some(delivery) = self.state().order_deliveries.get_mut(index) {
                delivery.attempts.push(OrderAttempt { at, outcome });
                delivery.taken = taken;
            }
            match retries.next() {
                Some(pause) if !taken => sleep(*pause).await,
                _ => return,
            }
        }
    }
}

/// `StatusCode` of an `OrderResponse` with everything that one has.
fn status_code(body: &str) -> Result<String, String> {
    let answer: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let complete = answer["Description"].is_string()
        && answer["HasErpOrderNo"].is_boolean()
        && answer["ErpOrderNo"].is_string();
    match answer["StatusCode"].as_str() {
        Some(code) if complete && code.len() <= 50 => Ok(code.to_owned()),
        _ => Err("the answer is no OrderResponse".to_owned()),
    }
}

/// The `OrderRequest` (norce-api §10.1), deprecated fields as they are said to be: null or false.
pub(super) fn body(register: &Register, order: &OrderRecord) -> Value {
    let row = &order.row;
    let application = register.applications.get(&row.application_id);
    let items: Vec<Value> = order
        .items
        .iter()
        .zip(1..)
        .map(|(item, line)| {
            json!({
                "LineNo": line,
                "PartNo": item.part_no,
                "Description": item.product_name,
                "Quantity": item.qty_ordered,
                "Price": item.price_sale,
                "VatRate": item.vat_rate,
                "LineAmount": item.line_amount,
            })
        })
        .collect();
    let sell_to = party(
        register,
        row.buyer_company_id,
        row.buyer_company_code.as_deref(),
        row.buyer_customer_code.as_deref(),
        order.buyer.as_ref(),
    );
    let bill_to = party(
        register,
        row.payer_company_id,
        row.payer_company_code.as_deref(),
        row.payer_customer_code.as_deref(),
        order.payer.as_ref(),
    );
    let ship_to = party(
        register,
        row.buyer_company_id,
        row.buyer_company_code.as_deref(),
        row.buyer_customer_code.as_deref(),
        order.ship_to.as_ref(),
    );
    json!({
        "Header": { "ApplicationKey": application.map(|application| application.key) },
        "SellTo": sell_to,
        "BillTo": bill_to,
        "ShipTo": ship_to,
        "SalesContactCode": null,
        "SalesContactDivision": null,
        "DoHold": false,
        "ClientOrderRef": order.client_order_ref,
        "ErpOrderNo": null,
        "CustomerOrderRef": null,
        "CustomerOrderComment": null,
        "SubmitDate": row.order_date,
        "CurrencyCode": "SEK",
        "ReferId": null,
        "Payments": [],
        "Discounts": [],
        "ShippingAdvice": null,
        "Items": items,
        "Fees": [],
        "AdditionalInfo": [],
        "OrderType": 1,
        "Source": row.source,
        "CustomerInvoiceRef": null,
        "DiscountCode": null,
    })
}

/// `ClientCustomer`: the buyer, payer or recipient. It has a code once Norce has one.
fn party(
    register: &Register,
    company: Option<i64>,
    company_code: Option<&str>,
    customer_code: Option<&str>,
    address: Option<&OrderAddress>,
) -> Value {
    let company = company.and_then(|id| register.companies.get(&id));
    let company = company.map(|company| {
        json!({
            "Code": company_code,
            "Name": company.row.name,
            "VatNo": company.row.vat_no,
            "Phone": company.row.phone_number,
            "Fax": null,
            "Email": null,
            "Addresses": null,
            "PricelistCodes": null,
            "PaymentCodes": null,
            "DeliveryCodes": null,
            "AdditionalInfo": null,
            "IsActive": false,
        })
    });
    let person = address.map(|address| {
        let name = address.name.as_deref().unwrap_or_default();
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        let country = address
            .country_id
            .and_then(|id| register.countries.get(&id));
        json!({
            "CustomerCode": customer_code,
            "CompanyCode": null,
            "FirstName": first,
            "LastName": last,
            "JobTitle": null,
            "PrivatePhone": null,
            "CellPhone": address.phone_number,
            "WorkPhone": null,
            "Email": address.email_address,
            "SSN": null,
            "Address": {
                "Type": null,
                "Line1": address.line1,
                "Line2": address.line2,
                "Box": null,
                "ZipCode": address.zip_code,
                "City": address.city,
                "Region": address.region,
                "Country": country.map(|country| &country.code),
                "CareOf": address.care_of,
            },
            "AdditionalInfo": null,
            "IsActive": false,
        })
    });
    json!({ "Company": company, "Person": person })
}
