use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use uuid::Uuid;

/// `TypeId` of an invoice address. Norce's number is not in the facts (norce-api §5.2); this one is the simulator's.
pub const INVOICE_ADDRESS: i64 = 1;
/// `TypeId` of a delivery address. Norce's number is not in the facts; this one is the simulator's.
pub const DELIVERY_ADDRESS: i64 = 2;

/// `TypeId` of a person (norce-api §5.2).
const PERSON: i64 = 1;
/// `CreatedBy` of a record that was created in the shop and not by an import: not the id of a system account.
pub(super) const SHOP_USER: i64 = 1;

/// The value of a property, as a filter sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
    Guid(Uuid),
    Time(DateTime<Utc>),
}

impl Scalar<'_> {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::Text(value) => value.as_ref().into(),
            Self::Guid(value) => value.to_string().into(),
            Self::Time(value) => value.to_rfc3339_opts(SecondsFormat::AutoSi, true).into(),
        }
    }
}

/// The type of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
    Guid,
    Time,
}

trait Column {
    const KIND: Kind;
    const NULLABLE: bool = false;
    fn scalar(&self) -> Scalar<'_>;
}

macro_rules! column {
    ($type:ty, $kind:ident, $value:ident => $scalar:expr) => {
        impl Column for $type {
            const KIND: Kind = Kind::$kind;
            fn scalar(&self) -> Scalar<'_> {
                let $value = self;
                $scalar
            }
        }
    };
}

column!(bool, Boolean, value => Scalar::Boolean(*value));
column!(i64, Integer, value => Scalar::Integer(*value));
column!(f64, Number, value => Scalar::Number(*value));
column!(String, Text, value => Scalar::Text(Cow::Borrowed(value)));
column!(Uuid, Guid, value => Scalar::Guid(*value));
column!(DateTime<Utc>, Time, value => Scalar::Time(*value));

impl<T: Column> Column for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
    fn scalar(&self) -> Scalar<'_> {
        self.as_ref().map_or(Scalar::Null, T::scalar)
    }
}

/// A property of an entity type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Property {
    name: &'static str,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

/// What `Property::name` says where the name depends on whose row it is: `CustomerId` or `CompanyId`.
const OWNER: &str = "OwnerId";

macro_rules! entity {
    ($(#[$doc:meta])* $name:ident { $($property:literal $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("`", $property, "`.")] pub $field: $type,)*
        }

        impl $name {
            const PROPERTIES: &'static [Property] = &[$(Property {
                name: $property,
                kind: <$type as Column>::KIND,
                nullable: <$type as Column>::NULLABLE,
            },)*];

            fn value(&self, index: usize) -> Scalar<'_> {
                const GETTERS: &[for<'a> fn(&'a $name) -> Scalar<'a>] =
                    &[$(|row| row.$field.scalar(),)*];
                GETTERS.get(index).map_or(Scalar::Null, |getter| getter(self))
            }
        }
    };
}

entity! {
    /// A customer (norce-api §5.2).
    Customer {
        "Id" id: i64,
        "Key" key: Uuid,
        "ClientId" client_id: i64,
        "CustomerCodePrefix" customer_code_prefix: Option<String>,
        "CustomerCode" customer_code: Option<String>,
        "TypeId" type_id: i64,
        "EmailAddress" email_address: Option<String>,
        "SocialSecurityNumber" social_security_number: Option<String>,
        "Title" title: Option<String>,
        "FirstName" first_name: Option<String>,
        "MiddleName" middle_name: Option<String>,
        "LastName" last_name: Option<String>,
        "Suffix" suffix: Option<String>,
        "PhoneNumber" phone_number: Option<String>,
        "CellPhoneNumber" cell_phone_number: Option<String>,
        "ReferId" refer_id: Option<i64>,
        "ReferUrl" refer_url: Option<String>,
        "UseBillingAddressAsShippingAddress" use_billing_address_as_shipping_address: bool,
        "OldCustomerNoPrefix" old_customer_no_prefix: Option<String>,
        "OldCustomerNo" old_customer_no: Option<String>,
        "ReplacementCustomerId" replacement_customer_id: Option<i64>,
        "IsActive" is_active: bool,
        "Created" created: DateTime<Utc>,
        "CreatedBy" created_by: i64,
        "Updated" updated: Option<DateTime<Utc>>,
        "UpdatedBy" updated_by: Option<i64>,
        "LastOrderDate" last_order_date: Option<DateTime<Utc>>,
        "NormalizedSocialSecurityNumber" normalized_social_security_number: Option<String>,
        "ApplicationId" application_id: Option<i64>,
        "IsForgotten" is_forgotten: bool,
        "ForgottenBy" forgotten_by: Option<i64>,
        "ForgottenDate" forgotten_date: Option<DateTime<Utc>>,
        "StoppedDate" stopped_date: Option<DateTime<Utc>>,
        "StoppedBy" stopped_by: Option<i64>,
        "CrmId" crm_id: Option<String>,
    }
}

entity! {
    /// A company (norce-api §5.2).
    Company {
        "Id" id: i64,
        "Key" key: Uuid,
        "ClientId" client_id: i64,
        "CompanyCodePrefix" company_code_prefix: Option<String>,
        "CompanyCode" company_code: Option<String>,
        "TypeId" type_id: i64,
        "LogoPath" logo_path: Option<String>,
        "OrganizationNo" organization_no: Option<String>,
        "Name" name: Option<String>,
        "EmailAddress" email_address: Option<String>,
        "PhoneNumber" phone_number: Option<String>,
        "FaxNumber" fax_number: Option<String>,
        "ParentCompanyId" parent_company_id: Option<i64>,
        "ReferId" refer_id: Option<i64>,
        "ReferUrl" refer_url: Option<String>,
        "UseBillingAddressAsShippingAddress" use_billing_address_as_shipping_address: bool,
        "OldCompanyCodePrefix" old_company_code_prefix: Option<String>,
        "OldCompanyCode" old_company_code: Option<String>,
        "IsActive" is_active: bool,
        "Created" created: DateTime<Utc>,
        "CreatedBy" created_by: i64,
        "Updated" updated: Option<DateTime<Utc>>,
        "UpdatedBy" updated_by: Option<i64>,
        "LogoKey" logo_key: Option<Uuid>,
        "NormalizedOrganizationNo" normalized_organization_no: Option<String>,
        "ApplicationId" application_id: Option<i64>,
        "VatNo" vat_no: Option<String>,
    }
}

entity! {
    /// A customer's relation to a company (norce-api §5.2).
    CustomerCompany {
        "CustomerId" customer_id: i64,
        "CompanyId" company_id: i64,
        "RoleId" role_id: Option<i64>,
        "CustomerCodePrefix" customer_code_prefix: Option<String>,
        "CustomerCode" customer_code: Option<String>,
        "Department" department: Option<String>,
        "OrganizationTitle" organization_title: Option<String>,
        "IsPrimary" is_primary: bool,
        "Created" created: DateTime<Utc>,
        "CreatedBy" created_by: i64,
        "Updated" updated: Option<DateTime<Utc>>,
        "UpdatedBy" updated_by: Option<i64>,
        "ClientId" client_id: Option<i64>,
    }
}

entity! {
    /// An address of a customer or a company (norce-api §5.2: `CustomerAddress`; a company's has the same shape by
    /// analogy). The country is an id here and an ISO code on import. That Query has `Gln`, `ShippingPhoneNumber`, `Code` and
    /// `IsPrimary` under their names of the import is inferred; `query_lacks` takes them away.
    Address {
        "Id" id: i64,
        "OwnerId" owner_id: i64,
        "TypeId" type_id: i64,
        "CareOf" care_of: Option<String>,
        "AddressLine1" address_line1: Option<String>,
        "AddressLine2" address_line2: Option<String>,
        "ZipCode" zip_code: Option<String>,
        "City" city: Option<String>,
        "Region" region: Option<String>,
        "CountryId" country_id: Option<i64>,
        "Gln" gln: Option<String>,
        "ShippingPhoneNumber" shipping_phone_number: Option<String>,
        "Code" code: Option<String>,
        "IsPrimary" is_primary: bool,
        "Created" created: DateTime<Utc>,
        "CreatedBy" created_by: i64,
        "Updated" updated: Option<DateTime<Utc>>,
        "UpdatedBy" updated_by: Option<i64>,
        "StatusId" status_id: Option<i64>,
        "StatusUpdated" status_updated: Option<DateTime<Utc>>,
        "StatusUpdatedBy" status_updated_by: Option<i64>,
        "ClientId" client_id: Option<i64>,
    }
}

entity! {
    /// A flag of a customer or a company (norce-api §5.2: `CustomerFlag`; a company's by analogy).
    Flag {
        "FlagId" flag_id: i64,
        "OwnerId" owner_id: i64,
        "IsActive" is_active: bool,
        "StoppedDate" stopped_date: Option<DateTime<Utc>>,
        "Created" created: DateTime<Utc>,
        "CreatedBy" created_by: i64,
        "Updated" updated: Option<DateTime<Utc>>,
        "UpdatedBy" updated_by: Option<i64>,
        "ClientId" client_id: Option<i64>,
    }
}

entity! {
    /// An additional information of a customer or a company. The properties are not in the facts; these are the least
    /// that such a row needs.
    Info {
        "OwnerId" owner_id: i64,
        "TypeId" type_id: i64,
        "Value" value: String,
    }
}

entity! {
    /// A price list of a customer or a company. The properties are not in the facts; these are the least that such a
    /// row needs.
    PriceList {
        "OwnerId" owner_id: i64,
        "PriceListId" price_list_id: i64,
        "IsExclusive" is_exclusive: bool,
    }
}

entity! {
    /// A customer's log-in to an application (norce-api §5.2).
    Account {
        "Id" id: i64,
        "ApplicationId" application_id: i64,
        "Key" key: Uuid,
        "LoginName" login_name: Option<String>,
        "TypeId" type_id: i64,
        "ContactId" contact_id: Option<i64>,
        "CustomerId" customer_id: Option<i64>,
        "StatusId" status_id: i64,
        "Created" created: DateTime<Utc>,
        "CreatedBy" created_by: i64,
        "Updated" updated: Option<DateTime<Utc>>,
        "UpdatedBy" updated_by: Option<i64>,
        "ClientId" client_id: Option<i64>,
    }
}

entity! {
    /// An order (norce-api §10.3). `ClientOrderRef` is no property: an order event's reference is the basket's or
    /// quotation's id, which is `QuotationId` here; `OrderNo` is the same until the ERP's confirmation overrides it.
    Order {
        "Id" id: i64,
        "ClientId" client_id: i64,
        "ApplicationId" application_id: i64,
        "QuotationId" quotation_id: Option<i64>,
        "OrderNo" order_no: String,
        "OrderDate" order_date: DateTime<Utc>,
        "BuyerCompanyCode" buyer_company_code: Option<String>,
        "BuyerCompanyId" buyer_company_id: Option<i64>,
        "BuyerCustomerCode" buyer_customer_code: Option<String>,
        "BuyerCustomerId" buyer_customer_id: Option<i64>,
        "PayerCompanyCode" payer_company_code: Option<String>,
        "PayerCompanyId" payer_company_id: Option<i64>,
        "PayerCustomerCode" payer_customer_code: Option<String>,
        "PayerCustomerId" payer_customer_id: Option<i64>,
        "StatusId" status_id: i64,
        "Source" source: Option<String>,
        "Created" created: DateTime<Utc>,
        "Updated" updated: Option<DateTime<Utc>>,
        "CurrencyId" currency_id: i64,
        "FreightCost" freight_cost: f64,
        "OrderFee" order_fee: f64,
        "CashDiscount" cash_discount: f64,
        "LineDiscount" line_discount: f64,
        "PaymentMethodId" payment_method_id: Option<i64>,
        "DeliveryCountryId" delivery_country_id: Option<i64>,
        "DeliveryZipCode" delivery_zip_code: Option<String>,
        "IsForgotten" is_forgotten: bool,
    }
}

entity! {
    /// A line of an order (norce-api §10.3).
    OrderItem {
        "Id" id: i64,
        "OrderId" order_id: i64,
        "PartNo" part_no: String,
        "ProductName" product_name: String,
        "QtyOrdered" qty_ordered: f64,
        "PriceSale" price_sale: f64,
        "DiscountAmount" discount_amount: f64,
        "LineAmount" line_amount: f64,
        "VatRate" vat_rate: f64,
        "StatusId" status_id: i64,
    }
}

entity! {
    /// An order's own copy of an address: buyer, payer or receiver (norce-api §10.3).
    OrderAddress {
        "Id" id: i64,
        "TypeId" type_id: Option<i64>,
        "Name" name: Option<String>,
        "Attention" attention: Option<String>,
        "CareOf" care_of: Option<String>,
        "Line1" line1: Option<String>,
        "Line2" line2: Option<String>,
        "ZipCode" zip_code: Option<String>,
        "City" city: Option<String>,
        "Region" region: Option<String>,
        "CountryId" country_id: Option<i64>,
        "Created" created: DateTime<Utc>,
        "CreatedBy" created_by: i64,
        "EmailAddress" email_address: Option<String>,
        "PhoneNumber" phone_number: Option<String>,
        "ClientId" client_id: Option<i64>,
        "ShippingPhoneNumber" shipping_phone_number: Option<String>,
        "Gln" gln: Option<String>,
    }
}

entity! {
    /// An additional information of an order. The properties are not in the facts; these are the least that such a
    /// row needs.
    OrderInfo {
        "OrderId" order_id: i64,
        "TypeId" type_id: i64,
        "Value" value: String,
    }
}

entity! {
    /// An application: a shop of the client. Imports name it by `Key`, Query and events by `Id` (norce-api §8). The
    /// other properties of `Core/Applications` are not in the facts.
    Application {
        "Id" id: i64,
        "Key" key: Uuid,
        "Name" name: String,
    }
}

entity! {
    /// A country (norce-api §5.2: `Id`, `Code`).
    Country {
        "Id" id: i64,
        "Code" code: String,
    }
}

/// The related rows of a customer or company.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// Invoice and delivery addresses.
    pub addresses: Vec<Address>,
    /// Flags.
    pub flags: Vec<Flag>,
    /// Additional information.
    pub infos: Vec<Info>,
    /// Price lists.
    pub price_lists: Vec<PriceList>,
}

/// A customer with everything that hangs on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CustomerRecord {
    /// Its own row.
    pub row: Customer,
    /// Addresses, flags and so on.
    pub details: Details,
    /// Log-ins.
    pub accounts: Vec<Account>,
    /// Codes of the roles by account.
    pub roles: BTreeMap<i64, BTreeSet<String>>,
}

/// A company with everything that hangs on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompanyRecord {
    /// Its own row.
    pub row: Company,
    /// Addresses, flags and so on.
    pub details: Details,
    /// What an import set that the simulator keeps as it came: `Contacts`, `DeliveryMethods`, `Discounts`,
    /// `PaymentMethods`, `LogoImage`.
    pub kept: BTreeMap<String, Value>,
}

/// An order with everything that hangs on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrderRecord {
    /// Its own row.
    pub row: Order,
    /// Lines.
    pub items: Vec<OrderItem>,
    /// Who ordered.
    pub buyer: Option<OrderAddress>,
    /// Who pays.
    pub payer: Option<OrderAddress>,
    /// Where it goes.
    pub ship_to: Option<OrderAddress>,
    /// Additional information.
    pub infos: Vec<OrderInfo>,
    /// `ClientOrderRef` of its events.
    pub client_order_ref: String,
    /// Query does not show it before.
    pub(super) visible_from: Option<tokio::time::Instant>,
}

/// An entity type of Query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EntityType {
    Customer,
    Company,
    CustomerCompany,
    CustomerAddress,
    CompanyAddress,
    CustomerFlag,
    CompanyFlag,
    CustomerInfo,
    CompanyInfo,
    CustomerPriceList,
    CompanyPriceList,
    Account,
    Order,
    OrderItem,
    OrderAddress,
    OrderInfo,
    Application,
    Country,
}

/// A navigation property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Navigation {
    pub(super) name: &'static str,
    pub(super) target: EntityType,
    pub(super) many: bool,
}

const fn many(name: &'static str, target: EntityType) -> Navigation {
    Navigation {
        name,
        target,
        many: true,
    }
}

const fn one(name: &'static str, target: EntityType) -> Navigation {
    Navigation {
        name,
        target,
        many: false,
    }
}

impl EntityType {
    pub(super) fn properties(self) -> &'static [Property] {
        match self {
            Self::Customer => Customer::PROPERTIES,
            Self::Company => Company::PROPERTIES,
            Self::CustomerCompany => CustomerCompany::PROPERTIES,
            Self::CustomerAddress | Self::CompanyAddress => Address::PROPERTIES,
            Self::CustomerFlag | Self::CompanyFlag => Flag::PROPERTIES,
            Self::CustomerInfo | Self::CompanyInfo => Info::PROPERTIES,
            Self::CustomerPriceList | Self::CompanyPriceList => PriceList::PROPERTIES,
            Self::Account => Account::PROPERTIES,
            Self::Order => Order::PROPERTIES,
            Self::OrderItem => OrderItem::PROPERTIES,
            Self::OrderAddress => OrderAddress::PROPERTIES,
            Self::OrderInfo => OrderInfo::PROPERTIES,
            Self::Application => Application::PROPERTIES,
            Self::Country => Country::PROPERTIES,
        }
    }

    pub(super) fn navigations(self) -> &'static [Navigation] {
        match self {
            Self::Customer => {
                const {
                    &[
                        many("Account", Self::Account),
                        many("Addresses", Self::CustomerAddress),
                        many("Companies", Self::CustomerCompany),
                        many("Flags", Self::CustomerFlag),
                        many("Infos", Self::CustomerInfo),
                        many("PriceLists", Self::CustomerPriceList),
                    ]
                }
            }
            Self::Company => {
                const {
                    &[
                        many("Addresses", Self::CompanyAddress),
                        many("Customers", Self::CustomerCompany),
                        many("Flags", Self::CompanyFlag),
                        many("Infos", Self::CompanyInfo),
                        many("PriceLists", Self::CompanyPriceList),
                    ]
                }
            }
            Self::CustomerCompany => {
                const {
                    &[
                        one("Customer", Self::Customer),
                        one("Company", Self::Company),
                    ]
                }
            }
            Self::Order => {
                const {
                    &[
                        many("Items", Self::OrderItem),
                        one("Payer", Self::OrderAddress),
                        one("Buyer", Self::OrderAddress),
                        one("ShipTo", Self::OrderAddress),
                        many("Infos", Self::OrderInfo),
                    ]
                }
            }
            _ => &[],
        }
    }

    /// The name of a property of this entity type.
    pub(super) fn name_of(self, property: &Property) -> &'static str {
        if property.name != OWNER {
            return property.name;
        }
        match self {
            Self::CompanyAddress
            | Self::CompanyFlag
            | Self::CompanyInfo
            | Self::CompanyPriceList => "CompanyId",
            _ => "CustomerId",
        }
    }

    /// The position of a property, by its exact name.
    pub(super) fn find(self, name: &str) -> Option<usize> {
        self.properties()
            .iter()
            .position(|property| self.name_of(property) == name)
    }

    pub(super) fn navigation(self, name: &str) -> Option<Navigation> {
        self.navigations()
            .iter()
            .copied()
            .find(|navigation| navigation.name == name)
    }
}

/// A row of any entity type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row<'a> {
    Customer(&'a CustomerRecord),
    Company(&'a CompanyRecord),
    CustomerCompany(&'a CustomerCompany),
    Address(&'a Address),
    Flag(&'a Flag),
    Info(&'a Info),
    PriceList(&'a PriceList),
    Account(&'a Account),
    Order(&'a OrderRecord),
    OrderItem(&'a OrderItem),
    OrderAddress(&'a OrderAddress),
    OrderInfo(&'a OrderInfo),
    Application(&'a Application),
    Country(&'a Country),
}

impl<'a> Row<'a> {
    pub(super) fn value(self, index: usize) -> Scalar<'a> {
        match self {
            Self::Customer(record) => record.row.value(index),
            Self::Company(record) => record.row.value(index),
            Self::CustomerCompany(row) => row.value(index),
            Self::Address(row) => row.value(index),
            Self::Flag(row) => row.value(index),
            Self::Info(row) => row.value(index),
            Self::PriceList(row) => row.value(index),
            Self::Account(row) => row.value(index),
            Self::Order(record) => record.row.value(index),
            Self::OrderItem(row) => row.value(index),
            Self::OrderAddress(row) => row.value(index),
            Self::OrderInfo(row) => row.value(index),
            Self::Application(row) => row.value(index),
            Self::Country(row) => row.value(index),
        }
    }
}

/// A list of codes that an import may name and that must exist before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodeList {
    /// Flags.
    Flags,
    /// Types of additional information.
    InfoTypes,
    /// Price lists.
    PriceLists,
    /// Roles of accounts.
    Roles,
}

/// Everything that Norce's database holds.
#[derive(Debug, Default)]
pub(super) struct Register {
    pub(super) client_id: i64,
    pub(super) customers: BTreeMap<i64, CustomerRecord>,
    pub(super) companies: BTreeMap<i64, CompanyRecord>,
    /// By customer and company. A deactivated relation is gone: `CustomerCompany` has no property that could say
    /// that it is inactive (norce-api §5.2).
    pub(super) relations: BTreeMap<(i64, i64), CustomerCompany>,
    pub(super) orders: BTreeMap<i64, OrderRecord>,
    pub(super) applications: BTreeMap<i64, Application>,
    pub(super) countries: BTreeMap<i64, Country>,
    pub(super) codes: BTreeMap<CodeList, BTreeMap<String, i64>>,
    pub(super) system_accounts: BTreeSet<i64>,
    pub(super) last_id: i64,
    /// `Updated` of a customer or company moves when something that belongs to it changes.
    pub(super) children_move_parents: bool,
}

impl Register {
    /// Ids are given out from one sequence, so that a customer and a company never share one by accident and a test
    /// that mixes them up fails.
    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn start_ids_after(&mut self, id: i64) {
        self.last_id = id;
    }

    pub(super) fn application_by_key(&self, key: Uuid) -> Option<&Application> {
        self.applications
            .values()
            .find(|application| application.key == key)
    }

    pub(super) fn country_by_code(&self, code: &str) -> Option<i64> {
        self.countries
            .values()
            .find(|country| country.code == code)
            .map(|country| country.id)
    }

    pub(super) fn code(&self, list: CodeList, code: &str) -> Option<i64> {
        self.codes.get(&list)?.get(code).copied()
    }

    pub(super) fn new_customer(
        &mut self,
        now: DateTime<Utc>,
        by: i64,
        application_id: Option<i64>,
    ) -> CustomerRecord {
        let row = Customer {
            id: self.next_id(),
            key: Uuid::new_v4(),
            client_id: self.client_id,
            type_id: PERSON,
            is_active: true,
            created: now,
            created_by: by,
            application_id,
            ..Customer::default()
        };
        CustomerRecord {
            row,
            ..CustomerRecord::default()
        }
    }

    pub(super) fn new_company(
        &mut self,
        now: DateTime<Utc>,
        by: i64,
        application_id: Option<i64>,
    ) -> CompanyRecord {
        let row = Company {
            id: self.next_id(),
            key: Uuid::new_v4(),
            client_id: self.client_id,
            type_id: PERSON,
            is_active: true,
            created: now,
            created_by: by,
            application_id,
            ..Company::default()
        };
        CompanyRecord {
            row,
            ..CompanyRecord::default()
        }
    }

    /// Stores a changed or a new customer with its audit columns, and tells which tables changed.
    pub(super) fn store_customer(
        &mut self,
        mut after: CustomerRecord,
        now: DateTime<Utc>,
        by: i64,
    ) -> Vec<&'static str> {
        let before = self.customers.get(&after.row.id);
        after.row.normalized_social_security_number =
            after.row.social_security_number.as_deref().map(digits);
        let mut tables = Vec::new();
        match before {
            None => {
                tables.push("tClientCustomer");
                after.details.stamp(&Details::default(), now, by);
            }
            Some(before) => {
                after.details.stamp(&before.details, now, by);
                let child_moves_it = self.children_move_parents && before.details != after.details;
                if before.row != after.row {
                    tables.push("tClientCustomer");
                }
                if before.row != after.row || child_moves_it {
                    after.row.updated = Some(now);
                    after.row.updated_by = Some(by);
                }
                tables.extend(before.details.changes(&after.details, &CUSTOMER_TABLES));
                if (&before.accounts, &before.roles) != (&after.accounts, &after.roles) {
                    tables.push("tApplicationAccount");
                }
            }
        }
        self.customers.insert(after.row.id, after);
        tables
    }

    /// Stores a changed or a new company with its audit columns, and tells which tables changed.
    pub(super) fn store_company(
        &mut self,
        mut after: CompanyRecord,
        now: DateTime<Utc>,
        by: i64,
    ) -> Vec<&'static str> {
        let before = self.companies.get(&after.row.id);
        after.row.normalized_organization_no = after.row.organization_no.as_deref().map(digits);
        let mut tables = Vec::new();
        match before {
            None => {
                tables.push("tClientCompany");
                after.details.stamp(&Details::default(), now, by);
            }
            Some(before) => {
                after.details.stamp(&before.details, now, by);
                let child_moves_it = self.children_move_parents && before.details != after.details;
                if before.row != after.row {
                    tables.push("tClientCompany");
                }
                if before.row != after.row || child_moves_it {
                    after.row.updated = Some(now);
                    after.row.updated_by = Some(by);
                }
                tables.extend(before.details.changes(&after.details, &COMPANY_TABLES));
                for (property, table) in KEPT_TABLES {
                    if before.kept.get(property) != after.kept.get(property) {
                        tables.push(table);
                    }
                }
            }
        }
        self.companies.insert(after.row.id, after);
        tables
    }

    /// Relates a customer to a company, or changes the relation. A primary one is the only primary one.
    pub(super) fn relate(
        &mut self,
        customer: i64,
        company: i64,
        primary: Option<bool>,
        now: DateTime<Utc>,
        by: i64,
    ) {
        let mut changed = BTreeSet::new();
        if primary == Some(true) {
            for ((other, of), relation) in &mut self.relations {
                if *other == customer && *of != company && relation.is_primary {
                    relation.is_primary = false;
                    changed.insert(*of);
                }
            }
        }
        let client_id = Some(self.client_id);
        let key = (customer, company);
        match self.relations.get_mut(&key) {
            None => {
                let relation = CustomerCompany {
                    customer_id: customer,
                    company_id: company,
                    is_primary: primary.unwrap_or_default(),
                    created: now,
                    created_by: by,
                    client_id,
                    ..CustomerCompany::default()
                };
                self.relations.insert(key, relation);
                self.child_changed(customer, company, now, by);
            }
            Some(relation) => {
                if let Some(primary) = primary.filter(|primary| *primary != relation.is_primary) {
                    relation.is_primary = primary;
                    changed.insert(company);
                }
            }
        }
        for company in changed {
            if let Some(relation) = self.relations.get_mut(&(customer, company)) {
                relation.updated = Some(now);
                relation.updated_by = Some(by);
            }
            self.child_changed(customer, company, now, by);
        }
    }

    /// A relation has changed.
    fn child_changed(&mut self, customer: i64, company: i64, now: DateTime<Utc>, by: i64) {
        if !self.children_move_parents {
            return;
        }
        if let Some(customer) = self.customers.get_mut(&customer) {
            customer.row.updated = Some(now);
            customer.row.updated_by = Some(by);
        }
        if let Some(company) = self.companies.get_mut(&company) {
            company.row.updated = Some(now);
            company.row.updated_by = Some(by);
        }
    }

    /// What an expanded navigation property leads to.
    pub(super) fn related<'a>(&'a self, row: Row<'a>, name: &str) -> Vec<Row<'a>> {
        match (row, name) {
            (Row::Customer(record), "Account") => {
                record.accounts.iter().map(Row::Account).collect()
            }
            (Row::Customer(record), "Companies") => self
                .relations
                .range((record.row.id, i64::MIN)..=(record.row.id, i64::MAX))
                .map(|(_, relation)| Row::CustomerCompany(relation))
                .collect(),
            (Row::Company(record), "Customers") => self
                .relations
                .values()
                .filter(|relation| relation.company_id == record.row.id)
                .map(Row::CustomerCompany)
                .collect(),
            (Row::Customer(CustomerRecord { details, .. }), _)
            | (Row::Company(CompanyRecord { details, .. }), _) => match name {
                "Addresses" => details.addresses.iter().map(Row::Address).collect(),
                "Flags" => details.flags.iter().map(Row::Flag).collect(),
                "Infos" => details.infos.iter().map(Row::Info).collect(),
                "PriceLists" => details.price_lists.iter().map(Row::PriceList).collect(),
                _ => Vec::new(),
            },
            (Row::CustomerCompany(relation), "Customer") => {
                let record = self.customers.get(&relation.customer_id);
                record.map(Row::Customer).into_iter().collect()
            }
            (Row::CustomerCompany(relation), "Company") => {
                let record = self.companies.get(&relation.company_id);
                record.map(Row::Company).into_iter().collect()
            }
            (Row::Order(record), "Items") => record.items.iter().map(Row::OrderItem).collect(),
            (Row::Order(record), "Infos") => record.infos.iter().map(Row::OrderInfo).collect(),
            (Row::Order(record), "Buyer") => record.buyer.iter().map(Row::OrderAddress).collect(),
            (Row::Order(record), "Payer") => record.payer.iter().map(Row::OrderAddress).collect(),
            (Row::Order(record), "ShipTo") => {
                record.ship_to.iter().map(Row::OrderAddress).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Tables of addresses, flags, additional information and price lists, as `EntityChanged` names them (norce-api §6).
const CUSTOMER_TABLES: [&str; 4] = [
    "tClientCustomerAddress",
    "tClientCustomerFlag",
    "tClientCustomerInfo",
    "tClientCustomerPriceList",
];
/// The same of companies.
const COMPANY_TABLES: [&str; 4] = [
    "tClientCompanyAddress",
    "tClientCompanyFlag",
    "tClientCompanyInfo",
    "tClientCompanyPriceList",
];
/// Tables of what [`CompanyRecord::kept`] holds; a contact and a logo have no table in the facts.
const KEPT_TABLES: [(&str, &str); 3] = [
    ("DeliveryMethods", "tClientCompanyDeliveryMethod"),
    ("Discounts", "tClientCompanyDiscount"),
    ("PaymentMethods", "tClientCompanyPaymentMethod"),
];

impl Details {
    /// Notes on each row that is new or has changed when that was.
    fn stamp(&mut self, before: &Self, now: DateTime<Utc>, by: i64) {
        for address in &mut self.addresses {
            match before.addresses.iter().find(|it| it.id == address.id) {
                None => (address.created, address.created_by) = (now, by),
                Some(before) if before != address => {
                    (address.updated, address.updated_by) = (Some(now), Some(by));
                }
                Some(_) => {}
            }
        }
        for flag in &mut self.flags {
            match before.flags.iter().find(|it| it.flag_id == flag.flag_id) {
                None => (flag.created, flag.created_by) = (now, by),
                Some(before) if before != flag => {
                    (flag.updated, flag.updated_by) = (Some(now), Some(by));
                }
                Some(_) => {}
            }
        }
    }

    fn changes<'a>(
        &'a self,
        after: &'a Self,
        tables: &'a [&'static str; 4],
    ) -> impl Iterator<Item = &'static str> + 'a {
        let changed = [
            self.addresses != after.addresses,
            self.flags != after.flags,
            self.infos != after.infos,
            self.price_lists != after.price_lists,
        ];
        tables
            .iter()
            .zip(changed)
            .filter(|(_, changed)| *changed)
            .map(|(table, _)| *table)
    }
}

/// Norce looks organisation numbers up without what is not a digit (norce-api §3.4).
pub(super) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}
