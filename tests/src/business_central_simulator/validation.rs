//! The business rules that customers and contacts share (erp-apis §1.4).

use super::{
    CompanySettings, Refused,
    fields::{Changes, Record},
    reference_tables,
};

/// Applies the changes to a record the way the ERP's field triggers do, side effects included.
///
/// # Errors
/// The first rule that is broken. The record may then be half changed: apply to a copy.
pub(super) fn apply(
    changes: Changes,
    record: &mut Record,
    settings: &CompanySettings,
) -> Result<(), Refused> {
    let changes = reference_tables::checked(changes, &settings.tables)?;
    let given = |name: &str| changes.get(name).and_then(|value| value.as_str());
    if given("displayName") == Some("") {
        return Err(Refused::dialog("The blank \"displayName\" is not allowed."));
    }
    for (name, caption) in [
        ("phoneNumber", "Phone No."),
        ("mobilePhoneNumber", "Mobile Phone No."),
    ] {
        if given(name).is_some_and(|number| number.chars().any(char::is_alphabetic)) {
            return Err(Refused::field_validation(format!(
                "{caption} must not contain letters."
            )));
        }
    }
    if let Some(email) = given("email").filter(|email| !email.is_empty()) {
        check_addresses(email)?;
    }

    let country_before = record.text("country").to_owned();
    let vat_before = record.text("taxRegistrationNumber").to_owned();
    if let Some(country) = given("country") {
        if !country.is_empty() && !settings.countries.iter().any(|known| known.code == country) {
            return Err(Refused::invalid_relation("Country/Region Code", country));
        }
        if !country_before.is_empty() && country_before != country {
            for cleared in ["postalCode", "city", "state"] {
                record.set(cleared, "");
            }
        }
    }
    let post_code = given("postalCode")
        .and_then(|code| settings.post_codes.iter().find(|known| known.code == code));
    for (name, value) in changes {
        record.set(name, value);
    }
    reference_tables::show_currency(record, &settings.tables);
    if let Some(known) = post_code {
        record.set("city", known.city.as_str());
        record.set("state", known.county.as_str());
        record.set("country", known.country.as_str());
    }
    let vat = record.text("taxRegistrationNumber");
    if vat != vat_before || record.text("country") != country_before {
        check_vat(vat, record.text("country"), settings)?;
    }
    Ok(())
}

/// Several addresses may stand in the field, separated by semicolons.
fn check_addresses(field: &str) -> Result<(), Refused> {
    for address in field.trim_matches(';').split(';') {
        let address = address.trim();
        let valid = address.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
        }) && !address.contains(char::is_whitespace);
        if !valid {
            return Err(Refused::dialog(format!(
                "The email address \"{address}\" is not valid."
            )));
        }
    }
    Ok(())
}

fn check_vat(number: &str, country: &str, settings: &CompanySettings) -> Result<(), Refused> {
    let country = if country.is_empty() {
        &settings.home_country
    } else {
        country
    };
    let formats = settings
        .countries
        .iter()
        .find(|known| known.code == country)
        .map_or(&[][..], |known| &known.vat_formats);
    if number.is_empty()
        || formats.is_empty()
        || formats.iter().any(|format| matches_mask(number, format))
    {
        return Ok(());
    }
    Err(Refused::dialog(format!(
        "The entered VAT Registration number is not in agreement with the format specified for Country/Region Code {country}.\\The following formats are acceptable: {}",
        formats.join(", ")
    )))
}

fn matches_mask(number: &str, mask: &str) -> bool {
    number.chars().count() == mask.chars().count()
        && number
            .chars()
            .zip(mask.chars())
            .all(|(letter, place)| match place {
                '#' => letter.is_ascii_digit(),
                '@' => letter.is_ascii_uppercase(),
                '?' => true,
                itself => letter == itself,
            })
}
