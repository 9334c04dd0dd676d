//! What people write where a value is missing.

/// Words that stand for "there is none" where a form insists on an address, in the languages of Norce's merchants and
/// in English. No name and no role is among them: `tom@`, `test@` and `privat@` are addresses.
const WORDS: [&str; 24] = [
    "dummy",
    "eiole",
    "fehlt",
    "finnsinte",
    "ikke",
    "ingen",
    "ingenemail",
    "ingenmail",
    "inget",
    "keine",
    "mangler",
    "missing",
    "noemail",
    "nomail",
    "none",
    "noreply",
    "null",
    "okand",
    "okänd",
    "puuttuu",
    "saknar",
    "saknas",
    "ukendt",
    "unknown",
];

/// Whether a text only says that there is no value: `-`, "saknas", "N/A", "ingen".
pub(in crate::domain) fn is_placeholder(text: &str) -> bool {
    let letters: String = text
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    letters.is_empty() || WORDS.contains(&letters.as_str())
}

/// Whether digits were typed rather than copied: all the same (`000000-0000`), or counted up or down (`123456789`).
pub(in crate::domain) fn is_filler(digits: &str) -> bool {
    let steps = |step: i16| {
        digits
            .as_bytes()
            .windows(2)
            .all(|pair| (i16::from(pair[1]) - i16::from(pair[0]) - step).rem_euclid(10) == 0)
    };
    digits.len() > 1 && [0, 1, -1].into_iter().any(steps)
}

/// The text without characters that nobody sees: zero-width spaces and joiners, byte order marks, soft hyphens, marks
/// of direction. They come with copied text and make two values differ that look the same.
pub(super) fn visible(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).collect()
}

pub(in crate::domain) const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_nothing_are_placeholders_in_any_case_and_with_separators() {
        for text in [
            "", "-", " . ", "saknas", "SAKNAS", "None", "ingen", "Okänd", "no-reply",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["anna", "tom", "test", "privat", "info"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }

    #[test]
    fn repeated_and_counted_digits_are_fillers() {
        for digits in [
            "0000000000",
            "99999999",
            "123456789",
            "1234567890",
            "987654321",
        ] {
            assert!(is_filler(digits), "{digits}");
        }
        for digits in ["5560360793", "13748136", "7"] {
            assert!(!is_filler(digits), "{digits}");
        }
    }

    #[test]
    fn what_nobody_sees_is_taken_out_and_nothing_else() {
        assert_eq!(visible("an\u{200b}na\u{feff}"), "anna");
        assert_eq!(visible("Åsa Ek 中 🙂"), "Åsa Ek 中 🙂");
    }
}
