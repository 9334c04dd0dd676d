//! The text fields of Business Central, with their lengths and formats (erp-apis §1.2–1.4).
//!
//! A value that does not fit is shortened only where that is harmless. Otherwise the record is refused with the name of
//! the field, so that a person can correct the value at its source.

use crate::{
    domain::{Address, Code, Personal},
    erp::ErpError,
};

/// A text field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// The name in the JSON of the API.
    pub(super) name: &'static str,
    /// The length of the longest value, in UTF-16 code units: a text of AL is a .NET string.
    pub(super) max: usize,
}

const fn field(name: &'static str, max: usize) -> Field {
    Field { name, max }
}

pub(super) const NUMBER: Field = field("number", 20);
pub(super) const DISPLAY_NAME: Field = field("displayName", 100);
pub(super) const JOB_TITLE: Field = field("jobTitle", 30);
pub(super) const ADDRESS_LINE_1: Field = field("addressLine1", 100);
pub(super) const ADDRESS_LINE_2: Field = field("addressLine2", 50);
pub(super) const COUNTRY: Field = field("country", 10);
pub(super) const POSTAL_CODE: Field = field("postalCode", 20);
pub(super) const CITY: Field = field("city", 30);
pub(super) const STATE: Field = field("state", 30);
pub(super) const PHONE_NUMBER: Field = field("phoneNumber", 30);
pub(super) const MOBILE_PHONE_NUMBER: Field = field("mobilePhoneNumber", 30);
pub(super) const EMAIL: Field = field("email", 80);
pub(super) const TAX_REGISTRATION_NUMBER: Field = field("taxRegistrationNumber", 20);

impl Field {
    /// Whether the field can hold the text.
    pub(super) fn holds(self, text: &str) -> bool {
        length(text) <= self.max
    }

    /// The text on one line, if the field can hold it.
    pub(super) fn fit(self, text: &str) -> Result<String, ErpError> {
        self.bounded(one_line(text))
    }

    /// A value of type `Code`, which the platform keeps in upper case (erp-apis §1.2).
    pub(super) fn fit_code(self, text: &str) -> Result<String, ErpError> {
        self.bounded(one_line(text).to_uppercase())
    }

    /// The beginning of the text, as much as the field can hold. Only for a value such as a title, which identifies nobody
    /// and is not misleading without its end.
    pub(super) fn shorten(self, text: &str) -> String {
        let mut left = self.max;
        let kept: String = one_line(text)
            .chars()
            .take_while(|c| {
                let fits = c.len_utf16() <= left;
                left -= c.len_utf16().min(left);
                fits
            })
            .collect();
        kept.trim_end().to_owned()
    }

    /// A telephone number. Business Central refuses letters (erp-apis §1.2). Separators have no meaning and are removed
    /// when the number is too long with them.
    pub(super) fn fit_phone(self, text: &str) -> Result<String, ErpError> {
        let text = one_line(text);
        if text.chars().any(char::is_alphabetic) {
            return Err(self.refused(
                "letters-in-telephone-number",
                "Business Central takes no letters in a telephone number: correct it in Norce"
                    .to_owned(),
            ));
        }
        if self.holds(&text) {
            return Ok(text);
        }
        let separators = [' ', '-', '(', ')', '.', '/'];
        self.bounded(text.chars().filter(|c| !separators.contains(c)).collect())
    }

    fn bounded(self, text: String) -> Result<String, ErpError> {
        if self.holds(&text) {
            Ok(text)
        } else {
            Err(self.too_long(length(&text)))
        }
    }

    fn too_long(self, length: usize) -> ErpError {
        let max = self.max;
        self.refused(
            "too-long",
            format!(
                "the value has {length} characters and Business Central takes {max}: shorten it in Norce"
            ),
        )
    }

    fn refused(self, code: &str, message: String) -> ErpError {
        ErpError::Refused {
            field: Some(self.name),
            code: code.to_owned(),
            message,
        }
    }
}

/// The number ("No.") of a code, as Business Central stores it.
pub(super) fn number(code: &Code) -> Result<String, ErpError> {
    NUMBER.fit_code(code.as_str())
}

/// The two address lines, both empty when the shop has none.
///
/// "c/o" takes the first line and moves the street to the second. With a second line of its own, "c/o" and the street share
/// the first line. A street that is too long continues on the second line, broken between two words, unless that is taken.
pub(super) fn address_lines(address: &Address) -> Result<(String, String), ErpError> {
    let text = |part: &Option<Personal>| part.as_ref().map(|part| one_line(part.expose()));
    let street = text(&address.line1).unwrap_or_default();
    let second = text(&address.line2).unwrap_or_default();
    let Some(care_of) = text(&address.care_of).filter(|care_of| !care_of.is_empty()) else {
        return lines_of(street, second);
    };
    let care_of = with_care_of(&care_of);
    if !street.is_empty() && !second.is_empty() {
        let joined = format!("{care_of}, {street}");
        if ADDRESS_LINE_1.holds(&joined) && ADDRESS_LINE_2.holds(&second) {
            return Ok((joined, second));
        }
        let joined = format!("{street}, {second}");
        if ADDRESS_LINE_1.holds(&care_of) && ADDRESS_LINE_2.holds(&joined) {
            return Ok((care_of, joined));
        }
        return Err(ADDRESS_LINE_2.refused(
            "no-line-for-care-of",
            "\"c/o\", the street and the second line do not fit into the two address lines of Business Central: shorten \
             one of them in Norce"
                .to_owned(),
        ));
    }
    let care_of = ADDRESS_LINE_1.fit(&care_of)?;
    let street = if street.is_empty() { second } else { street };
    Ok((care_of, ADDRESS_LINE_2.fit(&street)?))
}

fn lines_of(street: String, second: String) -> Result<(String, String), ErpError> {
    if ADDRESS_LINE_1.holds(&street) {
        return Ok((street, ADDRESS_LINE_2.fit(&second)?));
    }
    let too_long = ADDRESS_LINE_1.too_long(length(&street));
    if !second.is_empty() {
        return Err(too_long);
    }
    let (first, rest) = street
        .rmatch_indices(' ')
        .map(|(space, _)| (&street[..space], &street[space + 1..]))
        .find(|(first, _)| ADDRESS_LINE_1.holds(first))
        .ok_or_else(|| too_long.clone())?;
    if ADDRESS_LINE_2.holds(rest) {
        Ok((first.to_owned(), rest.to_owned()))
    } else {
        Err(too_long)
    }
}

fn with_care_of(name: &str) -> String {
    let named = name
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("c/o"));
    if named {
        name.to_owned()
    } else {
        format!("c/o {name}")
    }
}

/// The text with each run of white space and control characters replaced by one space.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused_field<T>(outcome: Result<T, ErpError>) -> Option<&'static str> {
        match outcome {
            Err(ErpError::Refused { field, .. }) => field,
            _ => None,
        }
    }

    fn address(care_of: &str, line1: &str, line2: &str) -> Address {
        Address {
            care_of: Personal::parse(care_of),
            line1: Personal::parse(line1),
            line2: Personal::parse(line2),
            ..Address::default()
        }
    }

    fn lines(care_of: &str, line1: &str, line2: &str) -> Option<(String, String)> {
        address_lines(&address(care_of, line1, line2)).ok()
    }

    fn pair(first: &str, second: &str) -> Option<(String, String)> {
        Some((first.to_owned(), second.to_owned()))
    }

    #[test]
    fn every_field_takes_its_length_and_not_one_character_more() {
        for (field, max) in [
            (NUMBER, 20),
            (DISPLAY_NAME, 100),
            (JOB_TITLE, 30),
            (ADDRESS_LINE_1, 100),
            (ADDRESS_LINE_2, 50),
            (COUNTRY, 10),
            (POSTAL_CODE, 20),
            (CITY, 30),
            (STATE, 30),
            (EMAIL, 80),
            (TAX_REGISTRATION_NUMBER, 20),
        ] {
            assert_eq!(field.fit(&"å".repeat(max)).unwrap(), "å".repeat(max));
            assert_eq!(
                refused_field(field.fit(&"å".repeat(max + 1))),
                Some(field.name)
            );
        }
        // Two UTF-16 code units each.
        assert!(refused_field(CITY.fit(&"🏠".repeat(16))).is_some());
        assert!(CITY.fit(&"🏠".repeat(15)).is_ok());
    }

    #[test]
    fn p11_a_refusal_says_the_field_and_the_length_and_never_the_value() {
        let error = EMAIL
            .fit(&format!("anna@{}.se", "x".repeat(80)))
            .unwrap_err();
        insta::assert_snapshot!(error, @"the ERP refuses the record (field email): too-long: the value has 88 characters and Business Central takes 80: shorten it in Norce");
    }

    #[test]
    fn a_code_is_in_upper_case_and_a_text_on_one_line() {
        assert_eq!(number(&"n123å".parse().unwrap()).unwrap(), "N123Å");
        assert_eq!(POSTAL_CODE.fit_code(" sw1a  1aa ").unwrap(), "SW1A 1AA");
        assert_eq!(
            CITY.fit("Upplands\r\n\tVäsby\u{0}").unwrap(),
            "Upplands Väsby"
        );
    }

    #[test]
    fn a_telephone_number_loses_separators_only_when_it_must() {
        let fit = |text| PHONE_NUMBER.fit_phone(text);
        assert_eq!(fit("+46 (0)8-123 45 67").unwrap(), "+46 (0)8-123 45 67");
        assert_eq!(
            fit("+46 - (0) 8 - 123 - 45 - 67 - 89 - 01").unwrap(),
            "+46081234567".to_owned() + "8901"
        );
        assert_eq!(
            refused_field(fit("08-123 45 67 ankn. 9")),
            Some("phoneNumber")
        );
        assert_eq!(refused_field(fit(&"1".repeat(31))), Some("phoneNumber"));
    }

    #[test]
    fn a_title_loses_its_end_and_no_half_character() {
        assert_eq!(JOB_TITLE.shorten(&"🏠".repeat(16)), "🏠".repeat(15));
        assert_eq!(
            JOB_TITLE.shorten("Inköpare med ansvar för elva  anläggningar"),
            "Inköpare med ansvar för elva a"
        );
        assert_eq!(JOB_TITLE.shorten("VD"), "VD");
    }

    #[test]
    fn care_of_takes_the_first_line() {
        assert_eq!(
            lines("Bo Ek", "Storgatan 1", ""),
            pair("c/o Bo Ek", "Storgatan 1")
        );
        assert_eq!(
            lines("C/O Bo Ek", "", "Box 12"),
            pair("C/O Bo Ek", "Box 12")
        );
        assert_eq!(lines("Bo Ek", "", ""), pair("c/o Bo Ek", ""));
        assert_eq!(
            lines("Bo Ek", "Storgatan 1", "Lgh 1102"),
            pair("c/o Bo Ek, Storgatan 1", "Lgh 1102")
        );
        let long_name = "x".repeat(95);
        assert_eq!(
            lines(&long_name, "Storgatan 1", "Lgh 1102"),
            pair(&format!("c/o {long_name}"), "Storgatan 1, Lgh 1102")
        );
        assert_eq!(
            refused_field(address_lines(&address(
                &long_name,
                &"y".repeat(45),
                "Lgh 1102"
            ))),
            Some("addressLine2")
        );
        assert_eq!(
            refused_field(address_lines(&address("Bo Ek", &"x".repeat(51), ""))),
            Some("addressLine2")
        );
        assert_eq!(
            refused_field(address_lines(&address(&"x".repeat(97), "", ""))),
            Some("addressLine1")
        );
    }

    #[test]
    fn a_long_street_flows_into_a_free_second_line_between_two_words() {
        let (head, tail) = ("x".repeat(95), "y".repeat(50));
        let street = format!("{head} {tail}");
        assert_eq!(lines("", &street, ""), pair(&head, &tail));
        assert_eq!(lines("", &head, &tail), pair(&head, &tail));
        for (street, second) in [
            (street.clone(), "taken"),
            (format!("{street}z"), ""),
            ("x".repeat(101), ""),
            (format!("{} y", "x".repeat(101)), ""),
        ] {
            assert_eq!(
                refused_field(address_lines(&address("", &street, second))),
                Some("addressLine1")
            );
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_no_word_is_lost(
            words in prop::collection::vec("[a-zåäö🏠0-9,]{1,40}", 0..12),
            second in prop::option::of("[a-zåäö🏠 ]{0,60}"),
            care_of in prop::option::of("[a-zåäö🏠 ]{0,110}"),
        ) {
            let second = second.unwrap_or_default();
            let care_of = care_of.unwrap_or_default();
            let Ok((first_line, second_line)) =
                address_lines(&address(&care_of, &words.join(" "), &second)) else {
                return Ok(());
            };
            prop_assert!(ADDRESS_LINE_1.holds(&first_line));
            prop_assert!(ADDRESS_LINE_2.holds(&second_line));
            let came: Vec<&str> = first_line
                .split(' ')
                .chain(second_line.split(' '))
                .map(|word| word.trim_end_matches(','))
                .filter(|word| !word.is_empty() && *word != "c/o")
                .collect();
            let went: Vec<&str> = care_of
                .split_whitespace()
                .chain(words.iter().map(String::as_str))
                .chain(second.split_whitespace())
                .map(|word| word.trim_end_matches(','))
                .filter(|word| !word.is_empty())
                .collect();
            prop_assert_eq!(came, went);
        }

        #[test]
        fn what_is_made_to_fit_fits(text in any::<String>()) {
            for field in [JOB_TITLE, PHONE_NUMBER, POSTAL_CODE, DISPLAY_NAME] {
                prop_assert!(field.holds(&field.shorten(&text)));
                for fitted in [field.fit(&text), field.fit_code(&text), field.fit_phone(&text)] {
                    prop_assert!(fitted.is_err() || fitted.is_ok_and(|text| field.holds(&text)));
                }
            }
        }
    }
}
