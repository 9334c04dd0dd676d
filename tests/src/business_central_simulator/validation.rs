//! The business rules that customers and contacts share (erp-apis §1.4).

use super::{
    CompanySettings, Refused,
    fields::{Changes, Record},
    reference_tables,
};

/// Applies the changes to a record the way the ERP's field triggers do: one field after the other, in the order of the
/// body, each with its side effects on the fields before and after it (`Customer.Table.al`, `Contact.Table.al`).
///
/// # Errors
/// The first rule that is broken. The record may then be half changed: apply to a copy.
pub(super) fn apply(
    changes: Changes,
    record: &mut Record,
    settings: &CompanySettings,
) -> Result<(), Refused> {
    let changes = reference_tables::checked(changes, &settings.tables)?;
    for (name, value) in changes {
        let before = record.text(name).to_owned();
        record.set(name, value);
        let now = record.text(name).to_owned();
        match name {
            "displayName" if now.is_empty() => {
                return Err(Refused::dialog("The blank \"displayName\" is not allowed."));
            }
            "phoneNumber" => check_telephone("Phone No.", &now)?,
            "mobilePhoneNumber" => check_telephone("Mobile Phone No.", &now)?,
            "email" if !now.is_empty() => check_addresses(&now)?,
            "country" => validate_country(&before, &now, record, settings)?,
            "postalCode" => validate_postal_code(&now, record, settings),
            "taxRegistrationNumber" if now != before => {
                check_vat(&now, record.text("country"), settings)?;
            }
            _ => {}
        }
    }
    reference_tables::show_currency(record, &settings.tables);
    Ok(())
}

fn check_telephone(caption: &str, number: &str) -> Result<(), Refused> {
    if number.chars().any(char::is_alphabetic) {
        return Err(Refused::field_validation(format!(
            "{caption} must not contain letters."
        )));
    }
    Ok(())
}

/// "Country/Region Code": another country clears the place (`PostCode.CheckClearPostCodeCityCounty`), unless there was none
/// before, and the VAT number that is there has to fit it.
fn validate_country(
    before: &str,
    now: &str,
    record: &mut Record,
    settings: &CompanySettings,
) -> Result<(), Refused> {
    if !now.is_empty() && !settings.countries.iter().any(|known| known.code == now) {
        return Err(Refused::invalid_relation("Country/Region Code", now));
    }
    if before == now {
        return Ok(());
    }
    if !before.is_empty() && !settings.country_required_in_addresses {
        for cleared in ["postalCode", "city", "state"] {
            record.set(cleared, "");
        }
    }
    check_vat(record.text("taxRegistrationNumber"), now, settings)
}

/// "Post Code": a known code brings its city, county and country along; without a row for the country, those of any other
/// (`PostCode.ValidatePostCode`).
fn validate_postal_code(code: &str, record: &mut Record, settings: &CompanySettings) {
    let country = record.text("country");
    let rows = || settings.post_codes.iter().filter(|row| row.code == code);
    let of_country = rows().find(|row| row.country == country);
    if let Some(row) = of_country.or_else(|| rows().next()) {
        record.set("city", row.city.as_str());
        record.set("state", row.county.as_str());
        record.set("country", row.country.as_str());
    }
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
