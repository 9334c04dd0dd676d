//! The pages without a session: small, without a script, in the browser's language.

use std::fmt::Write as _;

use aws_lambda_events::http::{HeaderMap, header::ACCEPT_LANGUAGE};

use crate::{answer::Answer, assets};

/// A page with one message and one link.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: Text,
    /// The address of the link.
    pub(crate) link: String,
}

/// The message of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    SignedIn,
    SignedOut,
    Refused,
    Unavailable,
    SetUp,
    NoRole,
    Address,
}

/// The title, the message and the text of the link.
type Words = [&'static str; 3];

impl Text {
    const fn english(self) -> Words {
        match self {
            Self::SignedIn => ["Signed in", "The console opens.", "Open the console"],
            Self::SignedOut => [
                "Signed out",
                "You have signed out of the console. Your sign-in provider may still know you: sign out there too on a shared computer.",
                "Sign in",
            ],
            Self::Refused => [
                "Not signed in",
                "The sign-in could not be completed: it took longer than ten minutes, was begun in another browser, or was refused.",
                "Sign in again",
            ],
            Self::Unavailable => [
                "Not signed in",
                "The sign-in provider or AWS does not answer. Nothing is lost: try again in a minute.",
                "Try again",
            ],
            Self::SetUp => [
                "Not signed in",
                "The sign-in is not set up correctly. The log of the function console says what is wrong: an administrator of the stack can correct it.",
                "Try again",
            ],
            Self::NoRole => [
                "No role",
                "You are signed in with your provider, but your account has no role in this console. Ask an administrator of its users for one of the roles view, act or admin.",
                "Sign in with another account",
            ],
            Self::Address => [
                "Not from here",
                "The console cannot be used from this network. Connect to the network of your organisation.",
                "Try again",
            ],
        }
    }

    const fn swedish(self) -> Words {
        match self {
            Self::SignedIn => ["Inloggad", "Konsolen öppnas.", "Öppna konsolen"],
            Self::SignedOut => [
                "Utloggad",
                "Du har loggat ut från konsolen. Din inloggningstjänst kan fortfarande känna igen dig: logga ut även där på en delad dator.",
                "Logga in",
            ],
            Self::Refused => [
                "Inte inloggad",
                "Inloggningen kunde inte slutföras: den tog längre tid än tio minuter, påbörjades i en annan webbläsare eller nekades.",
                "Logga in igen",
            ],
            Self::Unavailable => [
                "Inte inloggad",
                "Inloggningstjänsten eller AWS svarar inte. Inget har gått förlorat: försök igen om en minut.",
                "Försök igen",
            ],
            Self::SetUp => [
                "Inte inloggad",
                "Inloggningen är inte rätt inställd. Loggen för funktionen console visar vad som är fel: den som sköter stacken kan rätta det.",
                "Försök igen",
            ],
            Self::NoRole => [
                "Ingen roll",
                "Du är inloggad hos din inloggningstjänst, men ditt konto har ingen roll i den här konsolen. Be den som hanterar dess användare om någon av rollerna view, act eller admin.",
                "Logga in med ett annat konto",
            ],
            Self::Address => [
                "Inte härifrån",
                "Konsolen kan inte användas från det här nätverket. Anslut till din organisations nätverk.",
                "Försök igen",
            ],
        }
    }
}

impl Page {
    /// The page in the browser's language.
    pub(crate) fn answer(self, headers: &HeaderMap) -> Answer {
        self.render(headers, "")
    }

    /// The same page, which follows its link automatically.
    ///
    /// A browser does not send a cookie with `SameSite=Strict` along the redirects that begin at the provider. It does with
    /// a navigation that begins on a page of ours, which this is.
    pub(crate) fn answer_and_go_on(self, headers: &HeaderMap) -> Answer {
        let refresh = format!(
            r#"<meta http-equiv="refresh" content="0;url={}">"#,
            escaped(&self.link)
        );
        self.render(headers, &refresh)
    }

    fn render(self, headers: &HeaderMap, refresh: &str) -> Answer {
        let is_swedish = prefers_swedish(headers);
        let [title, sentence, link_text] = match is_swedish {
            true => self.text.swedish(),
            false => self.text.english(),
        };
        let language = if is_swedish { "sv" } else { "en" };
        let (style, link) = (assets::address("console.css"), escaped(&self.link));
        let mut page = String::new();
        let _ = write!(
            page,
            r#"<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{refresh}
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
</head>
<body class="notice">
<main>
<h1>{title}</h1>
<p>{sentence}</p>
<p><a class="button" href="{link}">{link_text}</a></p>
</main>
</body>
</html>
"#
        );
        Answer::html(self.status, page)
    }
}

/// The first supported language that the browser names; English otherwise.
fn prefers_swedish(headers: &HeaderMap) -> bool {
    let languages = headers.get(ACCEPT_LANGUAGE).and_then(|it| it.to_str().ok());
    let mut languages = languages.unwrap_or_default().split(',').map(str::trim);
    let known = languages.find(|it| it.starts_with("sv") || it.starts_with("en"));
    known.is_some_and(|language| language.starts_with("sv"))
}

/// A text, escaped for an attribute or an element.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            sign => escaped.push(sign),
        }
    }
    escaped
}
