//! Whether the data of a customer look as if Norce had removed them (norce-api §9).
//!
//! Norce scrambles the data of a customer that is forgotten. What it leaves is not documented: nothing, one text in every
//! field, masks, hashes, or words such as "deleted". Nor is it documented whether `IsForgotten` is set in the same moment.
//! So the data are looked at as well: a customer that looks scrambled is not written to the ERP over the data there.
//!
//! What identifies a person counts: names, telephone numbers, the lines of an address and the e-mail address. A postal
//! code, a city and a title may stay.

use super::{
    Address, Customer, EmailKey, Personal,
    keys::placeholder::{is_filler, is_placeholder},
};

/// How much the data of a customer look scrambled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrambling {
    /// There are data of a person.
    No,
    /// A customer of few words may look the same: it is scrambled if the e-mail address is not the former one.
    IfEmailChanged,
    /// No customer looks like this.
    Yes,
}

/// What has become of the e-mail address that the ERP has of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormerEmail {
    /// The ERP has none, or no record of the customer.
    Unknown,
    /// Norce still has it.
    Same,
    /// Norce has another one, or none.
    Changed,
}

impl FormerEmail {
    /// `former`: the addresses that the ERP has.
    pub fn compare(former: &[EmailKey], customer: &Customer) -> Self {
        let now = customer.email.as_ref();
        let now = now.and_then(|email| EmailKey::parse(email.expose()));
        match (former, now) {
            ([], _) => Self::Unknown,
            (former, Some(now)) if former.contains(&now) => Self::Same,
            _ => Self::Changed,
        }
    }
}

impl Scrambling {
    /// Looks at the data that Norce has now.
    pub fn of(customer: &Customer) -> Self {
        let names = [
            &customer.first_name,
            &customer.middle_name,
            &customer.last_name,
        ];
        let names: Vec<&str> = names.into_iter().flatten().map(Personal::expose).collect();
        let others = other_texts(customer);
        let texts = names.iter().chain(&others).map(|text| Text::of(text));
        let texts: Vec<Text> = texts.collect();
        let email = Email::of(customer.email.as_ref());
        let is_nobodys = matches!(email, Email::None | Email::NoAddress);
        let has = |text: Text| texts.contains(&text);
        if !has(Text::Ordinary) && (has(Text::Removed) || !has(Text::Beside)) {
            // Guests of a marketplace have nothing but an address of the marketplace's, and "-" for a name.
            let is_removed = email == Email::Removed && has(Text::Removed);
            return if is_nobodys || is_removed {
                Self::Yes
            } else {
                Self::IfEmailChanged
            };
        }
        if !is_one_text(&names, &others) {
            return Self::No;
        }
        // A text that no list here has, in every field. A person may well be called Ali Ali.
        let is_text_too = |email: &Personal| names.iter().any(|name| same(email.expose(), name));
        let is_in_more_than_names = !others.is_empty();
        match email {
            _ if customer.email.as_ref().is_some_and(is_text_too) => Self::Yes,
            Email::None | Email::NoAddress | Email::Removed if is_in_more_than_names => Self::Yes,
            Email::Opaque | Email::Ordinary if !is_in_more_than_names => Self::No,
            _ => Self::IfEmailChanged,
        }
    }

    /// Whether the customer is to be treated as scrambled.
    pub const fn is_likely(self, former: FormerEmail) -> bool {
        match self {
            Self::No => false,
            Self::IfEmailChanged => matches!(former, FormerEmail::Changed),
            Self::Yes => true,
        }
    }
}

/// Telephone numbers and the lines of addresses.
fn other_texts(customer: &Customer) -> Vec<&str> {
    let deliveries = customer.delivery_addresses.iter();
    let addresses = customer
        .invoice_address
        .iter()
        .chain(deliveries.map(|delivery| &delivery.address));
    let lines = addresses.flat_map(|address: &Address| {
        [&address.care_of, &address.line1, &address.line2]
            .into_iter()
            .flatten()
    });
    let phones = [&customer.phone, &customer.mobile].into_iter().flatten();
    phones.chain(lines).map(Personal::expose).collect()
}

/// Whether the same text is in the first and the last name, and in everything else that there is.
fn is_one_text(names: &[&str], others: &[&str]) -> bool {
    let [first, rest @ ..] = names else {
        return false;
    };
    !rest.is_empty() && rest.iter().chain(others).all(|text| same(text, first))
}

fn same(text: &str, other: &str) -> bool {
    text.to_lowercase() == other.to_lowercase()
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// A word for what was removed, a mask, a hash.
    Removed,
    /// What goes with such a word: the last name of "Deleted User".
    Beside,
    /// What people write who have nothing to write: `-`, "x", "saknas", 000.
    Filling,
    /// Anything else.
    Ordinary,
}

/// Words for what was removed, in English and in the languages of Norce's merchants, in letters alone. No word that is a
/// name of somebody is among them.
const REMOVED: [&str; 30] = [
    "anonym",
    "anonymised",
    "anonymiserad",
    "anonymiseret",
    "anonymisert",
    "anonymisoitu",
    "anonymized",
    "anonymous",
    "bortglömd",
    "bortglömt",
    "borttagen",
    "culled",
    "deleted",
    "erased",
    "forgotten",
    "gdpr",
    "gelöscht",
    "glemt",
    "poistettu",
    "pseudonymized",
    "raderad",
    "raderat",
    "redacted",
    "removed",
    "rensad",
    "scrambled",
    "skrambled",
    "slettet",
    "unknown",
    "verwijderd",
];
/// Words that go with those: "Deleted User 4711".
const BESIDE: [&str; 16] = [
    "account",
    "användare",
    "asiakas",
    "bruger",
    "bruker",
    "by",
    "customer",
    "data",
    "konto",
    "kund",
    "kunde",
    "name",
    "namn",
    "person",
    "user",
    "uppgift",
];
/// Hexadecimal digits that make a hash: half of an MD5.
const SHORTEST_HASH: usize = 16;

impl Text {
    fn of(text: &str) -> Self {
        let text = text.trim();
        let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
        let is_number = !letters.is_empty() && letters.chars().all(|c| c.is_ascii_digit());
        if is_masked(text) || is_hash(text) || has_removed(text) {
            Self::Removed
        } else if is_made_of(text, |word| BESIDE.contains(&word)) {
            Self::Beside
        } else if is_placeholder(text)
            || is_repeated(&letters)
            || (is_number && is_filler(&letters))
        {
            Self::Filling
        } else {
            Self::Ordinary
        }
    }
}

/// `***`, `A***`, `an***@e***.se`, `Ek••••`.
fn is_masked(text: &str) -> bool {
    let is_mask = |c: char| matches!(c, '*' | '•' | '#' | '█' | '●');
    let masks = text.chars().filter(|c| is_mask(*c)).count();
    masks >= 2 && text.chars().any(|c| is_mask(c) || c.is_alphanumeric())
}

/// A UUID, or a long hexadecimal text.
fn is_hash(text: &str) -> bool {
    let digits: String = text
        .chars()
        .filter(|c| !matches!(c, '-' | '{' | '}'))
        .collect();
    digits.len() >= SHORTEST_HASH
        && digits.chars().all(|c| c.is_ascii_hexdigit())
        && digits.chars().any(|c| c.is_ascii_digit())
        && digits.chars().any(|c| c.is_ascii_alphabetic())
}

/// Nothing but a word for what was removed, and words that go with it.
fn has_removed(text: &str) -> bool {
    is_made_of(text, |word| REMOVED.contains(&word))
}

/// Words of a kind, and otherwise only words that go with those for what was removed, and numbers: "Deleted User 4711".
fn is_made_of(text: &str, is_of_kind: impl Fn(&str) -> bool) -> bool {
    let lower = text.to_lowercase();
    let words = || {
        let words = lower.split(|c: char| !c.is_alphanumeric());
        words.filter(|word| !word.is_empty())
    };
    let is_number = |word: &str| word.chars().all(|c| c.is_ascii_digit()) || is_hash(word);
    words().any(&is_of_kind)
        && words().all(|word| is_of_kind(word) || BESIDE.contains(&word) || is_number(word))
}

/// "xxx", "AA", and "x" by itself. Any other letter may be an initial.
fn is_repeated(letters: &str) -> bool {
    let letters = letters.to_lowercase();
    let mut rest = letters.chars();
    let first = rest.next();
    letters == "x" || (letters.chars().count() > 1 && rest.all(|letter| Some(letter) == first))
}

/// What the field of the e-mail address holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Email {
    None,
    /// An address that reaches no one: a text that is no address, a mask, the domain `.invalid` (RFC 2606).
    NoAddress,
    /// A word for what was removed is the local part or a part of the domain.
    Removed,
    /// A local part that nobody has chosen.
    Opaque,
    /// Anything else.
    Ordinary,
}

impl Email {
    fn of(email: Option<&Personal>) -> Self {
        let Some(email) = email else {
            return Self::None;
        };
        let text = email.expose().to_lowercase();
        let (local, domain) = text.rsplit_once('@').unwrap_or((&text, ""));
        let leads_to_nobody = !domain.contains('.') || domain.ends_with(".invalid");
        if local.is_empty() || leads_to_nobody || is_masked(&text) {
            Self::NoAddress
        } else if has_removed(local) || domain.split('.').any(has_removed) {
            Self::Removed
        } else if is_hash(local) || is_placeholder(local) {
            Self::Opaque
        } else {
            Self::Ordinary
        }
    }
}

#[cfg(test)]
mod tests;
