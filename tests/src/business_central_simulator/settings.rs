use std::time::Duration;

use http::StatusCode;
use uuid::Uuid;

use super::{Clock, CustomerTemplate, NumberSeries, ReferenceTables};

/// How the simulated environment is set up. Everything but `clock` can also be changed while it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Entra tenant: the first segment of the token's and the API's address.
    pub tenant: String,
    /// Environment, such as `production`.
    pub environment: String,
    /// The app registrations that get tokens. The limits count per registration (erp-apis §1.8).
    pub applications: Vec<Application>,
    /// Whether the apps were added inside Business Central too.
    pub access: ApplicationAccess,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// The companies, each with its own data.
    pub companies: Vec<CompanySettings>,
    /// Requests per application in a sliding `window`.
    pub requests_per_window: usize,
    /// Length of the sliding window.
    pub window: Duration,
    /// Requests per application that are worked on at the same time.
    pub concurrent_requests: usize,
    /// Requests per application that may wait for their turn.
    pub queued_requests: usize,
    /// How long a request waits for its turn before it is answered with 503.
    pub queue_wait: Duration,
    /// Most rows of one page.
    pub page_size: usize,
    /// `Retry-After` of a 429. The documentation promises it for 502 and 503 only (erp-apis §1.8).
    pub retry_after_when_throttled: Option<Duration>,
    /// Status of `Internal_EntityWithSameKeyExists`: live servers were seen with 400 and with 409 (erp-apis §1.6).
    pub same_key_status: StatusCode,
    /// Where `@odata.nextLink` points, instead of where the request came in: a client must not send its token there.
    pub next_link_origin: Option<String>,
    /// What a filter on `taxRegistrationNumber` of a customer does.
    pub tax_number_filter: TaxNumberFilter,
    /// Which chains of `or` over e-mail addresses are answered.
    pub email_chains: EmailChains,
    /// The server's time of day.
    pub clock: Clock,
}

/// What a filter on `taxRegistrationNumber` does. The property is bound to a variable of the page, which is computed after
/// each read; what a filter on it does is not documented (erp-apis §1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaxNumberFilter {
    /// The request is refused with 400.
    Refused,
    /// The rows come as if this part of the filter were absent.
    Ignored,
    /// No row passes: the variable is still empty when the filter is applied.
    MatchesNothing,
    /// It filters as a filter on a field of the table does.
    Filters,
}

/// Which chains of `or` over e-mail addresses are answered: the parts are documented, the whole is not (erp-apis §1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailChains {
    /// All of them.
    Answered,
    /// Only with `$schemaversion=2.1`.
    WithSchemaVersion,
    /// None: each is refused with 400.
    Refused,
}

/// An Entra app registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its `client_id`.
    pub client_id: String,
    /// Its `client_secret`, an invented one.
    pub client_secret: String,
}

/// Whether a valid token is also let in (erp-apis §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplicationAccess {
    /// The app was added in Business Central and enabled.
    Granted,
    /// It was not, and the answer is 401.
    RefusedAsUnknown,
    /// It was not, and the answer is 403.
    RefusedAsForbidden,
}

/// One company: its identity and the set-up tables that its business rules read.
#[derive(Debug, Clone)]
pub struct CompanySettings {
    /// Its id, as in `companies({id})`.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The country of the company itself: VAT formats of records without a country.
    pub home_country: String,
    /// The table "Country/Region".
    pub countries: Vec<Country>,
    /// The table "Post Code".
    pub post_codes: Vec<PostCode>,
    /// General Ledger Setup "Req.Country/Reg. Code in Addr.": a changed country does not clear the place.
    pub country_required_in_addresses: bool,
    /// The templates of the page "API Setup" for customers, in their order. None: customers that the API creates have no
    /// posting groups.
    pub customer_templates: Vec<CustomerTemplate>,
    /// The tables that customers refer to.
    pub tables: ReferenceTables,
    /// Series of customer numbers.
    pub customer_numbers: NumberSeries,
    /// Series of contact numbers.
    pub contact_numbers: NumberSeries,
    /// Marketing Setup "Bus. Rel. Code for Customers": a new customer gets a contact as well (erp-apis §1.3).
    pub contact_for_new_customer: bool,
    /// The merchant has an API page of its own ([`own_api_root`](super::BusinessCentralSimulator::own_api_root)): customers with
    /// five more fields, `customerPriceGroup`, `registrationNumber`, `gln`, `isVip` and `segmentCode` (erp-apis §1.3). It only reads.
    pub own_page: bool,
    /// Customers that a filter of that page leaves out.
    pub hidden_from_own_page: Vec<Uuid>,
}

/// A row of the table "Country/Region".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Country {
    /// Its code.
    pub code: String,
    /// VAT number formats: `#` a digit, `@` a letter, `?` anything, all else itself. None means no check.
    pub vat_formats: Vec<String>,
}

/// A row of the table "Post Code".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostCode {
    /// The code in the table's spelling.
    pub code: String,
    /// City.
    pub city: String,
    /// County; `state` in the API.
    pub county: String,
    /// Country code.
    pub country: String,
}

/// Five minutes with 6000 requests, 5 at the same time, 95 waiting at most 8 minutes (erp-apis §1.8).
const WINDOW: Duration = Duration::from_secs(5 * 60);
const REQUESTS_PER_WINDOW: usize = 6_000;
const CONCURRENT_REQUESTS: usize = 5;
const QUEUED_REQUESTS: usize = 95;
const QUEUE_WAIT: Duration = Duration::from_secs(8 * 60);
/// Most rows of one page online (erp-apis §1.5).
const PAGE_SIZE: usize = 20_000;
/// Entra's usual answer is 3599: an hour less the second that it took.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3_599);
/// The id of the default company, so that configuration can be written down.
const DEFAULT_COMPANY: Uuid = Uuid::from_u128(0x3b1b_b2c1_6d0e_4f5a_9c43_2f6a_7d5e_0001);

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: "5d1c0e5e-7f0a-4c1e-9a55-0b7e1c3d2f10".to_owned(),
            environment: "production".to_owned(),
            applications: vec![Application {
                client_id: "norce-sync".to_owned(),
                client_secret: "business-central-secret".to_owned(),
            }],
            access: ApplicationAccess::Granted,
            token_lifetime: TOKEN_LIFETIME,
            companies: vec![CompanySettings {
                id: DEFAULT_COMPANY,
                ..CompanySettings::named("Butiken AB")
            }],
            requests_per_window: REQUESTS_PER_WINDOW,
            window: WINDOW,
            concurrent_requests: CONCURRENT_REQUESTS,
            queued_requests: QUEUED_REQUESTS,
            queue_wait: QUEUE_WAIT,
            page_size: PAGE_SIZE,
            retry_after_when_throttled: None,
            same_key_status: StatusCode::BAD_REQUEST,
            next_link_origin: None,
            tax_number_filter: TaxNumberFilter::Refused,
            email_chains: EmailChains::WithSchemaVersion,
            clock: Clock::default(),
        }
    }
}

impl CompanySettings {
    /// A Swedish company with the Nordic countries, one known post code and no manual numbers.
    pub fn named(name: &str) -> Self {
        let country = |code: &str, formats: &[&str]| Country {
            code: code.to_owned(),
            vat_formats: formats.iter().map(|&format| format.to_owned()).collect(),
        };
        Self {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            home_country: "SE".to_owned(),
            countries: vec![
                country("SE", &["SE##########01"]),
                country("NO", &["NO#########MVA"]),
                country("DK", &["DK########", "########"]),
                country("FI", &["FI########"]),
                country("DE", &["DE#########"]),
                country("US", &[]),
            ],
            post_codes: vec![PostCode {
                code: "111 20".to_owned(),
                city: "STOCKHOLM".to_owned(),
                county: String::new(),
                country: "SE".to_owned(),
            }],
            country_required_in_addresses: false,
            customer_templates: vec![CustomerTemplate::domestic()],
            tables: ReferenceTables::default(),
            customer_numbers: NumberSeries::starting_at("C00010"),
            contact_numbers: NumberSeries::starting_at("CT000010"),
            contact_for_new_customer: true,
            own_page: false,
            hidden_from_own_page: Vec::new(),
        }
    }
}
