//! What several actions say in the same words.

use change_events::Verdict;

/// How long something took or has lasted, as a person says it: `3 d 4 h`.
pub(crate) fn in_words(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

/// How a look at an entity ended.
pub(crate) fn verdict_in_words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Done(done) => done,
        Verdict::Owed { reason, detail } => format!("owed ({}): {detail}", reason.as_str()),
        Verdict::Later(reason) => format!("tried again later: {reason}"),
    }
}
