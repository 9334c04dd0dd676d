//! Relations of which Query sends the first page only: `Companies@odata.nextLink` beside `Companies` leads to the rest (OData
//! JSON Format 4.0, 4.5.5). Whether Query pages them is not documented (norce-api §5.1).

use serde_json::{Map, Value};

const NEXT_LINK: &str = "@odata.nextLink";

/// A relation of a row, as far as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The JSON pointer to its rows.
    pub(super) place: String,
    /// Where the rest is.
    pub(super) link: String,
}

/// Whether the body of a page may hold such a link. The link to the next page of the set has nothing before its name.
pub(super) fn may_be_cut(body: &[u8]) -> bool {
    let Ok(body) = std::str::from_utf8(body) else {
        return false;
    };
    let mut links = body.match_indices(NEXT_LINK);
    links.any(|(place, _)| {
        !body
            .get(..place)
            .is_some_and(|before| before.ends_with('"'))
    })
}

/// Takes the first such link out of a row and what is expanded in it.
pub(super) fn take_cut(value: &mut Value) -> Option<Cut> {
    let below = |name: &dyn std::fmt::Display, cut: Cut| Cut {
        place: format!("/{name}{}", cut.place),
        ..cut
    };
    match value {
        Value::Object(fields) => own_cut(fields).or_else(|| {
            let mut fields = fields.iter_mut();
            fields.find_map(|(name, value)| take_cut(value).map(|cut| below(name, cut)))
        }),
        Value::Array(values) => {
            let mut values = values.iter_mut().enumerate();
            values.find_map(|(index, value)| take_cut(value).map(|cut| below(&index, cut)))
        }
        _ => None,
    }
}

fn own_cut(fields: &mut Map<String, Value>) -> Option<Cut> {
    fields.retain(|name, link| !(link.is_null() && name.ends_with(NEXT_LINK)));
    let names = fields.keys();
    let mut relations = names.filter_map(|name| name.strip_suffix(NEXT_LINK));
    let relation = relations.find(|relation| !relation.is_empty())?.to_owned();
    let link = fields.remove(&format!("{relation}{NEXT_LINK}"))?;
    Some(Cut {
        place: format!("/{relation}"),
        link: link.as_str().unwrap_or_default().to_owned(),
    })
}
