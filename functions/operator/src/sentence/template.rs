//! Templates and their parameters. The functions are constant, so that a sentence that is not in the table does not compile.

use super::table::SENTENCES;

/// The template of a code that has exactly these parameters. Anything else does not compile.
pub(crate) const fn template(code: &str, params: &[&str]) -> &'static str {
    let mut at = 0;
    while at < SENTENCES.len() && !is_same(code.as_bytes(), SENTENCES[at].0.as_bytes()) {
        at += 1;
    }
    assert!(at < SENTENCES.len(), "there is no sentence with this code");
    let text = SENTENCES[at].1;
    assert!(
        has_exactly(text.as_bytes(), params),
        "the sentence has other parameters"
    );
    text
}

/// Fills a template; `None`: `param` does not know one of its parameters.
pub(super) fn fill(
    template: &str,
    mut param: impl FnMut(&str, &mut String) -> Option<()>,
) -> Option<String> {
    let mut text = String::new();
    let mut rest = 0;
    while let Some((from, to)) = next_param(template.as_bytes(), rest) {
        text.push_str(&template[rest..from - 1]);
        param(&template[from..to], &mut text)?;
        rest = to + 1;
    }
    text.push_str(&template[rest..]);
    Some(text)
}

const fn has_exactly(template: &[u8], params: &[&str]) -> bool {
    let mut rest = 0;
    while let Some((from, to)) = next_param(template, rest) {
        let (before, _) = template.split_at(to);
        let (_, name) = before.split_at(from);
        let mut at = 0;
        while at < params.len() && !is_same(params[at].as_bytes(), name) {
            at += 1;
        }
        if at == params.len() {
            return false;
        }
        rest = to + 1;
    }
    let mut at = 0;
    while at < params.len() {
        if !names(template, params[at].as_bytes()) {
            return false;
        }
        at += 1;
    }
    true
}

const fn names(template: &[u8], param: &[u8]) -> bool {
    let mut rest = 0;
    while let Some((from, to)) = next_param(template, rest) {
        let (before, _) = template.split_at(to);
        let (_, name) = before.split_at(from);
        if is_same(name, param) {
            return true;
        }
        rest = to + 1;
    }
    false
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Where the next parameter's name begins and ends. A parameter is lower-case letters in braces; other braces, such as those of
/// a request, are text.
pub(super) const fn next_param(template: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while at < template.len() {
        if template[at] == b'{' {
            let begin = at + 1;
            let mut end = begin;
            while end < template.len() && template[end].is_ascii_lowercase() {
                end += 1;
            }
            if end > begin && end < template.len() && template[end] == b'}' {
                return Some((begin, end));
            }
        }
        at += 1;
    }
    None
}
