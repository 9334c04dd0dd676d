use std::ops::Range;

/// The longest text that [`redact`] lets through, in characters: enough for any sentence of a remote, too little for
/// an error page that would flood the log.
pub const MAX_REDACTED_CHARS: usize = 500;

/// From this many digits on, a number may be a personal number (ten or twelve digits) or a telephone number. Shorter
/// ones are kept, because ids and codes are what a message is about; a local telephone number without its prefix
/// cannot be told from them.
const MIN_PERSONAL_DIGITS: usize = 10;

/// An international telephone number (`+…`) is known by its sign, so that fewer digits give it away. The shortest
/// ones that are in use have seven.
const MIN_INTERNATIONAL_DIGITS: usize = 7;

/// A Finnish personal identity code, `131052-308T`, has fewer digits and is known by its shape: a date, a sign for the
/// century, three digits and a check character.
const FINNISH_CODE: usize = 11;
const FINNISH_CENTURIES: &str = "-+ABCDEFUVWXY";

/// Separators in a row that still hold one number together, as in `(08) 123` or `+46 (0)70`.
const MAX_SEPARATORS: usize = 2;

/// How a UUID is written.
const UUID_FORM: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// What a parser says, without the texts that it quotes: they may be anything that a person put in the wrong place.
pub fn without_values(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let mut parts = message.split('"');
    let mut text = parts.next().unwrap_or_default().to_owned();
    // A quotation, and what follows it.
    while let (Some(_), rest) = (parts.next(), parts.next()) {
        text.push('…');
        text.push_str(rest.unwrap_or_default());
    }
    redact(&text)
}

/// Words of a remote, fit for logs, owed records and messages to people (P11).
///
/// E-mail addresses become `[e-mail]`, numbers that may be personal or telephone numbers become `[number]`, control
/// characters and white space become single spaces, and the text is cut at [`MAX_REDACTED_CHARS`]. It rather removes
/// too much than too little. Other text stays, in quotes or not: a name cannot be told from any other word, so that
/// the text of a whole row must never be given to this function.
pub fn redact(text: &str) -> String {
    let text: Vec<char> = text
        .split(is_space)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .collect();
    let text = replace(&text, emails(&text), "[e-mail]");
    let text = replace(&text, finnish_codes(&text), "[number]");
    let text = replace(&text, numbers(&text), "[number]");
    cut(&text)
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn cut(text: &[char]) -> String {
    if text.len() <= MAX_REDACTED_CHARS {
        return text.iter().collect();
    }
    text.iter()
        .take(MAX_REDACTED_CHARS - 1)
        .chain(&['…'])
        .collect()
}

fn replace(text: &[char], ranges: Vec<Range<usize>>, by: &str) -> Vec<char> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        replaced.extend(&text[from..range.start]);
        replaced.extend(by.chars());
        from = range.end;
    }
    replaced.extend(&text[from..]);
    replaced
}

/// Characters that cannot stand in an e-mail address outside a quoted local part (RFC 5321 §4.1.2).
fn ends_address(c: char) -> bool {
    c == ' ' || "\"<>()[],;:\\".contains(c)
}

/// The length of an at sign at this place, plain or as it is written in a URL.
fn at_sign(text: &[char]) -> Option<usize> {
    match text {
        ['@', ..] => Some(1),
        ['%', '4', '0', ..] => Some(3),
        _ => None,
    }
}

fn emails(text: &[char]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut place = 0;
    while place < text.len() {
        let Some(length) = at_sign(&text[place..]) else {
            place += 1;
            continue;
        };
        let floor = found.last().map_or(0, |range| range.end);
        let before = &text[floor..place];
        let start = match before {
            // A quoted local part may hold anything, up to the quote that opens it.
            [inner @ .., '"'] => inner.iter().rposition(|c| *c == '"').unwrap_or(0),
            _ => before
                .iter()
                .rposition(|c| ends_address(*c))
                .map_or(0, |end| end + 1),
        };
        let after = &text[place + length..];
        let end = after
            .iter()
            .position(|c| ends_address(*c))
            .unwrap_or(after.len());
        place += length + end;
        found.push(floor + start..place);
    }
    found
}

fn finnish_codes(text: &[char]) -> Vec<Range<usize>> {
    let is_code = |code: &[char]| {
        let (date, rest) = code.split_at(6);
        let (century, rest) = rest.split_at(1);
        let (serial, check) = rest.split_at(3);
        date.iter().chain(serial).all(char::is_ascii_digit)
            && FINNISH_CENTURIES.contains(century[0].to_ascii_uppercase())
            && check[0].is_ascii_alphanumeric()
    };
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(code) = text.get(place..place + FINNISH_CODE) {
        let is_word = |place: Option<usize>| {
            let beside = place.and_then(|place| text.get(place));
            beside.is_some_and(char::is_ascii_alphanumeric)
        };
        let end = place + FINNISH_CODE;
        if is_code(code) && !is_word(place.checked_sub(1)) && !is_word(Some(end)) {
            found.push(place..end);
            place = end;
        } else {
            place += 1;
        }
    }
    found
}

/// Where a UUID that begins here ends. Its groups can look like a telephone number, and it is an id.
fn end_of_uuid(text: &[char], start: usize) -> Option<usize> {
    let end = start + UUID_FORM.len();
    let uuid = text.get(start..end)?;
    let is_word = |place: Option<usize>| {
        let beside = place.and_then(|place| text.get(place));
        beside.is_some_and(|c| c.is_alphanumeric())
    };
    let fits = |(c, form): (&char, char)| match form {
        '-' => *c == '-',
        _ => c.is_ascii_hexdigit(),
    };
    let is_uuid = uuid.iter().zip(UUID_FORM.chars()).all(fits);
    (is_uuid && !is_word(start.checked_sub(1)) && !is_word(Some(end))).then_some(end)
}

fn numbers(text: &[char]) -> Vec<Range<usize>> {
    let separates = |c: char| " -+./()".contains(c);
    let mut found = Vec::new();
    let mut place = 0;
    while place < text.len() {
        if let Some(end) = end_of_uuid(text, place) {
            place = end;
            continue;
        }
        if !text[place].is_numeric() {
            place += 1;
            continue;
        }
        let start = place;
        let international = start > 0 && text[start - 1] == '+';
        let (mut digits, mut end) = (0, start);
        while place < text.len() && place - end <= MAX_SEPARATORS {
            if end_of_uuid(text, place).is_some() {
                break;
            }
            if text[place].is_numeric() {
                digits += 1;
                end = place + 1;
            } else if !separates(text[place]) {
                break;
            }
            place += 1;
        }
        place = end;
        if digits >= MIN_PERSONAL_DIGITS || international && digits >= MIN_INTERNATIONAL_DIGITS {
            found.push(start..end);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p11_addresses_are_removed_in_every_wrapping() {
        for (text, redacted) in [
            ("anna.ek@example.com exists", "[e-mail] exists"),
            (
                r#"{"Email":"a@b.se","Id":7}"#,
                r#"{"Email":"[e-mail]","Id":7}"#,
            ),
            ("<o'brien+tag@exämple.se>; x@y", "<[e-mail]>; [e-mail]"),
            (r#"to "anna ek"@example.com."#, "to [e-mail]"),
            ("?$filter=a%40b.se", "[e-mail]"),
            ("a@b@c d", "[e-mail] d"),
        ] {
            assert_eq!(redact(text), redacted, "{text}");
        }
    }

    #[test]
    fn p11_personal_and_telephone_numbers_are_removed() {
        for number in [
            "850101-1234",
            "19850101-1234",
            "850101+1234",
            "198501011234",
            "+46 70 123 45 67",
            "+4712345678",
            "070-123 45 67",
            "131052-308T",
            "010203A456x",
            "+46 (0)70 1234567",
            "556036-0793",
        ] {
            let redacted = redact(&format!("row {number} failed"));
            assert!(redacted.starts_with("row"), "{redacted}");
            assert!(redacted.ends_with("[number] failed"), "{redacted}");
            assert!(
                !redacted.contains(|c: char| c.is_ascii_digit()),
                "{redacted}"
            );
        }
    }

    #[test]
    fn ids_codes_dates_and_quoted_words_stay() {
        for text in [
            "Customer 2147483 with code 'C-000123456' is taken",
            "StatusId 3, job 123456789, at 2026-11-23T10:00:00Z",
            "The field 'LastName' is required, see §3.4",
            "mappings/071ca220-5562-4073-8012-0123456789ab of run 3cefbd4a-8d46-43a1-bc90-68f3b420c056",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(
            redact(" a\r\n\tERROR\u{0}\u{2028}b\u{1b}[0m "),
            "a ERROR b [0m"
        );
    }

    #[test]
    fn a_text_is_cut() {
        let redacted = redact(&"word ".repeat(1000));
        assert_eq!(redacted.chars().count(), MAX_REDACTED_CHARS);
        assert!(redacted.ends_with('…'));
    }

    proptest! {
        #[test]
        fn nothing_that_could_be_an_address_or_a_line_break_is_left(text in any::<String>()) {
            let redacted = redact(&text);
            prop_assert!(!redacted.contains(['@', '\n', '\r']));
            prop_assert!(!redacted.chars().any(char::is_control));
            prop_assert!(redacted.chars().count() <= MAX_REDACTED_CHARS);
            prop_assert_eq!(redact(&redacted), redacted);
        }

        #[test]
        fn an_address_is_removed_from_any_surroundings(
            before in "[ a-zåäö\"'<(=:,;]{0,20}",
            local in "[a-z]{3}[a-z0-9.+_'-]{0,10}",
            after in "([ >)\",;:][ a-z]{0,20})?",
        ) {
            let redacted = redact(&format!("{before}{local}@example.com{after}"));
            prop_assert!(!redacted.contains('@'));
            prop_assert!(!redacted.contains("example.com"));
        }

        #[test]
        fn a_uuid_stays_whatever_its_digits_look_like(
            groups in ("[0-9a-f]{8}", "[0-9]{4}", "[0-9]{4}", "[0-9]{4}", "[0-9]{12}"),
        ) {
            let (a, b, c, d, e) = groups;
            let text = format!("run 7 {a}-{b}-{c}-{d}-{e}, of customer/client/1001");
            prop_assert_eq!(redact(&text), text);
        }

        #[test]
        fn ten_digits_are_removed_however_they_are_grouped(
            groups in prop::collection::vec("[0-9]{1,4}", MIN_PERSONAL_DIGITS..15),
            separator in "[ +./-]?",
        ) {
            let number = groups.join(&separator);
            let redacted = redact(&format!("x {number} y"));
            prop_assert!(!redacted.contains(|c: char| c.is_ascii_digit()));
        }
    }
}
