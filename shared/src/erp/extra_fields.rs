//! The names of fields that the merchant has added to the ERP's standard API.

use std::{collections::BTreeMap, str::FromStr};

use serde::Deserialize;
use thiserror::Error;

/// `ERP_EXTRA_FIELDS`: the names of fields in the merchant's own extension of the ERP, such as a custom API page of
/// Business Central. Only these are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExtraFields {
    /// The field with the code of the record's price list; its values are the codes of price lists in Norce.
    pub price_list: Option<String>,
    /// The field with the organisation number.
    pub organisation_number: Option<String>,
    /// The field with the Global Location Number of the address. In Business Central it is read only.
    pub gln: Option<String>,
    /// Norce's code of a flag, and the Boolean field with its value.
    pub flags: BTreeMap<String, String>,
    /// Norce's code of an additional info, and the field with its text.
    pub additional_info: BTreeMap<String, String>,
}

/// A text is not a valid value of `ERP_EXTRA_FIELDS`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0}; expected JSON like {{\"priceList\":\"customerPriceGroup\",\"organisationNumber\":\"registrationNumber\",\"gln\":\"gln\",\"flags\":{{\"<Norce's code>\":\"<field>\"}},\"additionalInfo\":{{\"<Norce's code>\":\"<field>\"}}}}"
)]
pub struct InvalidExtraFields(String);

impl ExtraFields {
    /// The names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let named = [&self.price_list, &self.organisation_number, &self.gln];
        named
            .into_iter()
            .flatten()
            .chain(self.flags.values())
            .chain(self.additional_info.values())
            .map(String::as_str)
    }
}

impl FromStr for ExtraFields {
    type Err = InvalidExtraFields;

    fn from_str(text: &str) -> Result<Self, InvalidExtraFields> {
        let fields: Self =
            serde_json::from_str(text).map_err(|error| InvalidExtraFields(error.to_string()))?;
        // Names are put into a query, between commas.
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let strange = fields.names().find(|name| !is_name(name));
        match strange.map(|name| format!("`{name}` is no name of a field")) {
            Some(reason) => Err(InvalidExtraFields(reason)),
            None => Ok(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_are_read_and_nonsense_is_refused() {
        let fields: ExtraFields =
            r#"{"priceList":"customerPriceGroup","gln":"gln","flags":{"VIP":"isVip"}}"#
                .parse()
                .unwrap();
        assert_eq!(
            fields.names().collect::<Vec<_>>(),
            ["customerPriceGroup", "gln", "isVip"]
        );
        for nonsense in [
            "x",
            r#"{"prices":"x"}"#,
            r#"{"priceList":"a,b"}"#,
            r#"{"priceList":""}"#,
        ] {
            assert!(nonsense.parse::<ExtraFields>().is_err(), "{nonsense}");
        }
    }
}
