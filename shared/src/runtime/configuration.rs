//! Configuration from the environment, read once at start and checked whole: one error names every fault.
//!
//! Each function has a struct of its own that is made of the parts here. The names and meanings are those of `functions/README.md`
//! ("Configuration").

use std::{
    num::{NonZeroU32, NonZeroUsize},
    str::FromStr,
    time::Duration,
};

use thiserror::Error;
use url::Url;
use uuid::Uuid;

pub use super::{
    environment::{ConfigurationError, Environment, RESOURCE_NAMES_SECRET_ARN, ResourceNames},
    sync_policy::{
        CreateInErp, ForgottenPolicy, MatchingPolicy, SyncPolicy, read_erp_owns, read_sync_kinds,
    },
};
use crate::{
    domain::{ApplicationSettings, Countries, CountryCode, CountryCodes, Registers, Scope},
    erp::{ExtraFields, FixedValues, PersonRule},
    norce::{
        connect::ImportOptions,
        query::{AddressTypes, DEFAULT_DELIVERY_ADDRESS_TYPE, DEFAULT_INVOICE_ADDRESS_TYPE},
    },
};

/// The address of a remote: `https`, or plain `http` to a loopback host only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl(Url);

impl RemoteUrl {
    /// The URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// A text is no address of a remote.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an https address (plain http is accepted for loopback hosts only)")]
pub struct InvalidRemoteUrl(String);

impl FromStr for RemoteUrl {
    type Err = InvalidRemoteUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRemoteUrl> {
        let invalid = || InvalidRemoteUrl(text.to_owned());
        let url = Url::parse(text).map_err(|_| invalid())?;
        let loopback = match url.host() {
            Some(url::Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => return Err(invalid()),
        };
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        match url.scheme() {
            _ if has_credentials => Err(invalid()),
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            _ => Err(invalid()),
        }
    }
}

/// Reads `NORCE_APPLICATIONS` and `CUSTOMERS_BY_APPLICATION`.
pub fn read_shops(environment: &mut Environment<'_>) -> Option<ApplicationSettings> {
    read_fields!(ApplicationSettings {
        applications: environment.required("NORCE_APPLICATIONS"),
        registers: environment.or_default("CUSTOMERS_BY_APPLICATION", Registers::default()),
    })
}

/// How to reach Norce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NorceSettings {
    /// `NORCE_BASE_URL`.
    pub base_url: RemoteUrl,
    /// `NORCE_SCOPE`.
    pub scope: String,
    /// `NORCE_SECRET_ARN`: `{"clientId","clientSecret"}`.
    pub secret_arn: String,
    /// `NORCE_ACCOUNT_ID`: the system account that imports are made by.
    pub account_id: i32,
    /// `NORCE_INVOICE_ADDRESS_TYPE` and `NORCE_DELIVERY_ADDRESS_TYPE`: the `TypeId` of an address in Query. Norce's
    /// documents do not list the numbers (norce-api §5.2), so they can be set.
    pub address_types: AddressTypes,
    /// `HOME_COUNTRY`: the country of addresses that name none.
    pub home_country: Option<CountryCode>,
    /// What imports say that neither side has; read where they are submitted ([`CommonSettings::read_for_imports`]).
    pub imports: ImportOptions,
}

impl NorceSettings {
    /// Reads the settings; `None` if one is faulty.
    pub fn read(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            base_url: environment.required("NORCE_BASE_URL"),
            scope: environment.required("NORCE_SCOPE"),
            secret_arn: environment.required("NORCE_SECRET_ARN"),
            account_id: environment.required("NORCE_ACCOUNT_ID"),
            address_types: read_address_types(environment),
            home_country: Some(environment.optional("HOME_COUNTRY")),
            imports: Some(ImportOptions::default()),
        })
    }
}

/// The settings of every function that uses the code mappings.
#[derive(Debug, Clone)]
pub struct CommonSettings {
    /// The applications and their scopes.
    pub shops: ApplicationSettings,
    /// The connection to Norce.
    pub norce: NorceSettings,
    /// `BREAKERS_TABLE`: the remotes to which calls are paused.
    pub breakers_table: String,
    /// `FINGERPRINT_SECRET_ARN`: keys of customers and tombstones of mappings are keyed hashes.
    pub fingerprint_secret_arn: String,
    /// `CODE_MAPPINGS_TABLE`.
    pub code_mappings_table: String,
    /// `OWED_TABLE`.
    pub owed_table: String,
}

impl CommonSettings {
    /// Reads the settings; `None` if one is faulty.
    pub fn read(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            shops: read_shops(environment),
            norce: NorceSettings::read(environment),
            breakers_table: environment.required("BREAKERS_TABLE"),
            fingerprint_secret_arn: environment.required("FINGERPRINT_SECRET_ARN"),
            code_mappings_table: environment.required("CODE_MAPPINGS_TABLE"),
            owed_table: environment.required("OWED_TABLE"),
        })
    }

    /// Reads the settings, with the options of imports.
    pub fn read_for_imports(environment: &mut Environment<'_>) -> Option<Self> {
        let (mut common, imports) = (Self::read(environment), read_import_options(environment));
        common.as_mut()?.norce.imports = imports?;
        common
    }
}

/// Reads the types of addresses.
fn read_address_types(environment: &mut Environment<'_>) -> Option<AddressTypes> {
    read_fields!(AddressTypes {
        invoice: environment.or_default("NORCE_INVOICE_ADDRESS_TYPE", DEFAULT_INVOICE_ADDRESS_TYPE),
        delivery: environment
            .or_default("NORCE_DELIVERY_ADDRESS_TYPE", DEFAULT_DELIVERY_ADDRESS_TYPE),
    })
}

/// Reads `ACCOUNT_ROLES` and `PRICE_LISTS_EXCLUSIVE`.
fn read_import_options(environment: &mut Environment<'_>) -> Option<ImportOptions> {
    read_fields!(ImportOptions {
        account_roles: environment
            .or_default("ACCOUNT_ROLES", String::new())
            .map(|roles| names(&roles)),
        exclusive_price_lists: environment.or_default("PRICE_LISTS_EXCLUSIVE", false),
    })
}

/// The names of a list, separated by commas.
fn names(list: &str) -> Vec<String> {
    let names = list.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

string_enum! {
    /// `ERP_KIND`.
    ErpKind {
        /// Microsoft Dynamics 365 Business Central.
        BusinessCentral = "business-central",
        /// Odoo 19 or newer.
        Odoo = "odoo",
        /// Any ERP behind a facade of the HTTP contract.
        Http = "http",
    }
}

string_enum! {
    /// `ERP_EVENTS`: whether the ERP posts what has changed.
    ErpEvents {
        /// It does not.
        Off = "off",
        /// It does, to an address of its own.
        On = "on",
    }
}

/// Reads `ERP_EVENTS`, and `settings` where it is on. Outside `None`: something is faulty, inside: it is off.
pub fn read_erp_events<T>(
    environment: &mut Environment<'_>,
    settings: impl FnOnce(&mut Environment<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match environment.or_default("ERP_EVENTS", ErpEvents::Off)? {
        ErpEvents::Off => Some(None),
        ErpEvents::On => settings(environment).map(Some),
    }
}

/// A company of an ERP that keeps several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErpCompany {
    /// Its id in Business Central.
    BusinessCentral(Uuid),
    /// Its id in Odoo.
    Odoo(NonZeroU32),
    /// Its name or id in the header `Erp-Company` of the HTTP contract.
    Http(String),
}

/// How to reach the ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErpSettings {
    /// `ERP_KIND`.
    pub kind: ErpKind,
    /// `ERP_BASE_URL`: the API root.
    pub base_url: RemoteUrl,
    /// `ERP_TOKEN_URL`, where the ERP has one.
    pub token_url: Option<RemoteUrl>,
    /// `ERP_SECRET_ARN`: `{"clientId","clientSecret"}`, or `{"apiKey","database"?}` for Odoo, or `{"apiKey"}` for the HTTP contract
    /// without `ERP_TOKEN_URL`; for the HTTP contract also `signingKey`.
    pub secret_arn: String,
    /// `ERP_CA_SECRET_ARN`: a secret whose text is a PEM bundle of the ERP's own certificate authorities; `None`: the
    /// public ones are enough.
    pub ca_secret_arn: Option<String>,
    /// `ERP_COMPANY`: the company in Business Central; optional in Odoo.
    pub company: Option<String>,
    /// `ERP_EXTRA_BASE_URL`: the root of the custom API that has the extra fields; `None`: `ERP_BASE_URL` has them.
    pub extra_base_url: Option<RemoteUrl>,
    /// `ERP_EXTRA_FIELDS`: fields that the ERP's standard interface does not have.
    pub extra_fields: ExtraFields,
    /// `ERP_COUNTRIES` and `HOME_COUNTRY`.
    pub countries: Countries,
    /// `ERP_FIXED_VALUES`: values of new records that the shop knows nothing of.
    pub fixed_values: FixedValues,
    /// `ERP_PERSONS`.
    pub persons: PersonRule,
    /// `ERP_CODE_FIELD`: the field of an Odoo partner that holds its code.
    pub code_field: String,
    /// `ERP_CODE_SEQUENCE`: the Odoo sequence that new codes are drawn from.
    pub code_sequence: Option<String>,
}

/// Odoo's own field for a partner's code.
const DEFAULT_CODE_FIELD: &str = "ref";

impl ErpSettings {
    /// Reads the part; every register of the shops must have a company.
    pub fn read(
        environment: &mut Environment<'_>,
        shops: Option<&ApplicationSettings>,
    ) -> Option<Self> {
        let settings = Self::read_alone(environment)?;
        if settings.extra_base_url.is_some() {
            if settings.kind != ErpKind::BusinessCentral {
                environment.fault("ERP_EXTRA_BASE_URL", "it is for business-central only");
            } else if settings.extra_fields == ExtraFields::default() {
                environment.fault(
                    "ERP_EXTRA_BASE_URL",
                    "nothing is read there unless ERP_EXTRA_FIELDS names fields",
                );
            }
        }
        if settings.kind == ErpKind::Http && settings.extra_fields != ExtraFields::default() {
            let reason = "the HTTP contract has a name for every field: leave it empty";
            environment.fault("ERP_EXTRA_FIELDS", reason);
        }
        if let Err(reason) = settings.check_fixed_values(shops) {
            environment.fault("ERP_FIXED_VALUES", reason);
        }
        if let Some(shops) = shops {
            for scope in shops.scopes() {
                if let Err(reason) = settings.company_of(shops, scope) {
                    environment.fault("ERP_COMPANY", reason);
                }
            }
        }
        Some(settings)
    }

    fn read_alone(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            kind: environment.required("ERP_KIND"),
            base_url: environment.required("ERP_BASE_URL"),
            token_url: match kind {
                Some(ErpKind::Odoo) => Some(None),
                Some(ErpKind::Http) => Some(environment.optional("ERP_TOKEN_URL")),
                _ => environment.required("ERP_TOKEN_URL").map(Some),
            },
            secret_arn: environment.required("ERP_SECRET_ARN"),
            ca_secret_arn: Some(environment.optional("ERP_CA_SECRET_ARN")),
            company: Some(environment.optional("ERP_COMPANY")),
            extra_base_url: Some(environment.optional("ERP_EXTRA_BASE_URL")),
            extra_fields: environment.or_default("ERP_EXTRA_FIELDS", ExtraFields::default()),
            countries: read_countries(environment),
            fixed_values: environment.or_default("ERP_FIXED_VALUES", FixedValues::default()),
            persons: environment.or_default("ERP_PERSONS", PersonRule::default()),
            code_field: environment.or_default("ERP_CODE_FIELD", DEFAULT_CODE_FIELD.to_owned()),
            code_sequence: Some(environment.optional("ERP_CODE_SEQUENCE")),
        })
    }

    /// The ERP company behind a scope: the application's own, else `ERP_COMPANY`. What all applications share in an
    /// application-unique set-up has no application of its own. Odoo does without a company.
    ///
    /// # Errors
    /// When there is none that the ERP could do with.
    pub fn company_of(
        &self,
        shops: &ApplicationSettings,
        scope: Scope,
    ) -> Result<Option<ErpCompany>, String> {
        let has_application = scope != Scope::Client || !shops.share_some();
        let application = shops
            .applications
            .of(scope)
            .ok()
            .filter(|_| has_application);
        let own = application.and_then(|application| application.erp_company.as_ref());
        match (self.kind, own.or(self.company.as_ref())) {
            (ErpKind::BusinessCentral, Some(company)) => Uuid::parse_str(company)
                .map(|id| Some(ErpCompany::BusinessCentral(id)))
                .map_err(|_| {
                    format!("`{company}` is no company id of Business Central: expected a UUID")
                }),
            (ErpKind::BusinessCentral, None) => Err(format!(
                "no ERP company for scope {scope}: set ERP_COMPANY, or erpCompany in NORCE_APPLICATIONS"
            )),
            (ErpKind::Odoo, Some(company)) => company
                .parse()
                .map(|id| Some(ErpCompany::Odoo(id)))
                .map_err(|_| {
                    format!("`{company}` is no company id of Odoo: expected a number, or nothing")
                }),
            (ErpKind::Http, Some(company)) => Ok(Some(ErpCompany::Http(company.clone()))),
            (ErpKind::Odoo | ErpKind::Http, None) => Ok(None),
        }
    }
}

fn read_countries(environment: &mut Environment<'_>) -> Option<Countries> {
    read_fields!(Countries {
        home: Some(environment.optional("HOME_COUNTRY")),
        codes: environment.or_default("ERP_COUNTRIES", CountryCodes::default()),
    })
}

/// Records that one invocation handles at the same time: a whole batch, so that its records are read together. The number of
/// concurrent requests to the ERP is limited separately.
const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(10).unwrap();

/// Reads `ERP_CONCURRENCY`.
pub fn read_erp_concurrency(environment: &mut Environment<'_>) -> Option<NonZeroUsize> {
    environment.or_default("ERP_CONCURRENCY", DEFAULT_CONCURRENCY)
}

/// How codes go to Norce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSettings {
    /// `IMPORT_BATCH_SIZE`: lines per job at most. Norce's limit is not documented (norce-api §3.7).
    pub batch_size: NonZeroUsize,
    /// `IMPORT_GIVE_UP_HOURS`: after this time a line without an outcome is owed.
    pub give_up_after: Duration,
}

/// A batch is one DynamoDB item of at most 400 KB, and a line takes at most 262 bytes of it (see `import_jobs`).
const MAX_BATCH_SIZE: usize = 1_500;
const DEFAULT_BATCH_SIZE: NonZeroUsize = NonZeroUsize::new(500).unwrap();
const DEFAULT_GIVE_UP_HOURS: u32 = 24;
const SECONDS_PER_HOUR: u64 = 3_600;

impl ImportSettings {
    /// Reads the settings; `None` if one is faulty.
    pub fn read(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            batch_size: read_batch_size(environment),
            give_up_after: read_give_up_after(environment),
        })
    }
}

/// Reads `IMPORT_BATCH_SIZE`.
fn read_batch_size(environment: &mut Environment<'_>) -> Option<NonZeroUsize> {
    let size = environment.or_default("IMPORT_BATCH_SIZE", DEFAULT_BATCH_SIZE)?;
    if size.get() > MAX_BATCH_SIZE {
        environment.fault(
            "IMPORT_BATCH_SIZE",
            format!("is more than {MAX_BATCH_SIZE}"),
        );
    }
    Some(size)
}

/// Reads `IMPORT_GIVE_UP_HOURS`.
fn read_give_up_after(environment: &mut Environment<'_>) -> Option<Duration> {
    let hours = environment.or_default("IMPORT_GIVE_UP_HOURS", DEFAULT_GIVE_UP_HOURS)?;
    if hours == 0 {
        environment.fault("IMPORT_GIVE_UP_HOURS", "is 0; it is at least 1");
    }
    Some(Duration::from_secs(u64::from(hours) * SECONDS_PER_HOUR))
}

/// A queue and its dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxSettings {
    /// The queue that the function reads.
    pub queue_url: String,
    /// Where messages go that can never be handled.
    pub dead_letter_queue_url: String,
}

impl InboxSettings {
    /// Reads the part for the queue `CHANGES`, `IMPORTS` or `JOBS`.
    pub fn read(environment: &mut Environment<'_>, queue: &str) -> Option<Self> {
        read_fields!(Self {
            queue_url: environment.required(&format!("{queue}_QUEUE_URL")),
            dead_letter_queue_url: environment.required(&format!("{queue}_DEAD_LETTER_QUEUE_URL")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(variables: &'a [(&'a str, &'a str)]) -> Environment<'a> {
        Environment::new(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    const APPLICATIONS: &str = r#"[{"id":1,"key":"0f7c6a5e-52b1-4d2b-9a57-3d1c8e940001"}]"#;

    #[test]
    fn one_error_names_every_fault() {
        let mut environment = environment(&[
            ("NORCE_BASE_URL", "http://shop.example.com"),
            ("NORCE_ACCOUNT_ID", "x"),
            ("NORCE_SCOPE", "prod"),
        ]);
        let settings = NorceSettings::read(&mut environment);
        let error = environment.finish(settings).unwrap_err();
        assert_eq!(error.faults.len(), 3, "{error}");
        for name in ["NORCE_BASE_URL", "NORCE_ACCOUNT_ID", "NORCE_SECRET_ARN"] {
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_variable_wins_over_the_name_of_a_resource() {
        let names = r#"{"OWED_TABLE":"of the stack","PASSES_TABLE":"of the stack"}"#;
        let names: ResourceNames = serde_json::from_str(names).unwrap();
        let mut environment = environment(&[("OWED_TABLE", "of the process")]).with_names(names);
        let mut required = |name| environment.required::<String>(name).unwrap_or_default();
        assert_eq!(required("OWED_TABLE"), "of the process");
        assert_eq!(required("PASSES_TABLE"), "of the stack");
        assert_eq!(required("CODE_MAPPINGS_TABLE"), "");
        let error = environment.finish(Some(())).unwrap_err();
        assert_eq!(error.faults, ["CODE_MAPPINGS_TABLE: is not set"]);
    }

    /// The faults of the settings of an ERP, with these besides.
    fn erp_faults(kind: &str, company: &str, besides: &[(&str, &str)]) -> Vec<String> {
        let mut variables = vec![
            ("NORCE_APPLICATIONS", APPLICATIONS),
            ("ERP_KIND", kind),
            ("ERP_BASE_URL", "https://erp.example.com"),
            ("ERP_TOKEN_URL", "https://erp.example.com/token"),
            ("ERP_SECRET_ARN", "arn"),
            ("ERP_COMPANY", company),
        ];
        variables.extend(besides);
        let mut environment = environment(&variables);
        let shops = read_shops(&mut environment);
        let erp = ErpSettings::read(&mut environment, shops.as_ref());
        let erp = environment.finish(erp);
        erp.map_or_else(|error| error.faults, |_| Vec::new())
    }

    #[test]
    fn each_erp_has_companies_of_its_own_kind() {
        let faults = |kind: &str, company: &str| erp_faults(kind, company, &[]);
        let nothing: [&str; 0] = [];
        let uuid = "0f7c6a5e-52b1-4d2b-9a57-3d1c8e940001";
        assert_eq!(faults("business-central", uuid), nothing);
        assert_eq!(faults("odoo", "7"), nothing);
        assert_eq!(faults("odoo", ""), nothing);
        assert_eq!(faults("http", "outlet"), nothing);
        assert_eq!(faults("http", ""), nothing);
        for (kind, company) in [
            ("business-central", ""),
            ("business-central", "7"),
            ("odoo", uuid),
            ("odoo", "0"),
        ] {
            let faults = faults(kind, company);
            assert_eq!(faults.len(), 1, "{kind} {company}: {faults:?}");
            assert!(faults[0].starts_with("ERP_COMPANY"), "{faults:?}");
        }
    }

    #[test]
    fn a_setting_that_the_erp_would_not_heed_is_a_fault() {
        let fault = |kind: &str, name: &str, value: &str| {
            let company = match kind {
                "business-central" => "0f7c6a5e-52b1-4d2b-9a57-3d1c8e940001",
                _ => "",
            };
            let faults = erp_faults(kind, company, &[(name, value)]);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(name), "{faults:?}");
            faults[0].clone()
        };
        let root = "https://erp.example.com/api/merchant/crm/v1.0";
        for (kind, name, value, expected) in [
            ("odoo", "ERP_EXTRA_BASE_URL", root, "business-central only"),
            ("http", "ERP_EXTRA_BASE_URL", root, "business-central only"),
            (
                "business-central",
                "ERP_EXTRA_BASE_URL",
                root,
                "ERP_EXTRA_FIELDS names fields",
            ),
            ("business-central", "ERP_EXTRA_BASE_URL", "nonsense", ""),
            (
                "http",
                "ERP_EXTRA_FIELDS",
                r#"{"priceList":"group"}"#,
                "leave it empty",
            ),
            (
                "http",
                "ERP_FIXED_VALUES",
                r#"[{"set":{"salesperson":"AH"}}]"#,
                "the facade sets",
            ),
        ] {
            let fault = fault(kind, name, value);
            assert!(fault.contains(expected), "{fault}");
        }
    }

    #[test]
    fn only_loopback_hosts_may_be_reached_without_tls() {
        for good in [
            "https://x.api-se.norce.tech",
            "http://localhost:4566",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert!(good.parse::<RemoteUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://x.api-se.norce.tech",
            "http://localhost.example.com",
            "ftp://localhost",
            "nonsense",
            "https://u:p@h",
        ] {
            assert!(bad.parse::<RemoteUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_words_that_are_accepted() {
        let mut environment =
            environment(&[("CREATE_IN_ERP", "sometimes"), ("ERP_CODE_PATTERN", "N")]);
        let policy = SyncPolicy::read(&mut environment);
        let error = environment.finish(policy).unwrap_err();
        assert!(
            error.to_string().contains("first-order, always, never"),
            "{error}"
        );
        assert_eq!(error.faults.len(), 2);
    }
}
