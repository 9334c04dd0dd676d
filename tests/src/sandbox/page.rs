//! The day as a page: the timeline, how long each code took, both sides, and what is owed. The page is a single file,
//! so that it can be sent by mail.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use super::{SandboxError, io_error, progress};
use crate::local_aws::sandbox_directory;

/// The page, in the sandbox's directory.
const FILE: &str = "day.html";
/// The width of the longest bar, in pixels.
const WIDEST: f64 = 420.0;
/// The height of a bar and the room below it.
const BAR: usize = 22;

const STYLE: &str = "
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.well { color: light-dark(#17663a, #7fd6a2); } .bad { color: light-dark(#a4262c, #ff9a9e); }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8885; }
ol { padding: 0; list-style: none; } li { display: flex; gap: 1rem; } time { flex: 0 0 5rem; text-align: right; opacity: .7; }
li.step { font-weight: 600; margin-top: .8rem; }
svg text { fill: currentColor; font-size: 13px; } rect { fill: light-dark(#2b6cb0, #7db3e8); }
.scroll { overflow-x: auto; }
";

/// A customer or company of both sides.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// `customer` or `company`.
    pub(super) kind: &'static str,
    /// Norce's id.
    pub(super) id: i64,
    /// Its name in the shop. Everybody here is invented.
    pub(super) name: String,
    /// The code in Norce.
    pub(super) code: Option<String>,
    /// The name in the ERP, by the code.
    pub(super) in_erp: Option<String>,
}

/// The content of the page.
#[derive(Default)]
pub(super) struct Day {
    /// The time from each first order to its code in Norce, by customer or company.
    pub(super) times: Vec<(String, Duration)>,
    /// Both sides.
    pub(super) pairs: Vec<Pair>,
    /// The owed records, with their reasons.
    pub(super) owed: Vec<(String, String)>,
    /// The faults of the day.
    pub(super) faults: Vec<String>,
}

impl Day {
    /// Writes the page, and returns where it is.
    pub(super) fn save(&self) -> Result<PathBuf, SandboxError> {
        let file = sandbox_directory().join(FILE);
        fs::write(&file, self.html())
            .map_err(io_error(format!("{} cannot be written", file.display())))?;
        Ok(file)
    }

    fn html(&self) -> String {
        let (class, verdict) = match self.faults.len() {
            0 => ("well", "Everything is as it should be".to_owned()),
            1 => ("bad", "One thing is not as it should be".to_owned()),
            count => ("bad", format!("{count} things are not as they should be")),
        };
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>A day in the sandbox</title><style>{STYLE}</style><h1>A day in the sandbox</h1><p class=\"{class}\"><b>{verdict}.</b></p>"
        );
        if !self.faults.is_empty() {
            page += "<ul>";
            for fault in &self.faults {
                let _ = write!(page, "<li class=\"bad\">{}</li>", escaped(fault));
            }
            page += "</ul>";
        }
        page += "<h2>What happened</h2><ol>";
        for (at, is_step, text) in progress::chronicle() {
            let class = if is_step { " class=\"step\"" } else { "" };
            let _ = write!(
                page,
                "<li{class}><time>{}</time><span>{}</span></li>",
                progress::duration(at),
                escaped(&text)
            );
        }
        page += "</ol><h2>From the order to the code in Norce</h2>";
        page += &self.chart();
        page += "<h2>Both sides</h2><div class=\"scroll\"><table><tr><th></th><th>Norce</th><th>Name in the shop</th><th>Code</th><th>Name in the ERP</th></tr>";
        for Pair {
            kind,
            id,
            name,
            code,
            in_erp,
        } in &self.pairs
        {
            let _ = write!(
                page,
                "<tr><td>{kind}</td><td>{id}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(name),
                escaped(code.as_deref().unwrap_or("–")),
                escaped(in_erp.as_deref().unwrap_or("–"))
            );
        }
        page += "</table></div><h2>Owed at the end</h2>";
        if self.owed.is_empty() {
            page += "<p>Nothing.</p>";
        } else {
            page += "<div class=\"scroll\"><table><tr><th>Who</th><th>Why</th></tr>";
            for (subject, why) in &self.owed {
                let _ = write!(
                    page,
                    "<tr><td>{}</td><td>{}</td></tr>",
                    escaped(subject),
                    escaped(why)
                );
            }
            page += "</table></div>";
        }
        page
    }

    /// A bar for each code, in the order in which they came.
    fn chart(&self) -> String {
        let Some(longest) = self.times.iter().map(|(_, time)| *time).max() else {
            return "<p>Nobody has ordered for the first time.</p>".to_owned();
        };
        let longest = longest.as_secs_f64().max(f64::EPSILON);
        let mut chart = format!(
            "<div class=\"scroll\"><svg role=\"img\" aria-label=\"Time from the order to the code\" width=\"760\" height=\"{}\">",
            self.times.len() * BAR + 4
        );
        for (place, (who, time)) in self.times.iter().enumerate() {
            let top = place * BAR;
            let width = (time.as_secs_f64() / longest * WIDEST).max(1.0);
            let _ = write!(
                chart,
                "<text x=\"0\" y=\"{}\">{}</text><rect x=\"180\" y=\"{}\" width=\"{width:.0}\" height=\"{}\"></rect><text x=\"{:.0}\" y=\"{}\">{}</text>",
                top + 15,
                escaped(who),
                top + 3,
                BAR - 6,
                width + 188.0,
                top + 15,
                progress::duration(*time)
            );
        }
        chart + "</svg></div>"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_remote_says_is_text_on_the_page() {
        let day = Day {
            times: vec![("<img src=x>".to_owned(), Duration::from_secs(2))],
            owed: vec![("customer 1".to_owned(), "<script>\"&".to_owned())],
            faults: vec!["<i>".to_owned()],
            ..Day::default()
        };
        let page = day.html();
        for markup in ["<img", "<script>", "<i>", "\"&<"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("&lt;script&gt;&quot;&amp;"));
        assert!(page.contains("One thing is not as it should be"));
    }
}
