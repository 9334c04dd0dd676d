//! The parameters of the template with their longest realistic values.

use std::collections::BTreeMap;

/// The parameters without a default.
///
/// Assumed as the longest that is realistic: ten applications with an ERP company of their own each and ids of four digits,
/// names of secrets of 40 characters, a tenant's name of 30, an environment's of 30 (which is Business Central's limit).
pub(crate) const REQUIRED: &[(&str, &str)] = &[
    (
        "NorceBaseUrl",
        "https://a-tenant-with-thirty-characters.api-se.playground.norce.tech",
    ),
    (
        "NorceSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/norce-customer-sync/norce-api-AbCdEf",
    ),
    ("NorceAccountId", "2147483647"),
    ("NorceApplications", TEN_APPLICATIONS),
    (
        "EventSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/norce-customer-sync/events-01-AbCdEf",
    ),
    (
        "ErpBaseUrl",
        "https://api.businesscentral.dynamics.com/v2.0/01234567-89ab-cdef-0123-456789abcdef/Environment-of-thirty-characte/api/v2.0",
    ),
    (
        "ErpTokenUrl",
        "https://login.microsoftonline.com/01234567-89ab-cdef-0123-456789abcdef/oauth2/v2.0/token",
    ),
    (
        "ErpSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/norce-customer-sync/the-erp-01-AbCdEf",
    ),
    ("ErpCompany", "01234567-89ab-cdef-0123-456789abcdef"),
];

/// Every option on, and everything else as long as is realistic.
pub(crate) const EVERY_OPTION: &[(&str, &str)] = &[
    ("NorceScope", "playground"),
    ("NorceInvoiceAddressType", "10000"),
    ("NorceDeliveryAddressType", "10000"),
    ("CustomersByApplication", "true"),
    ("ErpCodePattern", "CUST-{kind}{id}-SE"),
    ("ErpCodeField", "x_studio_customer_number"),
    ("ErpCodeSequence", "res.partner.customer.number"),
    ("ErpCodes", "CUSTOMER-######,SUPPLIER-*-SE"),
    ("ErpPersons", "without-number"),
    ("ErpConcurrency", "50"),
    (
        "ErpExtraBaseUrl",
        "https://api.businesscentral.dynamics.com/v2.0/01234567-89ab-cdef-0123-456789abcdef/Environment-of-thirty-characte/api/merchant-name/integration/v1.0",
    ),
    ("ErpExtraFields", EXTRA_FIELDS),
    ("SyncKinds", "persons,companies,contacts"),
    ("ErpFixedValues", FIXED_VALUES),
    ("CreateInErp", "first-order"),
    ("SharedEmail", "create"),
    ("ForgottenPolicy", "block"),
    // All of them.
    (
        "ErpOwnedFields",
        "code,names,contact-details,invoice-address,delivery-addresses,price-lists,active,flags,additional-info,company-relations,organisation-number,vat-number",
    ),
    ("ImportUnknown", "true"),
    ("CreateAccounts", "true"),
    ("AccountRoles", "B2C,NEWSLETTER"),
    ("PriceListsExclusive", "true"),
    ("ImportBatchSize", "1500"),
    ("ImportGiveUpHours", "168"),
    ("DeltaSchedule", "cron(0/15 6-20 ? * MON-FRI *)"),
    ("FullSchedule", "cron(0 3 ? * SUN *)"),
    ("SweepSchedule", "cron(0/15 6-20 ? * MON-FRI *)"),
    ("OwedSchedule", "cron(0/15 6-20 ? * MON-FRI *)"),
    ("PassOverlapMinutes", "10080"),
    ("SweepOverlapMinutes", "10080"),
    ("PassMostWaiting", "100000"),
    ("ErpEvents", "on"),
    (
        "ErpEventSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/norce-customer-sync/erp-events-AbCdEf",
    ),
    ("OrderReceiver", "true"),
    (
        "OrderSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/norce-customer-sync/orders-01-AbCdEf",
    ),
    ("Console", "oidc"),
    (
        "ConsoleIssuer",
        "https://login.microsoftonline.com/01234567-89ab-cdef-0123-456789abcdef/v2.0",
    ),
    (
        "ConsoleSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/norce-customer-sync/console-1-AbCdEf",
    ),
    ("ConsoleRoleClaim", "https://example.com/claims/roles"),
    (
        "ConsoleRoles",
        "Console.Read=view,Console.Act=act,Console.Admin=admin",
    ),
    ("ConsoleAllowedAddresses", "192.0.2.0/24,2001:db8::/32"),
    ("ConsoleSessionMinutes", "1440"),
    ("ConsoleConcurrency", "100"),
    ("LogLevel", "DEBUG"),
    (
        "SubnetIds",
        "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    ),
    ("SecurityGroupIds", "sg-0123456789abcdef0"),
    (
        "ErpCaSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/norce-customer-sync/erp-ca-01-AbCdEf",
    ),
    (
        "KmsKeyArn",
        "arn:aws:kms:ap-southeast-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
    ),
    (
        "PermissionsBoundaryArn",
        "arn:aws:iam::123456789012:policy/boundary-of-applications",
    ),
    ("Tracing", "Active"),
    ("DeletionProtection", "true"),
    ("EventDomainName", "norce-events.example.com"),
    (
        "EventCertificateArn",
        "arn:aws:acm:ap-southeast-2:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef",
    ),
    (
        "AlarmTopicArn",
        "arn:aws:sns:ap-southeast-2:123456789012:production-alarms",
    ),
];

const TEN_APPLICATIONS: &str = r#"[{"id":1001,"key":"01234567-89ab-cdef-0123-456789abcde1","erpCompany":"11234567-89ab-cdef-0123-456789abcdef"},{"id":1002,"key":"01234567-89ab-cdef-0123-456789abcde2","erpCompany":"21234567-89ab-cdef-0123-456789abcdef"},{"id":1003,"key":"01234567-89ab-cdef-0123-456789abcde3","erpCompany":"31234567-89ab-cdef-0123-456789abcdef"},{"id":1004,"key":"01234567-89ab-cdef-0123-456789abcde4","erpCompany":"41234567-89ab-cdef-0123-456789abcdef"},{"id":1005,"key":"01234567-89ab-cdef-0123-456789abcde5","erpCompany":"51234567-89ab-cdef-0123-456789abcdef"},{"id":1006,"key":"01234567-89ab-cdef-0123-456789abcde6","erpCompany":"61234567-89ab-cdef-0123-456789abcdef"},{"id":1007,"key":"01234567-89ab-cdef-0123-456789abcde7","erpCompany":"71234567-89ab-cdef-0123-456789abcdef"},{"id":1008,"key":"01234567-89ab-cdef-0123-456789abcde8","erpCompany":"81234567-89ab-cdef-0123-456789abcdef"},{"id":1009,"key":"01234567-89ab-cdef-0123-456789abcde9","erpCompany":"91234567-89ab-cdef-0123-456789abcdef"},{"id":1010,"key":"01234567-89ab-cdef-0123-456789abcdea","erpCompany":"a1234567-89ab-cdef-0123-456789abcdef"}]"#;

/// Two fields, two flags and two pieces of information.
const EXTRA_FIELDS: &str = r#"{"priceList":"customerPriceGroup","organisationNumber":"registrationNumber","flags":{"Newsletter":"receivesNewsletter","CreditApproved":"creditApproved"},"additionalInfo":{"Segment":"customerSegment","Salesperson":"salespersonCode"}}"#;

/// What everybody gets, and what some countries change of it; either ERP has these fields.
const FIXED_VALUES: &str = r#"[{"set":{"paymentTerms":"30D"}},{"when":{"kind":"companies","country":["DE","AT"]},"set":{"paymentTerms":"14D"}},{"when":{"country":"NO"},"set":{"salesperson":"JD"},"also":"update"}]"#;

/// One list of values laid over another.
pub(crate) fn with<'a>(
    below: &[(&'a str, &'a str)],
    above: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let values: BTreeMap<&str, &str> = below.iter().chain(above).copied().collect();
    values.into_iter().collect()
}
